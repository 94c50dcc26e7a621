"""LoRA for Wan's transformer: its layers under the names that files have for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from redetail.engines.fp8 import Fp8Layer
from redetail.engines.lora.file import Layer
from redetail.engines.lora.mixer import LoraMixer
from redetail.engines.wan import conversion

_TABLE = "scale_shift_table"


def lora_mixer(transformer: nn.Module) -> LoraMixer:
    """What merges LoRA into a WanTransformer3DModel."""
    return LoraMixer(lambda: _layers(transformer), "wan", "Wan")


class _Modulation:
    """The table of a block that shifts and scales: a parameter that is not the weight of a layer."""

    def __init__(self, owner: Any) -> None:
        self._owner = owner

    @property
    def weight(self) -> Tensor:
        table: Tensor = self._owner.scale_shift_table
        return table


def _layers(transformer: nn.Module) -> dict[Layer, Any]:
    """What has a weight, under diffusers' names and those of Wan's authors, which LoRA files share with underscores."""
    found = dict(_weighted(transformer))
    original = conversion.original_layers(len(transformer.get_submodule("blocks")._modules))
    layers: dict[Layer, Any] = {}
    for name, layer in found.items():
        for known in (name, original.get(name, name)):
            layers["unet", known.replace(".", "_")] = layer
    return layers


def _weighted(transformer: nn.Module) -> Iterator[tuple[str, Any]]:
    for name, module in transformer.named_modules():
        if isinstance(module, Fp8Layer) or isinstance(getattr(module, "weight", None), Tensor):
            yield name, module
        if isinstance(getattr(module, _TABLE, None), Tensor):
            yield f"{name}.{_TABLE}".lstrip("."), _Modulation(module)
