"""What a file is, told from the names and shapes of its tensors; the layouts are facts of the published files.

One function per kind looks at the names and gives a :class:`Kind` or None; the first that answers is right, since the
order goes from what is most particular to what is most general.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Shapes = Mapping[str, tuple[int, ...]]

UNET_PREFIX, VAE_PREFIX = "model.diffusion_model.", "first_stage_model."
# Features of the text that cross-attention reads; each base model has its own (SDXL's refiner reads one encoder only).
BASE_BY_WIDTH = {768: "sd15", 1024: "sd2", 2048: "sdxl", 1280: "sdxl-refiner"}
TEXT_PREFIXES = ("cond_stage_model.", "conditioner.embedders.")
# AnimateLCM's module comes without positions; its authors run it with 64 of them (arXiv:2402.00769).
_ANIMATELCM_LIMIT = 64
_INPAINTING_CHANNELS = 9
_MOST_IN_EMBEDDING = 4
_OTHERS = {
    "double_blocks.0.": "a Flux model",
    "joint_blocks.0.": "a Stable Diffusion 3 model",
    "image_proj.": "an IP-Adapter",
    "ip_adapter.": "an IP-Adapter",
    "SelfAttention": "a T5 text encoder",
    "visual_projection.weight": "a CLIP vision encoder",
    "conv_first.weight": "an upscaler",
    "conv_body.weight": "an upscaler",
    "body.0.block1": "a T2I-Adapter",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """The answer; see :class:`redetail.engines.files.FileFacts` for the values."""

    kind: str
    base: str = ""
    prediction: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


def kind_of(shapes: Shapes) -> Kind:
    """What a file with these tensors is; kind "unknown" where no layout fits."""
    for tell in _RULES:
        found = tell(shapes)
        if found is not None:
            return found
    names = next((what for part, what in _OTHERS.items() if any(part in name for name in shapes)), "")
    return Kind("unknown", details={"what": names} if names else {})


# --- small files


def _embedding(shapes: Shapes) -> Kind | None:
    """Textual inversion (arXiv:2208.01618): one or a few vectors as wide as a text encoder."""
    vectors = {name: shape for name, shape in shapes.items() if len(shape) in (1, 2) and shape[-1] > 1}
    named = [name for name in vectors if name in ("emb_params", "clip_l", "clip_g") or "string_to_param" in name]
    lone = len(shapes) == 1 and len(vectors) == 1 and "." not in next(iter(vectors))
    if len(shapes) > _MOST_IN_EMBEDDING or not (named or lone):
        return None
    chosen = named or list(vectors)
    widths = {name: vectors[name][-1] for name in chosen}
    wide = "sdxl" if "clip_g" in widths else BASE_BY_WIDTH.get(widths[chosen[0]], "")
    tokens = max(vectors[name][0] if len(vectors[name]) == 2 else 1 for name in chosen)
    return Kind("embedding", wide, details={"width": widths[chosen[0]], "tokens": tokens, "names": tuple(chosen)})


_LORA = re.compile(
    r"[._](lora_(down|up|A|B)|lora\.(down|up)|lora_linear_layer\.(down|up)|hada_w[12]_[ab]|lokr_w[12](_[ab])?"
    r"|to_(q|k|v|out)_lora\.(down|up))(\.|$)"
)
_TEXT_INPUT = re.compile(r"attn2[._](processor[._])?to_[kv](_lora\.down|\.lora_down|\.lora_A|\.lora\.down|\.hada_w1_b)")
_LORA_LAYOUTS = {
    "kohya": re.compile(r"^lora_(unet|te)"),
    "peft": re.compile(r"\.lora_[AB]\."),
    "diffusers": re.compile(r"lora"),
}


def _motion_lora(shapes: Shapes) -> Kind | None:
    names = [name for name in shapes if _LORA.search(name) and "motion_modules" in name]
    if not names:
        return None
    ranks = [min(shapes[name]) for name in names if len(shapes[name]) == 2]
    layout = "original" if any("temporal_transformer" in name for name in names) else "diffusers"
    return Kind("motion-lora", _base_by_levels(names), details={"rank": max(ranks, default=0), "layout": layout})


def _lora(shapes: Shapes) -> Kind | None:
    names = [name for name in shapes if _LORA.search(name)]
    if not names:
        return None
    widths = [shapes[name][1] for name in names if _TEXT_INPUT.search(name) and len(shapes[name]) >= 2]
    base = BASE_BY_WIDTH.get(widths[0], "") if widths else _base_by_lora_names(shapes, names)
    layout = next(name for name, pattern in _LORA_LAYOUTS.items() if any(pattern.search(key) for key in names))
    algorithm = "loha" if any("hada_" in name for name in names) else "lora"
    algorithm = "lokr" if any("lokr_" in name for name in names) else algorithm
    ranks = [min(shapes[name][:2]) for name in names if len(shapes[name]) in (2, 4)]
    details = {"layout": layout, "algorithm": algorithm, "rank": max(ranks, default=0)}
    if widths:
        details["text_width"] = widths[0]
    return Kind("lora", base, details=details)


def _base_by_lora_names(shapes: Shapes, names: list[str]) -> str:
    """Of a LoRA that leaves the text's keys and values alone: by its text encoders, depth, or other blocks."""
    if any(name.startswith(("lora_te1_", "lora_te2_")) or "text_encoder_2" in name for name in names):
        return "sdxl"
    if any("double_blocks" in name or "single_transformer_blocks" in name for name in names):
        return "flux"
    if any(re.search(r"transformer_blocks[._][1-9]", name) for name in names):
        return "sdxl"
    text = [name for name in names if name.startswith(("lora_te_", "text_encoder."))]
    inputs = [shapes[name][-1] for name in text if "q_proj" in name and "down" in name]
    return BASE_BY_WIDTH.get(inputs[0], "") if inputs else ""


# --- motion modules and ControlNets


def _motion_module(shapes: Shapes) -> Kind | None:
    """AnimateDiff (arXiv:2307.04725) and its kin."""
    if any("temporal_attentions." in name for name in shapes):
        return Kind("motion-module", "sdxl", details={"version": "HotShot-XL", "layout": "hotshot"})
    original = any(".temporal_transformer." in name for name in shapes)
    if not original and ("time_embedding.linear_1.weight" in shapes or not _any(shapes, "motion_modules.0.proj_in.")):
        return None
    names = [name for name in shapes if "motion_modules." in name]
    positions = [shapes[name] for name in names if name.endswith((".pos_encoder.pe", ".pos_embed.pe"))]
    limit = positions[0][1] if positions and len(positions[0]) == 3 else _ANIMATELCM_LIMIT
    base, middle = _base_by_levels(names), any(name.startswith("mid_block.") for name in names)
    details = {
        "version": _motion_version(shapes, base, middle, limit if positions else None),
        "limit": limit,
        "mid_block": middle,
        "widths": _motion_widths(shapes),
        "layout": "original" if original else "diffusers",
    }
    return Kind("motion-module", base, details=details)


def _motion_version(shapes: Shapes, base: str, middle: bool, limit: int | None) -> str:
    if "conv_in.weight" in shapes and "time_embedding.linear_1.weight" not in shapes:
        return "PIA"
    if limit is None:
        return "AnimateLCM"
    if base == "sdxl":
        return "AnimateDiff SDXL"
    if middle:
        return "AnimateDiff v2"
    return "AnimateDiff v1" if limit == 24 else "AnimateDiff v3"


def _motion_widths(shapes: Shapes) -> tuple[int, ...]:
    pattern = re.compile(r"^down_blocks\.(\d+)\.motion_modules\.0\.(temporal_transformer\.)?norm\.weight$")
    found = {int(match[1]): shapes[name][0] for name in shapes if (match := pattern.match(name))}
    return tuple(found[level] for level in sorted(found))


def _base_by_levels(names: Iterable[str]) -> str:
    """Stable Diffusion has four levels of resolution, SDXL three."""
    levels = {int(match[1]) for name in names if (match := re.search(r"(?:down|up)_blocks\.(\d+)\.", name))}
    return "sdxl" if levels and max(levels) == 2 else "sd15"


def _controlnet(shapes: Shapes) -> Kind | None:
    """ControlNet (arXiv:2302.05543)."""
    prefix = "control_model." if _any(shapes, "control_model.") else ""
    if "lora_controlnet" in shapes:
        return Kind("controlnet", _base(shapes, ""), details={"layout": "control-lora"})
    original, diffusers = f"{prefix}input_hint_block.0.weight", "controlnet_cond_embedding.conv_in.weight"
    if original not in shapes and diffusers not in shapes:
        return None
    sparse = any("motion_modules." in name for name in shapes)
    layout = "sparsectrl" if sparse else "original" if original in shapes else "diffusers"
    hint = shapes.get(original) or shapes[diffusers]
    return Kind("controlnet", _base(shapes, prefix), details={"layout": layout, "hint_channels": hint[1]})


# --- checkpoints and their parts


def _checkpoint(shapes: Shapes) -> Kind | None:
    """A UNet in the layout of the original code, most often with VAE and text encoders beside it."""
    prefix = UNET_PREFIX if f"{UNET_PREFIX}input_blocks.0.0.weight" in shapes else ""
    first = shapes.get(f"{prefix}input_blocks.0.0.weight")
    if first is None or len(first) != 4:
        return None
    parts = ["unet"]
    parts += ["vae"] if _any(shapes, f"{VAE_PREFIX}decoder.") else []
    parts += ["text_encoder"] if any(name.startswith(TEXT_PREFIXES) for name in shapes) else []
    return _unet_kind(shapes, prefix, first[1], tuple(parts), "original")


def _diffusers_unet(shapes: Shapes) -> Kind | None:
    if "time_embedding.linear_1.weight" not in shapes or "conv_in.weight" not in shapes:
        return None
    return _unet_kind(shapes, "", shapes["conv_in.weight"][1], ("unet",), "diffusers")


def _unet_kind(shapes: Shapes, prefix: str, channels: int, parts: tuple[str, ...], layout: str) -> Kind:
    base = _base(shapes, prefix)
    inpainting = channels == _INPAINTING_CHANNELS
    kind = "sd15-inpainting" if base == "sd15" and inpainting else base
    prediction = "v" if "v_pred" in shapes else "" if base == "sd2" else "eps"
    details = {"layout": layout, "prefix": prefix, "in_channels": channels, "inpainting": inpainting, "parts": parts}
    if any("motion_modules." in name for name in shapes):
        details["motion"] = True
    return Kind(kind, base, prediction, details)


def _base(shapes: Shapes, prefix: str) -> str:
    """By structure first: SDXL adds a label embedding, SD 2.x has linear layers around its attention, not 1x1 convs."""
    added = f"{prefix}label_emb.0.0.weight" in shapes or "add_embedding.linear_1.weight" in shapes
    width = next((s[1] for n, s in shapes.items() if n.endswith("attn2.to_k.weight") and n.startswith(prefix)), 0)
    linear = next(
        (len(s) == 2 for n, s in shapes.items() if n.endswith(".proj_in.weight") and "motion" not in n), False
    )
    if added:
        return "sdxl-refiner" if width == 1280 else "sdxl"
    return "sd2" if linear or width == 1024 else "sd15"


def _vae(shapes: Shapes) -> Kind | None:
    if "encoder.layers.0.weight" in shapes and "decoder.layers.0.weight" in shapes:
        return Kind(
            "vae", details={"layout": "tiny", "prefix": "", "latent_channels": shapes["decoder.layers.0.weight"][1]}
        )
    prefix = VAE_PREFIX if f"{VAE_PREFIX}decoder.conv_in.weight" in shapes else ""
    first = shapes.get(f"{prefix}decoder.conv_in.weight")
    if first is None or f"{prefix}encoder.conv_in.weight" not in shapes or len(first) != 4:
        return None
    layouts = {
        "original": "encoder.down.0.block.0.norm1.weight",
        "diffusers": "encoder.down_blocks.0.resnets.0.norm1.weight",
    }
    layout = next((name for name, key in layouts.items() if prefix + key in shapes), None)
    if layout is None:
        return None
    return Kind("vae", details={"layout": layout, "prefix": prefix, "latent_channels": first[1]})


def _text_encoder(shapes: Shapes) -> Kind | None:
    name = next(
        (n for n in shapes if n.endswith("encoder.layers.0.self_attn.q_proj.weight") and "vision" not in n), None
    )
    if name is None:
        return None
    return Kind("text-encoder", details={"width": shapes[name][0]})


def _any(shapes: Shapes, part: str) -> bool:
    return any(part in name for name in shapes)


_RULES: tuple[Callable[[Shapes], Kind | None], ...] = (
    _embedding, _motion_lora, _lora, _controlnet, _motion_module, _checkpoint, _diffusers_unet, _vae, _text_encoder,
)  # fmt: skip
