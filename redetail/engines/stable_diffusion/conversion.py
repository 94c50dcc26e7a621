"""From the names of Stable Diffusion's original code to those of diffusers, and the configs of its networks.

The original code numbers the blocks of its UNet consecutively; diffusers groups them by level. The structure of a
network (widths, depths, where it attends) follows from the shapes of its tensors. Stable Diffusion 1.x has eight
attention heads; later models have heads of 64 features, and linear layers around their attention. All of them have
norms over 32 groups.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Shapes = Mapping[str, tuple[int, ...]]
# Values that the shapes do not show, as published by CompVis and Stability.
_HEADS, _HEAD = 8, 64
SIZES_WIDTH = 256
"""Number of features into which Stable Diffusion XL turns each number of a picture's sizes."""

_RES = {
    "in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj", "out_layers.0": "norm2",
    "out_layers.3": "conv2", "skip_connection": "conv_shortcut",
}  # fmt: skip
_UNET_ENDS = {
    "time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in", "out.0": "conv_norm_out", "out.2": "conv_out",
    "label_emb.0.0": "add_embedding.linear_1", "label_emb.0.2": "add_embedding.linear_2",
}  # fmt: skip


@dataclass(slots=True)
class UnetPlan:
    """The structure of a UNet in the original layout.

    ``widths``: the widths of its levels; ``attended``: which levels attend to the text; ``inputs`` and ``outputs``: the
    level of each numbered block and its position there; ``downs``: the blocks that only scale down.
    """

    widths: list[int] = field(default_factory=list)
    attended: list[bool] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    layers: int = 0
    downs: set[int] = field(default_factory=set)
    inputs: dict[int, tuple[int, int]] = field(default_factory=dict)
    outputs: dict[int, tuple[int, int]] = field(default_factory=dict)


def plan_unet(shapes: Shapes) -> UnetPlan:
    """The structure of a UNet whose names begin with "input_blocks"; raises ``KeyError`` if blocks are missing."""
    plan, index, place = UnetPlan(), 1, 0
    while f"input_blocks.{index}.0.op.weight" in shapes or f"input_blocks.{index}.0.in_layers.2.weight" in shapes:
        if f"input_blocks.{index}.0.op.weight" in shapes:
            plan.downs.add(index)
            plan.inputs[index] = (len(plan.widths) - 1, 0)
            place = 0
        else:
            if place == 0:
                _begin_level(plan, shapes, index)
            plan.inputs[index] = (len(plan.widths) - 1, place)
            place += 1
            plan.layers = max(plan.layers, place)
        index += 1
    for number in range(len(plan.widths) * (plan.layers + 1)):
        plan.outputs[number] = divmod(number, plan.layers + 1)
    return plan


def _begin_level(plan: UnetPlan, shapes: Shapes, index: int) -> None:
    plan.widths.append(shapes[f"input_blocks.{index}.0.in_layers.2.weight"][0])
    plan.attended.append(f"input_blocks.{index}.1.norm.weight" in shapes)
    blocks = [name for name in shapes if name.startswith(f"input_blocks.{index}.1.transformer_blocks.")]
    plan.depths.append(max((int(name.split(".")[4]) + 1 for name in blocks), default=1))


def unet_config(shapes: Shapes) -> dict[str, Any]:
    """The config of the UNet2DConditionModel with these shapes."""
    plan = plan_unet(shapes)
    context = next(shape[1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight"))
    return {
        "in_channels": shapes["input_blocks.0.0.weight"][1],
        "out_channels": shapes["out.2.weight"][0],
        "block_out_channels": tuple(plan.widths),
        "layers_per_block": plan.layers,
        "down_block_types": tuple("CrossAttnDownBlock2D" if on else "DownBlock2D" for on in plan.attended),
        "up_block_types": tuple("CrossAttnUpBlock2D" if on else "UpBlock2D" for on in reversed(plan.attended)),
        "cross_attention_dim": context,
        **_attention(shapes, plan),
        **_added(shapes),
    }


def _attention(shapes: Shapes, plan: UnetPlan) -> dict[str, Any]:
    """The heads (which diffusers calls "attention_head_dim") and how many layers the attention of each level has."""
    if not any(len(shape) == 2 for name, shape in shapes.items() if name.endswith(".proj_in.weight")):
        return {"attention_head_dim": _HEADS}
    return {
        "attention_head_dim": tuple(max(1, width // _HEAD) for width in plan.widths),
        "transformer_layers_per_block": tuple(plan.depths),
        "use_linear_projection": True,
    }


def _added(shapes: Shapes) -> dict[str, Any]:
    """The conditions that are added to the timestep: in Stable Diffusion XL, the pooled text and the picture's
    sizes."""
    added = shapes.get("label_emb.0.0.weight")
    if added is None:
        return {}
    return {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": SIZES_WIDTH,
        "projection_class_embeddings_input_dim": added[1],
    }


def unet_names(shapes: Shapes) -> dict[str, str]:
    """Diffusers' name for each original name; names that do not belong to a UNet are left out."""
    plan = plan_unet(shapes)
    found = {name: _unet_name(name, plan) for name in shapes}
    return {name: new for name, new in found.items() if new}


def _unet_name(name: str, plan: UnetPlan) -> str:
    stem, _, last = name.rpartition(".")
    if stem in _UNET_ENDS:
        return f"{_UNET_ENDS[stem]}.{last}"
    match = re.match(r"(input_blocks|output_blocks|middle_block)\.(\d+)\.(.+)$", name)
    if match is None:
        return ""
    side, number, rest = match[1], int(match[2]), match[3]
    if side == "middle_block":
        return f"mid_block.attentions.0.{rest}" if number == 1 else f"mid_block.resnets.{number // 2}.{_res_name(rest)}"
    kind, _, rest = rest.partition(".")
    if side == "input_blocks":
        return (
            _placed(f"down_blocks.{plan.inputs[number][0]}", plan.inputs[number][1], kind, rest)
            if (number in plan.inputs)
            else ""
        )
    if number not in plan.outputs:
        return ""
    level, place = plan.outputs[number]
    return _placed(f"up_blocks.{level}", place, kind, rest)


def _placed(block: str, place: int, kind: str, rest: str) -> str:
    """The module of a numbered block: the first one is a ResNet (or scales down), the others attend or scale up."""
    if rest.startswith("op."):
        return f"{block}.downsamplers.0.conv.{rest.removeprefix('op.')}"
    if rest.startswith("conv."):
        return f"{block}.upsamplers.0.{rest}"
    return f"{block}.resnets.{place}.{_res_name(rest)}" if kind == "0" else f"{block}.attentions.{place}.{rest}"


def _res_name(rest: str) -> str:
    stem, _, last = rest.rpartition(".")
    return f"{_RES.get(stem, stem)}.{last}"


# --- the VAE

_MIDDLE = "mid_block.attentions.0"
_VAE_ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_Rule = tuple[str, Callable[["re.Match[str]", int], str]]
_VAE_RULES: tuple[_Rule, ...] = (
    (r"encoder\.down\.(\d+)\.block\.(\d+)\.(.+)", lambda m, _: f"encoder.down_blocks.{m[1]}.resnets.{m[2]}.{m[3]}"),
    (r"encoder\.down\.(\d+)\.downsample\.(.+)", lambda m, _: f"encoder.down_blocks.{m[1]}.downsamplers.0.{m[2]}"),
    (
        r"decoder\.up\.(\d+)\.block\.(\d+)\.(.+)",
        lambda m, n: f"decoder.up_blocks.{n - int(m[1])}.resnets.{m[2]}.{m[3]}",
    ),
    (r"decoder\.up\.(\d+)\.upsample\.(.+)", lambda m, n: f"decoder.up_blocks.{n - int(m[1])}.upsamplers.0.{m[2]}"),
    (r"(.+)\.mid\.block_(\d)\.(.+)", lambda m, _: f"{m[1]}.mid_block.resnets.{int(m[2]) - 1}.{m[3]}"),
    (
        r"(.+)\.mid\.attn_1\.(norm|q|k|v|proj_out)\.(\w+)",
        lambda m, _: f"{m[1]}.{_MIDDLE}.{_VAE_ATTENTION[m[2]]}.{m[3]}",
    ),
    (r"(.+\.attentions\.0)\.(query|key|value|proj_attn)\.(\w+)", lambda m, _: f"{m[1]}.{_OLD_ATTENTION[m[2]]}.{m[3]}"),
    (r"(encoder|decoder)\.norm_out\.(\w+)", lambda m, _: f"{m[1]}.conv_norm_out.{m[2]}"),
    (r"(.+)", lambda m, _: m[1]),
)


def vae_names(shapes: Shapes) -> dict[str, str]:
    """Diffusers' name for each name in an autoencoder, original or diffusers' own (including old names of its
    attention)."""
    top = max((int(match[1]) for name in shapes if (match := re.match(r"decoder\.up\.(\d+)\.", name))), default=0)
    names = {}
    for name in shapes:
        if name.startswith(("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")):
            match, rule = next((m, rule) for pattern, rule in _VAE_RULES if (m := re.fullmatch(pattern, name)))
            names[name] = rule(match, top).replace("nin_shortcut", "conv_shortcut")
    return names


def vae_config(shapes: Shapes, scale: float) -> dict[str, Any]:
    """The config of the AutoencoderKL with these shapes, in diffusers' names; ``scale``: from its mean to latents."""
    widths, level = [], 0
    while f"encoder.down_blocks.{level}.resnets.0.conv1.weight" in shapes:
        widths.append(shapes[f"encoder.down_blocks.{level}.resnets.0.conv1.weight"][0])
        level += 1
    layers = len({name.split(".")[4] for name in shapes if name.startswith("encoder.down_blocks.0.resnets.")})
    return {
        "block_out_channels": tuple(widths),
        "down_block_types": ("DownEncoderBlock2D",) * level,
        "up_block_types": ("UpDecoderBlock2D",) * level,
        "layers_per_block": layers,
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "use_quant_conv": "quant_conv.weight" in shapes,
        "use_post_quant_conv": "post_quant_conv.weight" in shapes,
        "scaling_factor": scale,
    }
