"""A model folder in the diffusers layout, checked part by part before anything heavy is imported.

::

    unet/            UNet2DConditionModel, or UNetMotionModel with the motion layers inside
    motion_adapter/  MotionAdapter, needed with a UNet2DConditionModel
    vae/             AutoencoderKL or AutoencoderTiny
    text_encoder/    CLIPTextModel
    tokenizer/       vocab.json and merges.txt, or tokenizer.json
    text_encoder_2/  CLIPTextModelWithProjection, Stable Diffusion XL's second one
    tokenizer_2/     its tokenizer, which fills prompts up with another token
    scheduler/       scheduler_config.json: the noise that the UNet was trained on
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from redetail.engines.architectures.sdxl import SDXL_CONVENTIONS
from redetail.engines.architectures.stable_diffusion import Conventions
from redetail.engines.config import Config, check_keys, class_name, read_config, read_text
from redetail.engines.folder import LARGEST_LIST, ComponentFolder, open_network
from redetail.engines.stable_diffusion.family import family_of
from redetail.engines.stable_diffusion.schema import NETWORK, SCHEDULER
from redetail.errors import ModelError

_CLASSES = {
    "unet": ("UNet2DConditionModel", "UNetMotionModel"),
    "motion_adapter": ("MotionAdapter",),
    "vae": ("AutoencoderKL", "AutoencoderTiny"),
    "text_encoder": ("CLIPTextModel",),
    "text_encoder_2": ("CLIPTextModelWithProjection",),
    "controlnet": ("ControlNetModel",),
}
# The number of values that describe the origin of a picture: two sizes and a corner.
_SIZES = 6


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """All parts of a model.

    ``motion_adapter`` is None if the UNet contains motion layers or gets them from elsewhere; ``vae`` is None if it
    comes from elsewhere. ``texts`` and ``tokenizers``: as many as the family has.
    """

    path: Path
    unet: ComponentFolder
    motion_adapter: ComponentFolder | None
    vae: ComponentFolder | None
    texts: tuple[ComponentFolder, ...]
    tokenizers: tuple[Path, ...]
    scheduler: Config
    family: Conventions


def open_folder(path: Path, needed: Sequence[str] = ("motion_adapter", "vae")) -> ModelFolder:
    """Find and check the parts of the model in ``path``; motion_adapter and vae only if they are ``needed``.

    Raises :class:`~redetail.errors.ModelError`, which names the missing parts, a part of a kind that is not supported,
    a config that is not JSON, or a weight file that is truncated or damaged.
    """
    _check_present(path, needed)
    unet = open_component(path / "unet", "unet")
    adapted = unet.kind == "UNet2DConditionModel" and "motion_adapter" in needed
    motion_adapter = open_component(path / "motion_adapter", "motion_adapter") if adapted else None
    vae = open_component(path / "vae", "vae") if "vae" in needed else None
    family = family_of(unet.config)
    texts = tuple(open_component(path / layout.part, layout.part) for layout in family.texts)
    tokenizers = tuple(_tokenizer(path / layout.tokenizer) for layout in family.texts)
    scheduler = read_config(path / "scheduler" / "scheduler_config.json")
    check_keys(scheduler, SCHEDULER, f"{path / 'scheduler' / 'scheduler_config.json'}")
    folder = ModelFolder(path, unet, motion_adapter, vae, texts, tokenizers, scheduler, family)
    _check_fit(folder)
    return folder


def _check_present(path: Path, needed: Sequence[str]) -> None:
    unet = read_config(path / "unet/config.json") if os.path.exists(path / "unet/config.json") else {}
    family = family_of(unet)
    first, last = (path / family.texts[place].part for place in (0, -1))
    if os.path.exists(last) and not os.path.exists(first):
        raise ModelError(refiner_refused(f"{path} is the refiner of {family.name}"))
    parts = {"unet": "unet/config.json", "vae": "vae/config.json"}
    for layout in family.texts:
        parts |= {layout.part: f"{layout.part}/config.json", layout.tokenizer: layout.tokenizer}
    parts["scheduler"] = "scheduler/scheduler_config.json"
    if "vae" not in needed:
        del parts["vae"]
    missing = [name for name, file in parts.items() if not os.path.exists(path / file)]
    needs_motion = "unet" not in missing and class_name(unet) != "UNetMotionModel"
    if "motion_adapter" in needed and needs_motion and not os.path.exists(path / "motion_adapter/config.json"):
        missing.append("motion_adapter")
    if missing:
        raise ModelError(
            f"The model folder {path} lacks {', '.join(missing)}; a model needs unet, motion_adapter "
            "(unless the unet is a UNetMotionModel, or a motion module is given), vae, text_encoder, tokenizer and "
            "scheduler, and for Stable Diffusion XL also text_encoder_2 and tokenizer_2."
        )


def open_component(path: Path, role: str) -> ComponentFolder:
    """One network of a folder, which must be of a class for this role; raises ModelError, which says what it is."""
    return open_network(path, _CLASSES[role], NETWORK)


def _tokenizer(path: Path) -> Path:
    """The tokenizer's file, checked here because the library has no specific error for damaged files."""
    vocabulary, merges, complete = path / "vocab.json", path / "merges.txt", path / "tokenizer.json"
    if os.path.isfile(complete):
        read_config(complete, LARGEST_LIST)
    elif not (os.path.isfile(vocabulary) and os.path.isfile(merges)):
        raise ModelError(
            f"The part {path} needs tokenizer.json, or both vocab.json and merges.txt; copy the folder again."
        )
    words = read_config(vocabulary, LARGEST_LIST) if os.path.isfile(vocabulary) else {}
    if not all(isinstance(index, int) for index in words.values()):
        raise ModelError(f"The model file {vocabulary} does not number its tokens; copy or download it again.")
    if os.path.isfile(merges):
        _check_merges(merges, words)
    return path


def _check_merges(path: Path, vocabulary: Config) -> None:
    """Check that every line merges two known tokens; the first line can be a comment."""
    pairs = [
        line.split()
        for line in read_text(path, LARGEST_LIST).splitlines()
        if line.strip() and not line.startswith("#version")
    ]
    wrong = next((pair for pair in pairs if len(pair) != 2 or not vocabulary.keys() >= {*pair}), None)
    if wrong is not None and vocabulary:
        raise ModelError(
            f"The model file {path} contains the merge {' '.join(wrong)!r}, whose tokens are not both in "
            "vocab.json; copy both files again."
        )


def _check_fit(folder: ModelFolder) -> None:
    """Refuse parts that do not belong together, and kinds of UNet that are not supported."""
    unet, texts = folder.unet.config, [text.config for text in folder.texts]
    channels = 4 if folder.vae is None else folder.vae.config.get("latent_channels", 4)
    if unet.get("addition_embed_type") not in (None, "text_time"):
        raise ModelError(
            f"The UNet of {folder.path} needs {unet['addition_embed_type']!r} in addition to text, and redetail does "
            "not support such models; use a Stable Diffusion 1.x, 2.x or XL model."
        )
    if unet.get("in_channels", 4) not in (channels, 2 * channels + 1):  # with mask and masked picture for inpainting
        raise ModelError(
            f"The UNet of {folder.path} takes {unet.get('in_channels')} channels, but the VAE makes latents with "
            f"{channels}; the UNet must take {channels}, or {2 * channels + 1} for inpainting."
        )
    check_text(unet, texts, folder.path)
    if folder.motion_adapter is not None:
        _check_motion(folder.path, unet, folder.motion_adapter.config)


def check_text(unet: Config, texts: Sequence[Config], path: Path) -> None:
    """Raise ModelError for text encoders whose features do not match those that the UNet reads."""
    given, taken = sum(text.get("hidden_size", 512) for text in texts), unet.get("cross_attention_dim", 1280)
    producers = f"text_encoder of {path} produces" if len(texts) == 1 else f"text encoders of {path} produce"
    if given != taken:
        raise ModelError(
            f"The {producers} {given} features, but the UNet takes {taken}; they belong to different models."
        )
    whole = unet.get("projection_class_embeddings_input_dim")
    sizes = _SIZES * (unet.get("addition_time_embed_dim") or 0)
    pooled = texts[-1].get("projection_dim", 512)
    if whole is not None and whole != sizes + pooled:
        raise ModelError(
            f"The {producers} {pooled} pooled features, but the UNet takes {whole - sizes}; they "
            "belong to different models."
        )


def refiner_refused(what: str) -> str:
    """The message about a file or folder that is Stable Diffusion XL's refiner."""
    return (
        f"{what}, and no motion module exists for the refiner; give a complete {SDXL_CONVENTIONS.name} checkpoint "
        "instead, which can also refine."
    )


def _check_motion(path: Path, unet: Config, motion: Config) -> None:
    wanted, given = unet.get("block_out_channels"), motion.get("block_out_channels")
    if wanted is not None and given is not None and list(wanted) != list(given):
        raise ModelError(
            f"The motion_adapter of {path} was made for a UNet with widths {tuple(given)}, but the UNet has widths "
            f"{tuple(wanted)}; use a motion module for the same base model."
        )
    if motion.get("conv_in_channels"):
        raise ModelError(
            f"The motion_adapter of {path} takes extra input channels (PIA) and is not supported; use "
            "another motion module."
        )
