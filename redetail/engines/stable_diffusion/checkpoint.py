"""A checkpoint as it is found: one file in the original layout, or a folder in the diffusers layout.

Both give the same parts, and the rest of the engine does not depend on where these came from.
"""

from __future__ import annotations

import os
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from redetail.engines.architectures.base import CHECKPOINT
from redetail.engines.architectures.latent_diffusion import INPAINTING_CHANNELS, VAE_PREFIX
from redetail.engines.architectures.stable_diffusion import WANTED, Conventions, TextEncoderLayout
from redetail.engines.config import Config
from redetail.engines.device import Placement
from redetail.engines.files import FileFacts, open_as
from redetail.engines.folder import ComponentFolder, load_network
from redetail.engines.spec import ModelSpec
from redetail.engines.stable_diffusion import conversion
from redetail.engines.stable_diffusion.clip import CLIP_TOKENS, TextEncoder, load_text_encoder, load_tokenizer
from redetail.engines.stable_diffusion.family import FAMILIES
from redetail.engines.stable_diffusion.folder import ModelFolder, open_folder, refiner_refused
from redetail.engines.stable_diffusion.vae import load_vae_part, vae_in
from redetail.engines.state_dict import StateDict, renamed
from redetail.engines.weightfile import WeightFile
from redetail.errors import ModelError
from redetail.files import expanded

_PREDICTIONS = {"eps": "epsilon", "v": "v_prediction"}


class Checkpoint(Protocol):
    """The parts of a checkpoint; a part that is damaged raises :class:`~redetail.errors.ModelError`."""

    @property
    def path(self) -> Path:
        """The file or folder."""
        ...

    @property
    def family(self) -> Conventions:
        """What kind of model it is."""
        ...

    @property
    def scheduler(self) -> Config:
        """The noise that the UNet was trained on, in the terms of a scheduler_config.json."""
        ...

    @property
    def has_motion(self) -> bool:
        """Whether the UNet has motion layers inside."""
        ...

    def unet(self, placement: Placement) -> StateDict:
        """The UNet: 2-D, or with motion layers inside."""
        ...

    def motion(self, placement: Placement) -> StateDict:
        """The motion layers next to the UNet."""
        ...

    def vae(self, placement: Placement) -> nn.Module:
        """The VAE, loaded."""
        ...

    def texts(self, placement: Placement) -> tuple[TextEncoder, ...]:
        """The text encoders of its family, loaded, with their tokenizers."""
        ...


def open_checkpoint(spec: ModelSpec) -> Checkpoint:
    """Open the checkpoint of ``spec``; refuse anything else, and a checkpoint without the parts that ``spec`` does not
    name.

    Only headers and configs are read. Raises :class:`~redetail.errors.ModelError`.
    """
    if spec.checkpoint is None:
        raise ModelError(f"A motion module, LoRA or VAE needs a checkpoint; also give {WANTED}.")
    path = expanded(spec.checkpoint)
    if os.path.isdir(path):
        needed = tuple(name for name, own in (("motion_adapter", spec.motion_module), ("vae", spec.vae)) if own is None)
        return FolderCheckpoint(open_folder(path, needed))
    file, facts = open_as(path, (CHECKPOINT,), WANTED)
    _check_file(facts, spec)
    return FileCheckpoint(file, facts)


def _check_file(facts: FileFacts, spec: ModelSpec) -> None:
    """Refuse a single file that belongs to another model or is incomplete."""
    path, parts, channels = facts.path, facts.details["parts"], facts.details["in_channels"]
    if facts.base == "sdxl-refiner":
        raise ModelError(refiner_refused(f"{path} is {facts.what}"))
    if facts.base not in FAMILIES:
        raise ModelError(f"{path} is {facts.what}; give {WANTED} instead.")
    if facts.details["layout"] != "original":
        raise ModelError(f"{path} is only the UNet of {facts.what}, in the diffusers layout; give {WANTED}.")
    if channels not in (4, INPAINTING_CHANNELS):
        raise ModelError(f"{path} is {facts.what} that takes {channels} channels instead of 4 or 9; give {WANTED}.")
    if "text_encoder" not in parts:
        raise ModelError(f"{path} is {facts.what} without a text encoder; give a complete checkpoint.")
    if "vae" not in parts and spec.vae is None:
        raise ModelError(f"{path} is {facts.what} without a VAE; give one with --vae, or give a complete checkpoint.")
    if spec.motion_module is None:
        raise ModelError(
            f"{path} is {facts.what}, which handles only single frames; give a motion module for it with "
            "--motion-module."
        )


def _for_text(placement: Placement) -> Placement:
    return replace(placement, dtype=placement.text_dtype or placement.dtype)


class FileCheckpoint:
    """A :class:`Checkpoint` in one file, in which the beginnings of names distinguish the parts."""

    has_motion = False

    def __init__(self, file: WeightFile, facts: FileFacts) -> None:
        self._file, self._facts = file, facts
        self.path, self.family = file.path, FAMILIES[facts.base]

    @property
    def scheduler(self) -> Config:
        """Recognised by marks: fine-tunes to v-prediction mark this, and also that their noise ends without signal."""
        ends = {"rescale_betas_zero_snr": True} if "ztsnr" in self._file.tensors else {}
        return {**self.family.betas, "prediction_type": _PREDICTIONS[self._facts.prediction], **ends}

    def unet(self, placement: Placement) -> StateDict:
        """Its tensors under diffusers' names; they stay in the file until they are placed."""
        names = self._file.below(self._facts.details["prefix"])
        shapes = {short: self._file.shape(name) for short, name in names.items()}
        try:
            config, new = conversion.unet_config(shapes), conversion.unet_names(shapes)
        except (KeyError, StopIteration, IndexError) as error:
            raise ModelError(
                f"The UNet of {self.path} lacks some of its blocks; copy or download the file again."
            ) from error
        return renamed(self._file, {names[short]: name for short, name in new.items()}, config, "UNet")

    def motion(self, placement: Placement) -> StateDict:
        """Not available: a file has no motion layers of its own."""
        raise ModelError(f"{self.path} has no motion layers; give a motion module for it with --motion-module.")

    def vae(self, placement: Placement) -> nn.Module:
        """An AutoencoderKL."""
        return vae_in(self._file, VAE_PREFIX, placement, self.family)

    def texts(self, placement: Placement) -> tuple[TextEncoder, ...]:
        """The text encoders with CLIP's tokenizer, which single files do not contain."""
        return tuple(self._text(layout, placement) for layout in self.family.texts)

    def _text(self, layout: TextEncoderLayout, placement: Placement) -> TextEncoder:
        encoder: Any = load_text_encoder(self._file, layout, _for_text(placement))
        with as_file(files("redetail.bundled") / "clip_tokenizer") as path:
            return TextEncoder(encoder, load_tokenizer(path, encoder.config.vocab_size, layout.padding))


class FolderCheckpoint:
    """A :class:`Checkpoint` in a folder, whose parts are loaded by the libraries that wrote them."""

    def __init__(self, folder: ModelFolder) -> None:
        self._folder = folder
        self.path, self.family = folder.path, folder.family
        self.scheduler = folder.scheduler
        self.has_motion = folder.unet.kind == "UNetMotionModel"

    def unet(self, placement: Placement) -> StateDict:
        """A UNet2DConditionModel or UNetMotionModel."""
        network = load_network(self._folder.unet, placement.dtype)
        return StateDict(network.config, network.state_dict(), f"The UNet of {self.path}")

    def motion(self, placement: Placement) -> StateDict:
        """The MotionAdapter of the folder."""
        if self._folder.motion_adapter is None:
            raise ModelError(f"{self.path} has no motion_adapter; give a motion module for it with --motion-module.")
        network = load_network(self._folder.motion_adapter, placement.dtype)
        return StateDict(network.config, network.state_dict(), f"The motion_adapter of {self.path}")

    def vae(self, placement: Placement) -> nn.Module:
        """An AutoencoderKL or AutoencoderTiny."""
        if self._folder.vae is None:
            raise ModelError(f"{self.path} has no VAE; give one with --vae.")
        return load_vae_part(self._folder.vae, placement)

    def texts(self, placement: Placement) -> tuple[TextEncoder, ...]:
        """The text encoders, each with its tokenizer from the folder."""
        loaded = [
            TextEncoder(_placed(part, placement), load_tokenizer(path, part.config.get("vocab_size", CLIP_TOKENS)))
            for part, path in zip(self._folder.texts, self._folder.tokenizers, strict=True)
        ]
        if any(one.tokenizer.get_vocab() != loaded[0].tokenizer.get_vocab() for one in loaded[1:]):
            raise ModelError(
                f"The tokenizers of {self.path} have different vocabularies; copy or download the folder again."
            )
        return tuple(loaded)


def _placed(part: ComponentFolder, placement: Placement) -> nn.Module:
    """A text encoder on its device."""
    network = load_network(part, _for_text(placement).dtype)
    ready: nn.Module = network.to(placement.device).eval().requires_grad_(False)
    return ready
