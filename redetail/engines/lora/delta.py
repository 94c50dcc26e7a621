"""Computes the matrices that low-rank files stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]
ScaleFor = Callable[[int], float]
"""From the rank of a factorisation to its scale, alpha / rank."""


def weight_delta(tensors: Tensors, scale_for: ScaleFor) -> Tensor | None:
    """What these tensors add to a layer's weight at strength 1, float32, of any shape with as many numbers.

    LoRA: up @ down (arXiv:2106.09685); with a core in the middle for convolutions, LoHa: a Hadamard product of two,
    and LoKr: a Kronecker product (Yeh et al. 2023, arXiv:2309.14859); ``diff``: the difference itself. None if the
    tensors are none of these. Raises ``RuntimeError`` if their shapes do not fit one another.
    """
    found = {name: tensor.float() for name, tensor in tensors.items()}
    if {"down", "up"} <= found.keys():
        return _lora(found) * scale_for(found["down"].shape[0])
    if {"w1_a", "w1_b", "w2_a", "w2_b"} <= found.keys():
        return _hadamard(found) * scale_for(found["w1_b"].shape[0])
    if any(name.startswith("lokr_") for name in found):
        return _kronecker({name.removeprefix("lokr_"): tensor for name, tensor in found.items()}, scale_for)
    return found.get("diff")


def _lora(found: Tensors) -> Tensor:
    up, down = found["up"].flatten(1), found["down"]
    if "mid" not in found:
        return (up @ down.flatten(1)).reshape(up.shape[0], *down.shape[1:])
    return torch.einsum("om,mnhw,ni->oihw", up, found["mid"], down.flatten(1))


def _hadamard(found: Tensors) -> Tensor:
    one, two = (_factors(found, part, f"t{part[1]}") for part in ("w1", "w2"))
    return one * two


def _factors(found: Tensors, part: str, core: str) -> Tensor:
    """a @ b, or the core of a convolution between both: sum over i, j of core[i, j] a[i, out] b[j, in]."""
    a, b = found[f"{part}_a"], found[f"{part}_b"]
    if core not in found:
        return a @ b
    return torch.einsum("ijhw,io,jn->onhw", found[core], a, b)


def _kronecker(found: Tensors, scale_for: ScaleFor) -> Tensor | None:
    """Either factor is a matrix, or a product of two; only a product has a rank, and with it a scale."""
    if not all(part in found or f"{part}_a" in found for part in ("w1", "w2")):
        return None
    one, two = (found[part] if part in found else _product(found, part) for part in ("w1", "w2"))
    ranks = [found[f"{part}_b"].shape[0] for part in ("w2", "w1") if part not in found]
    if two.ndim == 4 and one.ndim == 2:
        one = one[:, :, None, None]
    return torch.kron(one, two) * (scale_for(ranks[0]) if ranks else 1.0)


def _product(found: Tensors, part: str) -> Tensor:
    """The product of a factor's two matrices; in LoKr's second factor for a convolution, b can contain the kernel."""
    a, b = found[f"{part}_a"], found[f"{part}_b"]
    if f"t{part[1]}" in found:
        return _factors(found, part, f"t{part[1]}")
    return (a @ b.flatten(1)).reshape(a.shape[0], *b.shape[1:])
