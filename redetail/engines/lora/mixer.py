"""LoRA (Hu et al. 2021, arXiv:2106.09685) merged into the weights of networks."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from redetail.engines.fp8 import Fp8Layer
from redetail.engines.lora.delta import weight_delta
from redetail.engines.lora.file import Layer, LoraFile, read_lora
from redetail.engines.spec import WeightedFile
from redetail.errors import ModelError

_LOG = logging.getLogger(__name__)
_NAMED = 3


class LoraMixer:
    """Puts networks into the state "as loaded, and these LoRAs".

    The sum W + sum of strength * delta is computed in float32 and rounded once to the precision of the weight. The
    original weights that LoRAs change are kept, so that every state is computed from them and errors do not accumulate.
    A weight that stays in fp8 is not changed; the sum, which fp8 could not hold, is computed every time it is used.
    Threads change the networks one after another; a thread that computes with them holds the engine's lock.
    """

    def __init__(self, layers: Callable[[], Mapping[Layer, Any]], base: str, name: str) -> None:
        """``layers``: returns the layers with weights under each name that files use for them, and is called for the
        first LoRA; ``base`` and ``name``: the base model, "" if the networks do not show it."""
        self._find, self._base, self._name = layers, base, name
        self._lock = threading.Lock()
        self._originals: dict[tuple[Layer, str], Tensor | None] = {}  # None if the weight itself is not changed
        self._current: tuple[tuple[str, int, float], ...] = ()
        self._said: set[Path] = set()

    @cached_property
    def _layers(self) -> Mapping[Layer, Any]:
        return self._find()

    @torch.inference_mode()
    def use(self, loras: Sequence[WeightedFile]) -> None:
        """Set the networks to their original weights plus ``loras``, which add up; a strength of 0 changes nothing.

        Raises :class:`~redetail.errors.ModelError` for a file that is not a LoRA, is for another base model or fits no
        layer; then the networks stay as they were. It also raises this if a sum is not finite; then the networks have
        their original weights. Layers that do not exist here are named in one warning per file.
        """
        active = [lora for lora in loras if lora.strength != 0]
        wanted = tuple((str(lora.path), _changed(lora), lora.strength) for lora in active)
        with self._lock:
            if wanted != self._current:
                self._change(active, wanted)

    def _change(self, active: Sequence[WeightedFile], wanted: tuple[tuple[str, int, float], ...]) -> None:
        changes = [(change, lora.strength) for lora in active for change in self._changes(read_lora(lora.path))]
        by_weight: dict[tuple[Layer, str], list[tuple[_Change, float]]] = {}
        for change, strength in changes:
            by_weight.setdefault((change.layer, change.name), []).append((change, strength))
        try:
            for key in [*by_weight, *(self._originals.keys() - by_weight.keys())]:
                self._set(key, by_weight.get(key, ()))
        except BaseException:
            self._restore()
            raise
        self._current = wanted

    def check(self, loras: Sequence[WeightedFile]) -> None:
        """Raise what :meth:`use` would raise for files that do not fit; nothing is changed."""
        for lora in loras:
            if lora.strength != 0:
                self._changes(read_lora(lora.path))

    def _restore(self) -> None:
        self._current = ()
        for key in list(self._originals):
            self._set(key, ())

    def _changes(self, lora: LoraFile) -> list[_Change]:
        """What a file changes here, checked for its shape."""
        self._check_base(lora)
        found = [change for layer in lora.layers for change in _changes_of(lora, layer)]
        fitting = [change for change in found if self._shape(change.layer, change.name) is not None]
        for change in fitting:
            self._check_shape(lora, change)
        if not fitting:
            raise ModelError(
                f"This model{self._named()} has none of the {len(lora.layers)} layers in the LoRA {lora.path} (for "
                f"example {_text(next(iter(lora.layers), ('unet', '')))}); use a LoRA for the same base model."
            )
        known = {change.layer for change in fitting}
        strangers = [*(_text(layer) for layer in lora.layers if layer not in known), *lora.unknown]
        if strangers and lora.path not in self._said:
            self._said.add(lora.path)
            _LOG.warning(
                "This model lacks %d of the %d layers in the LoRA %s; left out: %s.",
                len(strangers), len(strangers) + len(known), lora.path,
                ", ".join(strangers[:_NAMED]) + (" ..." if len(strangers) > _NAMED else ""),
            )  # fmt: skip
        return fitting

    def _check_base(self, lora: LoraFile) -> None:
        if self._base and lora.facts.base and lora.facts.base != self._base:
            raise ModelError(
                f"{lora.path} is {lora.facts.what}, but this model is {self._name}; use a LoRA for the same base model."
            )

    def _check_shape(self, lora: LoraFile, change: _Change) -> None:
        shape, delta = self._shape(change.layer, change.name), change.delta_shape()
        if shape is not None and (delta is None or delta.numel() != shape.numel() or delta[0] != shape[0]):
            raise ModelError(
                f"The LoRA {lora.path} does not fit this model{self._named()}: the LoRA's layer {_text(change.layer)} "
                f"is for weights of {_dimensions(delta)}, not {_dimensions(shape)}; use a LoRA for the same base model."
            )

    def _set(self, key: tuple[Layer, str], found: _Changes) -> None:
        """Apply these changes to a weight, or restore its original, which is kept in main memory, if there are none."""
        (layer, name), owner = key, self._layers[key[0]]
        if name == "weight" and isinstance(owner, Fp8Layer):
            self._patch(key, owner, found)
            return
        weight: Tensor = getattr(owner, name)
        original = self._originals.get(key, weight)
        assert original is not None, "only fp8 weights have no original"
        if not found:
            weight.copy_(original)
            self._originals.pop(key, None)
            return
        merged = _merged(original.to(weight.device), found)
        _check_finite(merged, layer, found)
        if key not in self._originals:
            self._originals[key] = weight.detach().to("cpu", copy=True)
        weight.copy_(merged)

    def _patch(self, key: tuple[Layer, str], owner: Fp8Layer, found: _Changes) -> None:
        if not found:
            owner.patch = None
            self._originals.pop(key, None)
            return
        _check_finite(_merged(owner.original, found), key[0], found)
        self._originals[key] = None
        owner.patch = lambda weight: _merged(weight, found)

    def _shape(self, layer: Layer, name: str) -> torch.Size | None:
        """The shape of a parameter; None if there is none with that name."""
        owner = self._layers.get(layer)
        if name == "weight" and isinstance(owner, Fp8Layer):
            return owner.shape
        parameter = getattr(owner, name, None)
        return parameter.shape if isinstance(parameter, Tensor) else None

    def _named(self) -> str:
        return f" ({self._name})" if self._base else ""


@dataclass(frozen=True, slots=True)
class _Change:
    """What a file does to the parameter ``name`` of a layer."""

    lora: LoraFile
    layer: Layer
    name: str

    def delta(self, device: torch.device) -> Tensor:
        """The change at strength 1, float32."""
        delta = self._made({role: tensor.to(device) for role, tensor in self.lora.layers[self.layer].items()})
        assert delta is not None
        return delta

    def delta_shape(self) -> torch.Size | None:
        """The shape of the change, without computing it; None if the tensors do not fit one another."""
        tensors = {role: tensor.to("meta") for role, tensor in self.lora.layers[self.layer].items()}
        try:
            delta = self._made(tensors)
        except (RuntimeError, IndexError):
            return None
        return None if delta is None else delta.shape

    def _made(self, tensors: dict[str, Tensor]) -> Tensor | None:
        if self.name == "bias":
            return tensors["diff_b"].float()
        return weight_delta(tensors, lambda rank: self.lora.scale(self.layer, rank))


_Changes = Sequence[tuple[_Change, float]]
"""The changes of files to one parameter, with their strengths."""


def _merged(original: Tensor, found: _Changes) -> Tensor:
    """The new value of a parameter, on the device and in the precision of the original."""
    total = original.to(torch.float32, copy=True)
    for change, strength in found:
        total += change.delta(original.device).reshape(original.shape) * strength
    return total.to(original.dtype)


def _check_finite(merged: Tensor, layer: Layer, found: _Changes) -> None:
    if not torch.isfinite(merged).all():
        raise ModelError(
            f"Weights of {_text(layer)} are not finite after adding "
            f"{' and '.join(str(change.lora.path) for change, _ in found)}; give a smaller strength, or copy or "
            "download the LoRA again."
        )


def _changes_of(lora: LoraFile, layer: Layer) -> Iterator[_Change]:
    roles = lora.layers[layer].keys()
    if roles - {"diff_b", "alpha"}:
        yield _Change(lora, layer, "weight")
    if "diff_b" in roles:
        yield _Change(lora, layer, "bias")


def _changed(lora: WeightedFile) -> int:
    """When the file was last written; 0 if there is no file, which reading it will report."""
    return lora.path.stat().st_mtime_ns if os.path.isfile(lora.path) else 0


def _text(layer: Layer) -> str:
    return f"{layer[0]}: {layer[1]}" if layer[0] != "unet" else layer[1]


def _dimensions(shape: torch.Size | None) -> str:
    return "another shape" if shape is None else "x".join(str(size) for size in shape)
