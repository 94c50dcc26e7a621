"""Wan 2.1 and 2.2, text to video (Wan Team 2025, arXiv:2503.20314): a video transformer over a causal video VAE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redetail.engines.architectures.base import Architecture, Identity, KnownModel, Shapes
from redetail.engines.config import class_name, read_config

if TYPE_CHECKING:
    from redetail.engines.base import Engine
    from redetail.engines.device import Placement
    from redetail.engines.files import FileFacts
    from redetail.engines.spec import ModelSpec

TRANSFORMERS = ("transformer_2", "transformer")
"""Folders that hold a transformer: Wan 2.2's expert for low noise, which is used where it exists, and the only one of
Wan 2.1 or the expert for high noise."""
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


def transformer_folder(folder: Path) -> Path | None:
    """The folder of the transformer that is used of a model, and None where there is none of Wan."""
    for name in TRANSFORMERS:
        config = folder / name / "config.json"
        if config.is_file() and class_name(read_config(config)) == "WanTransformer3DModel":
            return folder / name
    return None


def _folder_of(path: Path) -> Path | None:
    return path if transformer_folder(path) is not None else None


def _recognize(shapes: Shapes) -> Identity | None:
    """The transformer and the VAE in the names of diffusers; other files of Wan are not known yet."""
    if "condition_embedder.time_proj.weight" in shapes and "condition_embedder.text_embedder.linear_1.weight" in shapes:
        details = {"layout": "diffusers", "in_channels": shapes["patch_embedding.weight"][1]}
        return Identity("transformer", "wan", "a transformer of Wan, a part of a model folder", details=details)
    first = shapes.get("decoder.conv_in.weight", ())
    if len(first) == 5 and "post_quant_conv.weight" in shapes:
        return Identity("vae", "wan", "a VAE of Wan, a part of a model folder", details={"latent_channels": first[1]})
    return None


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


def _load(family: Architecture, spec: ModelSpec, placement: Placement) -> Engine:
    from redetail.engines.wan.engine import load_wan_engine

    assert spec.checkpoint is not None, "the loader names the folder"
    return load_wan_engine(family, Path(spec.checkpoint), placement)


WAN = Architecture(
    base="wan",
    name="Wan",
    wanted="a folder of Wan 2.1 or 2.2 in the diffusers layout",
    recognizers=(_recognize,),
    folder_of=_folder_of,
    describe=_describe,
    load=_load,
    defaults={**_LOW_NOISE, "context_overlap": 16},
    presets={"wan-low-noise": _LOW_NOISE},
    hub_weights=tuple(f"{part}/*.safetensors" for part in PARTS),
    known=(
        KnownModel(
            name="Wan2.2-T2V-A14B-Diffusers",
            option="--checkpoint",
            published="huggingface.co/Wan-AI/Wan2.2-T2V-A14B-Diffusers",
            licence="Apache-2.0",
            notes="Wan 2.2 with 14B parameters; its expert for low noise, transformer_2, is the one that is used",
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
