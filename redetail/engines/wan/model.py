"""A model of Wan from a folder in the diffusers layout or from single files, checked before anything is loaded.

A folder holds::

    transformer/     WanTransformer3DModel, of Wan 2.2 the high-noise expert
    transformer_2/   WanTransformer3DModel, Wan 2.2's low-noise expert
    vae/             AutoencoderKLWan
    text_encoder/    UMT5EncoderModel
    tokenizer/       tokenizer.json
    scheduler/       scheduler_config.json: the shift

A file holds only a transformer; VAE and text encoder are named in addition. They can also be added to a folder.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from redetail.engines.architectures.wan import transformer_folder
from redetail.engines.config import check_keys, read_config
from redetail.engines.spec import ModelSpec
from redetail.engines.wan import schema
from redetail.engines.wan.parts import Part, TextPart, open_text, open_transformer, open_vae
from redetail.errors import ModelError
from redetail.geometry.latent_grid import WAN, LatentGrid

_CHANNELS = 16  # of the VAE for which diffusers knows the mean and deviation of latents
_USUAL_BOUNDARY = 0.875  # of Wan 2.2, text to video, as in its authors' code and in diffusers
_USUAL_SHIFT = 8.0  # of Wan 2.1 and 2.2 in the recordings of tests/golden/flow


@dataclass(frozen=True, slots=True)
class WanParts:
    """The parts of a model; ``low_noise``: the expert that takes over below the noise level ``boundary``, if both are
    used; ``shift``: the shift of the noise schedule; ``patch``: latent cells along a side of what the transformer reads
    as one token."""

    transformer: Part
    low_noise: Part | None
    vae: Part
    text: TextPart
    shift: float
    patch: int
    boundary: float
    grid: LatentGrid = WAN


def open_wan(spec: ModelSpec) -> WanParts:
    """Find and check the parts of the model that ``spec`` names.

    Raises :class:`~redetail.errors.ModelError`, which names what is missing, damaged or not supported.
    """
    assert spec.checkpoint is not None, "the loader names the model"
    path = Path(spec.checkpoint)
    _check_complete(path, spec)
    low = None if spec.low_noise_checkpoint is None else open_transformer(_expert(Path(spec.low_noise_checkpoint)))
    high = path / "transformer" if low is not None and os.path.isdir(path) else _expert(path)
    transformer = open_transformer(high)
    parts = WanParts(
        transformer,
        low,
        open_vae(spec.vae or path / "vae"),
        open_text(spec.text_encoder or path / "text_encoder"),
        _shift(path / "scheduler" / "scheduler_config.json"),
        _patch(transformer),
        _boundary(path / "model_index.json"),
    )
    _check_fit(parts)
    if low is not None:
        _check_experts(transformer, low)
    return parts


def _expert(path: Path) -> Path:
    """The transformer of a model folder that is used by itself; the path of a transformer is returned as it is."""
    return (transformer_folder(path) or path) if os.path.isdir(path) else path


def _check_experts(high: Part, low: Part) -> None:
    """Refuse transformers of two different models."""
    if high.path == low.path:
        raise ModelError(f"Both experts are {high.path}; leave --low-noise-checkpoint out, or give the other expert.")
    for name in ("num_attention_heads", "attention_head_dim", "in_channels", "num_layers", "text_dim"):
        one, two = high.config.get(name), low.config.get(name)
        if one != two:
            raise ModelError(
                f"{high.path} and {low.path} are not two experts of one model: {name} is {one} in the first and {two} "
                "in the second; give the high-noise and the low-noise transformer of Wan 2.2."
            )


def _check_complete(path: Path, spec: ModelSpec) -> None:
    if not os.path.isdir(path):
        options = {"--vae": spec.vae, "--text-encoder": spec.text_encoder}
        missing = [option for option, given in options.items() if given is None]
        if missing:
            raise ModelError(f"{path} is only the transformer of Wan; also give: {' and '.join(missing)}.")
        return
    missing = ["transformer"] if transformer_folder(path) is None else []
    missing += [] if spec.vae or os.path.isfile(path / "vae" / "config.json") else ["vae/config.json"]
    if spec.text_encoder is None:
        needed = ("text_encoder/config.json", "tokenizer/tokenizer.json")
        missing += [name for name in needed if not os.path.isfile(path / name)]
    if missing:
        raise ModelError(
            f"The model folder {path} lacks {', '.join(missing)}; a Wan model needs transformer, vae, text_encoder "
            "and tokenizer."
        )


def _shift(path: Path) -> float:
    """The shift that the model was published with; multistep schedulers call it ``flow_shift``."""
    if not os.path.isfile(path):
        return _USUAL_SHIFT
    config = read_config(path)
    check_keys(config, schema.SCHEDULER, f"{path}")
    return float(config.get("flow_shift") or config.get("shift") or _USUAL_SHIFT)


def _boundary(path: Path) -> float:
    """The noise level at which the low-noise expert takes over."""
    given = read_config(path).get("boundary_ratio") if os.path.isfile(path) else None
    return float(given) if isinstance(given, int | float) and 0 < given < 1 else _USUAL_BOUNDARY


def _patch(transformer: Part) -> int:
    """Cells along a side of a token. A token that spans several latents, or is not square, is not supported."""
    size = transformer.config.get("patch_size", [1, 2, 2])
    if not isinstance(size, list) or len(size) != 3 or size[0] != 1 or size[1] != size[2]:
        raise ModelError(f"patch_size in {transformer.path} is {size}; it must be 1 followed by two equal numbers.")
    return int(size[1])


def _check_fit(parts: WanParts) -> None:
    """Refuse kinds of Wan that are not supported, and parts that do not belong together."""
    transformer, vae, text = parts.transformer, parts.vae, parts.text.network
    if vae.config.get("patch_size") is not None or vae.config.get("is_residual"):
        raise ModelError(
            f"{vae.path} is the VAE of the 5B-parameter Wan 2.2, which is not supported; use Wan 2.1 or the "
            "14B-parameter Wan 2.2."
        )
    channels, taken = vae.config.get("z_dim", 16), transformer.config.get("in_channels", 16)
    if transformer.config.get("image_dim") is not None or taken > channels:
        more = f"{taken} channels" if taken > channels else "an image in addition to the text"
        raise ModelError(
            f"The transformer {transformer.path} takes {more}; use a Wan text-to-video model, whose transformer takes "
            f"only the text and the {channels} channels of the VAE."
        )
    if taken < channels:
        raise ModelError(
            f"The transformer {transformer.path} takes {taken} channels, but the VAE {vae.path} makes {channels}; they "
            "belong to different models."
        )
    width, read = text.config.get("d_model", 512), transformer.config.get("text_dim", 4096)
    if width != read:
        raise ModelError(
            f"The text encoder {text.path} produces {width} features, but the transformer {transformer.path} takes "
            f"{read}; they belong to different models."
        )
    _check_vae(vae, int(channels), parts.grid)


def _check_vae(vae: Part, channels: int, grid: LatentGrid) -> None:
    downsample = vae.config.get("temperal_downsample", [False, True, True])
    if 2 ** len(downsample) != grid.spatial or 2 ** sum(downsample) != grid.temporal:
        raise ModelError(
            f"The VAE {vae.path} scales time down by {2 ** sum(downsample)} and each side by {2 ** len(downsample)}, "
            f"but a Wan VAE scales them down by {grid.temporal} and {grid.spatial}; use the VAE of Wan 2.1."
        )
    for name in ("latents_mean", "latents_std"):
        numbers = len(vae.config.get(name, range(_CHANNELS)))
        if numbers != channels:
            raise ModelError(f"{name} of the VAE {vae.path} has {numbers} numbers; it must have {channels}.")
