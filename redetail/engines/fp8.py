"""Layers whose weights stay in fp8, as in their file, and are converted every time they are used.

They take half the memory of half precision, and give bit for bit the same results as layers whose weights are converted
on loading. The price is a conversion of each weight in each call.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from redetail.engines.quantized import Fp8Tensor
from redetail.engines.state_dict import StateDict
from redetail.engines.weightfile import TensorView

Patch = Callable[[Tensor], Tensor]
"""Applies LoRA to a weight; returns a new tensor of the same shape and precision."""


class Fp8Layer(nn.Module):
    """A linear layer or an embedding, with its weight in fp8.

    ``dtype``: the precision that it computes in; ``patch``: applied to the converted weight in each call (None:
    nothing).
    """

    def __init__(self, layer: nn.Linear | nn.Embedding, weight: Fp8Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.stored = nn.Parameter(weight.values, requires_grad=False)
        self.scale = None if weight.scale is None else nn.Parameter(weight.scale, requires_grad=False)
        self.bias = getattr(layer, "bias", None)
        self.embeds, self.dtype = isinstance(layer, nn.Embedding), dtype
        self.patch: Patch | None = None

    @property
    def shape(self) -> torch.Size:
        """The shape of the weight."""
        return self.stored.shape

    @property
    def original(self) -> Tensor:
        """The converted weight, without the patch."""
        return Fp8Tensor(self.stored, self.scale).converted().to(self.dtype)

    @property
    def weight(self) -> Tensor:
        """The weight that the layer computes with."""
        return self.original if self.patch is None else self.patch(self.original)

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs); of an embedding, (...) whole numbers -> (..., width)."""
        if not self.embeds:
            return nn.functional.linear(x, self.weight, self.bias)
        if self.patch is not None or (self.scale is not None and self.scale.numel() > 1):
            return nn.functional.embedding(x, self.weight)
        rows = nn.functional.embedding(x, self.stored.view(torch.uint8)).view(self.stored.dtype)
        return Fp8Tensor(rows, self.scale).converted().to(self.dtype)


def keep_fp8(network: nn.Module, state: StateDict, dtype: torch.dtype, *, exact: Collection[str] = ()) -> StateDict:
    """Put an :class:`Fp8Layer` if a file holds the weight of a layer in fp8; the network is a skeleton, and is
    changed. Returns the tensors that it wants then.

    ``exact``: names of modules whose weights are converted all the same.
    """
    tensors = state.tensors
    if not isinstance(tensors, TensorView):
        return state
    found = dict(_stored(network, tensors, exact))
    kept: dict[str, Tensor] = {}
    for name, weight in found.items():
        layer: Any = network.get_submodule(name)
        network.set_submodule(name, Fp8Layer(layer, weight.to("meta"), dtype))
        kept |= {f"{name}.stored": weight.values} | ({} if weight.scale is None else {f"{name}.scale": weight.scale})
    rest = {name: tensors[name] for name in tensors if name.removesuffix(".weight") not in found}
    return replace(state, tensors=kept | rest, kept=frozenset(kept)) if found else state


def _stored(network: nn.Module, tensors: TensorView, exact: Collection[str]) -> Iterator[tuple[str, Fp8Tensor]]:
    """Every layer whose weight is in fp8, by its name."""
    for name, layer in network.named_modules():
        weight = f"{name}.weight"
        if isinstance(layer, nn.Linear | nn.Embedding) and weight in tensors and set(exact).isdisjoint(name.split(".")):
            stored = tensors.fp8(weight)
            if stored is not None and stored.values.shape == layer.weight.shape:
                yield name, stored
