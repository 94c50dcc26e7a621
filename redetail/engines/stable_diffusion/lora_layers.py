"""Layers of a UNet and its text encoders under the names that LoRA files have for them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from torch import Tensor, nn

from redetail.engines.architectures.latent_diffusion import BASE_NAMES
from redetail.engines.lora.file import Layer, flat_text
from redetail.engines.lora.mixer import LoraMixer
from redetail.engines.stable_diffusion.family import base_of

_RES = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
    "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
_ENDS = {
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
}  # fmt: skip
_BLOCK = re.compile(
    r"^(?P<side>down|up|mid)_blocks?(?:\.(?P<level>\d+))?\.(?P<kind>resnets|attentions|downsamplers|upsamplers)\."
    r"(?P<place>\d+)\.(?P<rest>.+)$"
)


def lora_mixer(unet: nn.Module, text: nn.Module, second: nn.Module | None = None) -> LoraMixer:
    """What merges LoRA into a UNet and its text encoders."""
    base = base_of(getattr(unet, "config", None) or {})
    return LoraMixer(lambda: layers_of(unet, text, second), base, BASE_NAMES.get(base, ""))


def layers_of(unet: nn.Module, text: nn.Module, second: nn.Module | None) -> dict[Layer, nn.Module]:
    """Every layer with a weight under each name that files have for it."""
    unet = getattr(unet, "_orig_mod", unet)  # torch.compile wraps networks
    layers: dict[Layer, nn.Module] = {}
    for name, module in _weighted(unet):
        layers["unet", name.replace(".", "_")] = module
        for original in original_names(name, _layers_per_block(unet)):
            layers["unet", original.replace(".", "_")] = module
    for part, encoder in (("text", text), ("text_2", second)):
        if encoder is not None:
            layers |= {(part, flat_text(name)): module for name, module in _weighted(encoder)}
    return layers


def _weighted(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, module in network.named_modules():
        if isinstance(getattr(module, "weight", None), Tensor):
            yield name, module


def _layers_per_block(unet: nn.Module) -> int:
    found = getattr(getattr(unet, "config", None), "layers_per_block", 2)
    return int(found if isinstance(found, int) else found[0])


def original_names(name: str, layers: int) -> tuple[str, ...]:
    """The original code's names of a layer of a UNet with this many ``layers`` per block; empty if it has none.

    The upscaling layer follows the attention of its block, or takes its place, so it is known under both numbers.
    """
    match = _BLOCK.match(name)
    if match is None:
        return (_ENDS[name],) if name in _ENDS else ()
    kind, place, level = match["kind"], int(match["place"]), int(match["level"] or 0)
    inside = _RES.get(match["rest"], "") if kind == "resnets" else match["rest"]
    slot = int(kind == "attentions")
    if match["side"] == "mid":
        return (f"middle_block.{1 if slot else 2 * place}.{inside}",)
    if kind == "upsamplers":
        number = level * (layers + 1) + layers
        return tuple(f"output_blocks.{number}.{slot}.{inside}" for slot in (1, 2))
    if kind == "downsamplers":
        return (f"input_blocks.{(level + 1) * (layers + 1)}.0.op",)
    if match["side"] == "down":
        return (f"input_blocks.{1 + level * (layers + 1) + place}.{slot}.{inside}",)
    return (f"output_blocks.{level * (layers + 1) + place}.{slot}.{inside}",)
