"""Files of latent diffusion models with a UNet (Stable Diffusion 1.x, 2.x and XL) and of what is made for them.

There is one recognizer per kind of file; the layouts are facts of the published files. ``RECOGNIZERS`` are ordered from
the most specific to the most general, so that the first answer is right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from redetail.engines.architectures.base import CHECKPOINT, Identity, Recognizer, Shapes

UNET_PREFIX, VAE_PREFIX = "model.diffusion_model.", "first_stage_model."
BASE_NAMES = {
    "sd15": "Stable Diffusion 1.x",
    "sd2": "Stable Diffusion 2.x",
    "sdxl": "Stable Diffusion XL",
    "sdxl-refiner": "the refiner of Stable Diffusion XL",
    "flux": "Flux",
}
"""Base models that a file can belong to, in words."""

# Features of the text that cross-attention reads; each base model has its own (SDXL's refiner reads one encoder only).
BASE_BY_WIDTH = {768: "sd15", 1024: "sd2", 2048: "sdxl", 1280: "sdxl-refiner"}
TEXT_PREFIXES = ("cond_stage_model.", "conditioner.embedders.")
# Bases whose files can be used, and those whose checkpoints can: for Stable Diffusion 2.x there is no motion module.
_USABLE, _LOADABLE = ("", "sd15", "sd2", "sdxl"), ("sd15", "sdxl")
_UNUSABLE_LAYOUTS = ("hotshot", "control-lora", "sparsectrl")
# AnimateLCM's module comes without positions; its authors run it with 64 of them (arXiv:2402.00769).
_ANIMATELCM_LIMIT = 64
INPAINTING_CHANNELS = 9
_MOST_IN_EMBEDDING = 4


def _component(kind: str, noun: str, base: str, **details: Any) -> Identity:
    """A component given with a checkpoint: its option is named after its kind."""
    what = f"{noun} for {BASE_NAMES[base]}" if base in BASE_NAMES else noun
    usable = base in _USABLE and details.get("layout") not in _UNUSABLE_LAYOUTS
    return Identity(kind, base, what, f"--{kind}" if usable else "", details=details)


# --- small files


def _embedding(shapes: Shapes) -> Identity | None:
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
    noun, width = "a textual inversion embedding", widths[chosen[0]]
    return _component("embedding", noun, wide, width=width, tokens=tokens, names=tuple(chosen))


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


def _motion_lora(shapes: Shapes) -> Identity | None:
    names = [name for name in shapes if _LORA.search(name) and "motion_modules" in name]
    if not names:
        return None
    ranks = [min(shapes[name]) for name in names if len(shapes[name]) == 2]
    layout = "original" if any("temporal_transformer" in name for name in names) else "diffusers"
    base = _base_by_levels(names)
    return _component("motion-lora", "a motion LoRA", base, rank=max(ranks, default=0), layout=layout)


def _lora(shapes: Shapes) -> Identity | None:
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
    return _component("lora", "a LoRA", base, **details)


def _base_by_lora_names(shapes: Shapes, names: list[str]) -> str:
    """The base of a LoRA that does not change the text's keys and values: by its text encoders, depth, or other
    blocks."""
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


def _motion_module(shapes: Shapes) -> Identity | None:
    """AnimateDiff (arXiv:2307.04725) and related motion modules."""
    if any("temporal_attentions." in name for name in shapes):
        return _motion_identity("sdxl", version="HotShot-XL", layout="hotshot")
    original = any(".temporal_transformer." in name for name in shapes)
    if not original and ("time_embedding.linear_1.weight" in shapes or not _any(shapes, "motion_modules.0.proj_in.")):
        return None
    names = [name for name in shapes if "motion_modules." in name]
    positions = [shapes[name] for name in names if name.endswith((".pos_encoder.pe", ".pos_embed.pe"))]
    limit = positions[0][1] if positions and len(positions[0]) == 3 else _ANIMATELCM_LIMIT
    base, middle = _base_by_levels(names), any(name.startswith("mid_block.") for name in names)
    details: dict[str, Any] = {
        "version": _motion_version(shapes, base, middle, limit if positions else None),
        "limit": limit,
        "mid_block": middle,
        "widths": _motion_widths(shapes),
        "layout": "original" if original else "diffusers",
    }
    return _motion_identity(base, **details)


def _motion_identity(base: str, *, version: str, **details: Any) -> Identity:
    noun = f"{'an' if version[0] in 'AEIOU' else 'a'} {version} motion module"
    return _component("motion-module", noun, base, version=version, **details)


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


def _controlnet(shapes: Shapes) -> Identity | None:
    """ControlNet (arXiv:2302.05543)."""
    prefix = "control_model." if _any(shapes, "control_model.") else ""
    if "lora_controlnet" in shapes:
        return _component("controlnet", "a ControlNet", _base(shapes, ""), layout="control-lora")
    original, diffusers = f"{prefix}input_hint_block.0.weight", "controlnet_cond_embedding.conv_in.weight"
    if original not in shapes and diffusers not in shapes:
        return None
    sparse = any("motion_modules." in name for name in shapes)
    layout = "sparsectrl" if sparse else "original" if original in shapes else "diffusers"
    hint = shapes.get(original) or shapes[diffusers]
    return _component("controlnet", "a ControlNet", _base(shapes, prefix), layout=layout, hint_channels=hint[1])


# --- checkpoints and their parts


def _checkpoint(shapes: Shapes) -> Identity | None:
    """A UNet in the layout of the original code, most often together with VAE and text encoders."""
    prefix = UNET_PREFIX if f"{UNET_PREFIX}input_blocks.0.0.weight" in shapes else ""
    first = shapes.get(f"{prefix}input_blocks.0.0.weight")
    if first is None or len(first) != 4:
        return None
    parts = ["unet"]
    parts += ["vae"] if _any(shapes, f"{VAE_PREFIX}decoder.") else []
    parts += ["text_encoder"] if any(name.startswith(TEXT_PREFIXES) for name in shapes) else []
    return _checkpoint_identity(shapes, prefix, first[1], tuple(parts), "original")


def _diffusers_unet(shapes: Shapes) -> Identity | None:
    if "time_embedding.linear_1.weight" not in shapes or "conv_in.weight" not in shapes:
        return None
    return _checkpoint_identity(shapes, "", shapes["conv_in.weight"][1], ("unet",), "diffusers")


def _checkpoint_identity(
    shapes: Shapes, prefix: str, channels: int, parts: tuple[str, ...], layout: str
) -> Identity:  # fmt: skip
    base, inpainting = _base(shapes, prefix), channels == INPAINTING_CHANNELS
    prediction = "v" if "v_pred" in shapes else "" if base == "sd2" else "eps"
    details = {"layout": layout, "prefix": prefix, "in_channels": channels, "inpainting": inpainting, "parts": parts}
    if any("motion_modules." in name for name in shapes):
        details["motion"] = True
    option = "--checkpoint" if base in _LOADABLE else ""
    return Identity(CHECKPOINT, base, _checkpoint_words(base, inpainting), option, prediction, details)


def _checkpoint_words(base: str, inpainting: bool) -> str:
    if base == "sdxl-refiner":
        return BASE_NAMES[base]
    if base == "sd15" and inpainting:
        return f"an inpainting checkpoint of {BASE_NAMES[base]}"
    return f"a {BASE_NAMES[base]} checkpoint"


def _base(shapes: Shapes, prefix: str) -> str:
    """The base by structure first: SDXL adds a label embedding; SD 2.x has linear layers around attention, not 1x1
    convs."""
    added = f"{prefix}label_emb.0.0.weight" in shapes or "add_embedding.linear_1.weight" in shapes
    width = next((s[1] for n, s in shapes.items() if n.endswith("attn2.to_k.weight") and n.startswith(prefix)), 0)
    linear = next(
        (len(s) == 2 for n, s in shapes.items() if n.endswith(".proj_in.weight") and "motion" not in n), False
    )
    if added:
        return "sdxl-refiner" if width == 1280 else "sdxl"
    return "sd2" if linear or width == 1024 else "sd15"


_TINY = "decoder.layers.0.weight"


def _vae(shapes: Shapes) -> Identity | None:
    if "encoder.layers.0.weight" in shapes and _TINY in shapes:
        return _component("vae", "a VAE", "", layout="tiny", prefix="", latent_channels=shapes[_TINY][1])
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
    return _component("vae", "a VAE", "", layout=layout, prefix=prefix, latent_channels=first[1])


def _text_encoder(shapes: Shapes) -> Identity | None:
    name = next(
        (n for n in shapes if n.endswith("encoder.layers.0.self_attn.q_proj.weight") and "vision" not in n), None
    )
    if name is None:
        return None
    return Identity("text-encoder", "", "a text encoder", details={"width": shapes[name][0]})


def _any(shapes: Shapes, part: str) -> bool:
    return any(part in name for name in shapes)


RECOGNIZERS: tuple[Recognizer, ...] = (
    _embedding, _motion_lora, _lora, _controlnet, _motion_module, _checkpoint, _diffusers_unet, _vae, _text_encoder,
)  # fmt: skip
