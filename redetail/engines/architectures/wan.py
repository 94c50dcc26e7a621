"""Wan 2.1 and 2.2, text to video (Wan Team 2025, arXiv:2503.20314): a video transformer with a causal video VAE."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redetail.engines.architectures.base import CHECKPOINT, Architecture, Identity, KnownModel, PartSizes, Shapes
from redetail.engines.config import class_name, read_config

if TYPE_CHECKING:
    from redetail.engines.base import Engine
    from redetail.engines.device import Placement
    from redetail.engines.files import FileFacts
    from redetail.engines.spec import ModelSpec

TRANSFORMERS = ("transformer_2", "transformer")
"""Folders that hold a transformer: Wan 2.2's low-noise expert, which is used where it exists, and the only one of
Wan 2.1 or the high-noise expert."""
PARTS = (*TRANSFORMERS, "vae", "text_encoder")

# What people publish for detailing faces with Wan 2.2's low-noise expert: shift 1, denoise 0.2 to 0.3, 8 to 10 steps,
# cfg 3 to 5. With the shift of 8 that is usual for whole clips, denoise 0.3 would start at a noise level of 0.78.
_LOW_NOISE: Mapping[str, Any] = {
    "sampler": "euler",
    "scheduler": "simple",
    "shift": 1.0,
    "steps": 10,
    "denoise": 0.25,
    "cfg": 4.0,
}

# lightx2v's distilled weights and LoRA: 4 steps of Euler without guidance. Shift and denoise as above: the shift of 5
# that is published with them is for whole clips.
_LIGHTNING: Mapping[str, Any] = {**_LOW_NOISE, "steps": 4, "cfg": 1.0}


def transformer_folder(folder: Path) -> Path | None:
    """The folder of the transformer that is used; None if the model has no Wan transformer."""
    for name in TRANSFORMERS:
        config = folder / name / "config.json"
        if os.path.isfile(config) and class_name(read_config(config)) == "WanTransformer3DModel":
            return folder / name
    return None


def _folder_of(path: Path) -> Path | None:
    return path if transformer_folder(path) is not None else None


_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "")
# Number of blocks of every published network by width: a file with fewer is cut short, although it loads and runs.
_TRANSFORMER_BLOCKS, _TEXT_BLOCKS = {1536: 30, 5120: 40}, {4096: 24}
_BLOCK = re.compile(r"(?:^|\.)(?:blocks?|blk)\.(\d+)\.")
_SIZES = {1536: " with 1.3B parameters", 5120: " with 14B parameters"}
# Variants of Wan that take more than text, by a part of a name that only they have.
_OTHER_KINDS = {
    "vace_": "VACE",
    "face_adapter.": "Animate",
    "motion_encoder.": "Animate",
    "audio_injector.": "speech to video",
    "casual_audio_encoder.": "speech to video",
    "audio_proj.": "speech to video",
    "control_adapter.": "camera control",
    "ref_conv.": "Fun Control",
    "img_emb.": "image to video",
    "image_embedder.": "image to video",
}


def _transformer(shapes: Shapes) -> Identity | None:
    """A transformer in the names of Wan's authors, which ComfyUI keeps, or of diffusers."""
    for prefix in _PREFIXES:
        original = f"{prefix}head.modulation" in shapes and f"{prefix}text_embedding.0.weight" in shapes
        if original or f"{prefix}condition_embedder.time_proj.weight" in shapes:
            return _transformer_below(prefix, shapes, "original" if original else "diffusers")
    return None


def _transformer_below(prefix: str, shapes: Shapes, layout: str) -> Identity:
    width, channels, *_ = (*shapes.get(f"{prefix}patch_embedding.weight", ()), 0, 0)
    blocks = _blocks(shapes)
    details = {"layout": layout, "prefix": prefix, "in_channels": channels, "width": width, "blocks": blocks}
    other = _other_kind(shapes, channels, width)
    if other:
        what = f"an unsupported kind of Wan transformer, {other}"
        return Identity("transformer", "wan", what, details=details)
    what, whole = f"a text-to-video transformer of Wan 2.1 or 2.2{_SIZES.get(width, '')}", _TRANSFORMER_BLOCKS
    if blocks < whole.get(width, 0):
        return Identity(CHECKPOINT, "wan", _cut(what, blocks, whole[width]), details=details)
    return Identity(CHECKPOINT, "wan", what, "--checkpoint", details=details)


def _blocks(shapes: Shapes) -> int:
    """The number of blocks, by the numbers in the names of tensors."""
    return len({match[1] for name in shapes if (match := _BLOCK.search(name))})


def _cut(what: str, blocks: int, whole: int) -> str:
    return f"{what}, cut down to {blocks} of {whole} blocks"


def _other_kind(shapes: Shapes, channels: int, width: int) -> str:
    """How a transformer differs from those that take only text and latents of 16 channels; "" for these."""
    named = next((what for part, what in _OTHER_KINDS.items() if any(part in name for name in shapes)), "")
    if named:
        return f"for {named}"
    if channels == 48:
        return "for the 48-channel VAE of the 5B-parameter Wan 2.2"
    if channels > 16:
        return f"for image-to-video or control ({channels} channels)"
    return f"with attention heads of an unsupported width ({width} features in all)" if width % 128 else ""


def _vae(shapes: Shapes) -> Identity | None:
    """The video VAE in the names of Wan's authors or of diffusers."""
    original = len(shapes.get("encoder.conv1.weight", ())) == 5 and "decoder.middle.0.residual.0.gamma" in shapes
    first = shapes.get("decoder.conv1.weight" if original else "decoder.conv_in.weight", ())
    if len(first) != 5 or not (original or "post_quant_conv.weight" in shapes):
        return None
    details = {"layout": "original" if original else "diffusers", "prefix": "", "latent_channels": first[1]}
    if first[1] == 48:
        what = "the VAE of the 5B-parameter Wan 2.2 (not supported)"
        return Identity("vae", "wan", what, details=details)
    return Identity("vae", "wan", "a VAE for Wan 2.1 and the 14B-parameter Wan 2.2", "--vae", details=details)


_LORA_ROLE = re.compile(r"[._](lora_(down|up|A|B)(\.default)?\.weight|diff|diff_b|hada_w1_a|lokr_w1)$")
# Layers of the blocks in the names of Wan's authors, and in those of diffusers; other families have other blocks.
_LORA_LAYER = re.compile(
    r"(^|[._])blocks[._]\d+[._]((self|cross)_attn[._](q|k|v|o)[._]|ffn[._][02][._]|attn[12][._](to|add)_)"
)


def _lora(shapes: Shapes) -> Identity | None:
    """A LoRA in the layouts of ComfyUI and lightx2v, kohya's scripts, or diffusers."""
    names = [name for name in shapes if _LORA_ROLE.search(name) and _LORA_LAYER.search(name)]
    if not names or any("transformer_blocks" in name for name in names):
        return None
    pairs = [name for name in names if name.endswith(("lora_down.weight", "lora_A.weight", "lora_A.default.weight"))]
    rank = max((shapes[name][0] for name in pairs), default=0)
    widths = [shapes[name][-1] for name in pairs if "attn" in name]
    details = {"rank": rank, "width": widths[0] if widths else 0}
    what = f"a LoRA for Wan{_SIZES.get(details['width'], '')}"
    return Identity("lora", "wan", what, "--lora", details=details)


# UMT5 has a position bias in every layer, T5 only in the first; these are its names in layer 1.
_TEXT_MARKS = {
    "encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight": "transformers",
    "blocks.1.pos_embedding.embedding.weight": "original",
    "enc.blk.1.attn_rel_b.weight": "gguf",
}


_WORDS = ("shared.weight", "token_embedding.weight", "token_embd.weight")


def _text_encoder(shapes: Shapes) -> Identity | None:
    """UMT5 in the names of transformers, which ComfyUI keeps, of Wan's authors, or of llama.cpp."""
    layout = next((layout for name, layout in _TEXT_MARKS.items() if name in shapes), None)
    if layout is None:
        return None
    width = next((shapes[name][-1] for name in _WORDS if len(shapes.get(name, ())) == 2), 0)
    blocks, what = _blocks(shapes), "a UMT5 text encoder for Wan"
    details = {"layout": layout, "prefix": "", "tokenizer": "spiece_model" in shapes, "blocks": blocks}
    if blocks < _TEXT_BLOCKS.get(width, 0):
        return Identity("text-encoder", "wan", _cut(what, blocks, _TEXT_BLOCKS[width]), details=details)
    return Identity("text-encoder", "wan", what, "--text-encoder", details=details)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every weight file of a folder with the part that it belongs to."""
    return ((part, path) for part in PARTS for path in sorted((folder / part).glob("*.safetensors")))


def _describe(folder: Path) -> FileFacts:
    """What the transformer of a folder is, with the size of all parts that are used."""
    from redetail.engines.files import identify, with_parts

    used = transformer_folder(folder)
    unused = {name for name in TRANSFORMERS if used is not None and name != used.name}
    facts = [(part, identify(path)) for part, path in _files(folder) if part not in unused]
    parts = tuple(dict.fromkeys(part for part, _ in facts))
    if not facts:
        return identify(folder / TRANSFORMERS[-1])
    whole = with_parts(facts[0][1], [one for _, one in facts])
    return replace(
        whole,
        path=folder,
        kind="checkpoint",
        base=WAN.base,
        what="a model of Wan",
        option="--checkpoint",
        details={"parts": parts},
    )


def _sizes(facts: FileFacts, placement: Placement) -> PartSizes:
    """For a folder, its own parts; for a transformer by itself, also the published text encoder and VAE."""
    from redetail.engines.wan.fit import TEXT, TRANSFORMER, VAE, Way, model_of, part_facts

    parts, folder = [(TRANSFORMER, facts)], transformer_folder(facts.path)
    if folder is not None:
        places = {TRANSFORMER: folder, TEXT: facts.path / "text_encoder", VAE: facts.path / "vae"}
        parts = [one for part, place in places.items() for one in part_facts(part, place)]
    model = model_of(parts, placement)
    ways = {way.options: model.needed(way) for way in model.ways(placement.device)}
    return PartSizes(model.weights(Way()), ways)


def _unused(folder: Path) -> tuple[str, ...]:
    """The high-noise expert, if there is a low-noise one."""
    used = transformer_folder(folder)
    return tuple(f"{name}/*" for name in TRANSFORMERS if used is not None and name != used.name)


def _load(family: Architecture, spec: ModelSpec, placement: Placement) -> Engine:
    from redetail.engines.wan.engine import load_wan_engine

    return load_wan_engine(family, spec, placement)


WAN = Architecture(
    base="wan",
    name="Wan",
    wanted="a Wan 2.1 or 2.2 model (a transformer file, or a folder in the diffusers layout)",
    takes=frozenset({"vae", "text_encoder", "loras", "low_noise_checkpoint", "high_noise_loras"}),
    recognizers=(_lora, _transformer, _vae, _text_encoder),
    folder_of=_folder_of,
    describe=_describe,
    load=_load,
    parts=_sizes,
    defaults={**_LOW_NOISE, "context_overlap": 16},
    presets={"wan-low-noise": _LOW_NOISE, "wan-lightning": _LIGHTNING},
    hub_weights=tuple(f"{part}/*.safetensors" for part in PARTS),
    hub_unused=_unused,
    known=(
        KnownModel(
            name="Wan2.2-T2V-A14B-Diffusers",
            option="--checkpoint",
            published="huggingface.co/Wan-AI/Wan2.2-T2V-A14B-Diffusers",
            licence="Apache-2.0",
            notes="Wan 2.2 with 14B parameters; its low-noise expert, transformer_2, is used",
        ),
        KnownModel(
            name="wan2.2_t2v_low_noise_14B_fp16.safetensors, or its fp8_scaled",
            option="--checkpoint",
            published="huggingface.co/Comfy-Org/Wan_2.2_ComfyUI_Repackaged",
            licence="Apache-2.0",
            notes="Wan 2.2's low-noise expert; also needs the VAE and the text encoder below",
        ),
        KnownModel(
            name="wan_2.1_vae.safetensors",
            option="--vae",
            published="huggingface.co/Comfy-Org/Wan_2.1_ComfyUI_repackaged",
            licence="Apache-2.0",
            notes="VAE for Wan 2.1 and the 14B-parameter Wan 2.2",
        ),
        KnownModel(
            name="umt5_xxl_fp16.safetensors, or its fp8_e4m3fn_scaled",
            option="--text-encoder",
            published="huggingface.co/Comfy-Org/Wan_2.1_ComfyUI_repackaged",
            licence="Apache-2.0",
            notes="UMT5-XXL with its tokenizer",
        ),
        KnownModel(
            name="Wan2.1-T2V-1.3B-Diffusers",
            option="--checkpoint",
            published="huggingface.co/Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
            licence="Apache-2.0",
            notes="Wan 2.1 with 1.3B parameters",
        ),
    ),
)
