"""Weights stored in fewer bits: fp8 with a scale, as in ComfyUI's files, and GGUF.

Scaled fp8 comes in two forms. In the older one a marker ``scaled_fp8`` and a tensor ``LAYER.scale_weight`` accompany
``LAYER.weight``; in the newer one ``LAYER.weight_scale`` and ``LAYER.comfy_quant``, a JSON text that names the format.
Both mean weight * scale. Scales of the layers' inputs are not used: the networks compute in their own precision.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from redetail.errors import ModelError
from redetail.optional import require

_SCALES = (".scale_weight", ".weight_scale")
_UNUSED = (".scale_input", ".input_scale", ".comfy_quant")
_MARKER, _FORMAT = "scaled_fp8", ".comfy_quant"
_FP8 = ("float8_e4m3fn", "float8_e5m2")
_INSTEAD = "use a bf16, fp16, scaled fp8 or GGUF file of the same model"
ORIGINAL_SHAPE = "comfy.gguf.orig_shape."
"""Prefix of the field that holds the original shape of a tensor with more dimensions than GGUF supports."""


def scales_of(path: Path, names: Mapping[str, Any], read: Callable[[str], Tensor]) -> dict[str, str]:
    """The names of the scales of all weights that have one, among the tensors that a file ``names``.

    Raises :class:`~redetail.errors.ModelError`, which names the quantisation, for any other kind.
    """
    for name in names:
        if name.endswith(_FORMAT):
            _check_format(path, read(name))
        if name.endswith(".weight_scale_2"):
            raise ModelError(f"{path} contains weights in nvfp4, which is not supported; {_INSTEAD}.")
    scales = {}
    for name in names:
        stem, end = next(((name.removesuffix(end), end) for end in _SCALES if name.endswith(end)), ("", ""))
        if end and f"{stem}.weight" in names:
            scales[f"{stem}.weight"] = name
    return scales


def beside(name: str) -> bool:
    """Whether a tensor of this name belongs to the quantisation of a file, not to its network."""
    return name.endswith((*_SCALES, *_UNUSED)) or name.rpartition(".")[2] == _MARKER


@dataclass(frozen=True, slots=True)
class Fp8Tensor:
    """A weight as stored in a file: fp8 ``values``, and a ``scale`` with one number or one for each row (None: 1)."""

    values: Tensor
    scale: Tensor | None

    def converted(self) -> Tensor:
        """values * scale in float32; without a scale the values in fp8, which every precision holds exactly."""
        if self.scale is None:
            return self.values
        shape = () if self.scale.numel() == 1 else (-1, *(1,) * (self.values.ndim - 1))
        return self.values.float() * self.scale.float().reshape(shape)

    def to(self, device: str) -> Fp8Tensor:
        """The same on a device."""
        return Fp8Tensor(self.values.to(device), None if self.scale is None else self.scale.to(device))


def scaled(weight: Tensor, scale: Tensor, origin: str) -> Fp8Tensor:
    """A weight and its scale.

    Raises :class:`~redetail.errors.ModelError`, which begins with ``origin``, for scales of blocks.
    """
    if scale.numel() not in (1, *weight.shape[:1]):
        raise ModelError(
            f"{origin} has {scale.numel()} scales for a weight of shape {tuple(weight.shape)}, as in mxfp8, which is "
            f"not supported; {_INSTEAD}."
        )
    return Fp8Tensor(weight, scale)


def _check_format(path: Path, text: Tensor) -> None:
    try:
        name = json.loads(text.numpy().tobytes())["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{path} does not say how its weights are stored; copy or download it again.") from error
    if name not in _FP8:
        raise ModelError(f"{path} contains weights in {name}, which is not supported; {_INSTEAD}.")


class GgufTensors(Mapping[str, Tensor]):
    """The tensors of a GGUF file, dequantised when they are read; ``shapes`` and ``types`` by name.

    Raises :class:`~redetail.errors.ModelError` for a file that is damaged, and
    :class:`~redetail.errors.DependencyError` without the package gguf.
    """

    def __init__(self, path: Path) -> None:
        self._gguf = require("gguf")
        try:
            self._reader = self._gguf.GGUFReader(path)
        except (ValueError, KeyError, IndexError, OSError, TypeError, OverflowError, MemoryError) as error:
            raise ModelError(f"The weight file {path} is truncated or damaged; copy or download it again.") from error
        self._path = path
        self._tensors = {tensor.name: tensor for tensor in self._reader.tensors}
        self.shapes = {name: self._shape(name) for name in self._tensors}
        self.types = {name: tensor.tensor_type.name for name, tensor in self._tensors.items()}

    def __getitem__(self, name: str) -> Tensor:
        tensor = self._tensors[name]
        try:
            values = self._gguf.dequantize(tensor.data, tensor.tensor_type)
            return torch.from_numpy(values.copy()).reshape(self.shapes[name])
        except NotImplementedError as error:
            raise ModelError(
                f"{self._path} contains weights in {tensor.tensor_type.name}, which is not supported; {_INSTEAD}."
            ) from error
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"The tensor {name} in {self._path} is damaged; copy or download the file again."
            ) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def _shape(self, name: str) -> tuple[int, ...]:
        """GGUF counts dimensions from the last one, and has four of them."""
        stored = self._tensors[name]
        stated = self._reader.get_field(ORIGINAL_SHAPE + name)
        sizes = stored.shape[::-1] if stated is None else stated.contents()
        try:
            shape = tuple(map(int, sizes))
            if min(shape, default=0) < 0 or math.prod(shape) != int(stored.n_elements):
                raise ValueError("another number of values")
            return shape
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"The shape of {name} in {self._path} is invalid; copy or download the file again."
            ) from error
