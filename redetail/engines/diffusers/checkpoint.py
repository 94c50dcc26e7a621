"""A checkpoint as it is found: one file in the original layout, or a folder in the diffusers layout.

Both give the same parts; what is made of them does not know where they came from.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from redetail.engines.device import Placement
from redetail.engines.diffusers import original
from redetail.engines.diffusers.folder import Config, ModelFolder, open_folder
from redetail.engines.diffusers.motion import BETAS
from redetail.engines.diffusers.network import INPAINTING_CHANNELS
from redetail.engines.diffusers.parts import load_network, load_tokenizer, require
from redetail.engines.diffusers.vae import load_vae_part, vae_in
from redetail.engines.diffusers.weights import Loose, fill, renamed, skeleton
from redetail.engines.files import FileFacts, open_as
from redetail.engines.kinds import VAE_PREFIX
from redetail.engines.spec import ModelSpec
from redetail.engines.weightfile import WeightFile
from redetail.errors import ModelError

WANTED = "a Stable Diffusion 1.x checkpoint (a .safetensors or .ckpt file, or a folder in the diffusers layout)"
_KINDS = ("sd15", "sd15-inpainting", "sd2", "sdxl", "sdxl-refiner")
_TEXT_PREFIX = "cond_stage_model.transformer."
_PREDICTIONS = {"eps": "epsilon", "v": "v_prediction"}


class Checkpoint(Protocol):
    """The parts of a checkpoint; a part that is damaged raises :class:`~redetail.errors.ModelError`."""

    @property
    def path(self) -> Path:
        """The file or folder."""
        ...

    @property
    def scheduler(self) -> Config:
        """The noise that the UNet was trained on, in the terms of a scheduler_config.json."""
        ...

    @property
    def has_motion(self) -> bool:
        """Whether the UNet has motion layers inside."""
        ...

    def unet(self, placement: Placement) -> Loose:
        """The UNet: 2-D, or with motion layers inside."""
        ...

    def motion(self, placement: Placement) -> Loose:
        """The motion layers that lie beside the UNet."""
        ...

    def vae(self, placement: Placement) -> nn.Module:
        """The VAE, loaded."""
        ...

    def text_encoder(self, placement: Placement) -> nn.Module:
        """The text encoder, loaded."""
        ...

    def tokenizer(self) -> Any:
        """The tokenizer that belongs to the text encoder."""
        ...


def open_checkpoint(spec: ModelSpec) -> Checkpoint:
    """Open the checkpoint of ``spec`` and refuse what is none, or lacks what ``spec`` does not bring itself.

    Only headers and configs are read. Raises :class:`~redetail.errors.ModelError`.
    """
    if spec.checkpoint is None:
        raise ModelError(f"A motion module, LoRA or VAE acts on a checkpoint; name one with them: {WANTED}.")
    path = Path(spec.checkpoint).expanduser()
    if path.is_dir():
        needed = tuple(name for name, own in (("motion_adapter", spec.motion_module), ("vae", spec.vae)) if own is None)
        return FolderCheckpoint(open_folder(path, needed))
    file, facts = open_as(path, _KINDS, WANTED)
    _check_file(facts, spec)
    return FileCheckpoint(file, facts)


def _check_file(facts: FileFacts, spec: ModelSpec) -> None:
    """Refuse a single file that is of another model, or not whole."""
    path, parts, channels = facts.path, facts.details["parts"], facts.details["in_channels"]
    if facts.base != "sd15":
        raise ModelError(f"{path} is {facts.what}; what is wanted here is {WANTED}.")
    if facts.details["layout"] != "original":
        raise ModelError(f"{path} is the UNet alone of {facts.what}, in the diffusers layout; give {WANTED}.")
    if channels not in (4, INPAINTING_CHANNELS):
        raise ModelError(f"{path} is {facts.what} that takes {channels} channels instead of 4 or 9; give {WANTED}.")
    if "text_encoder" not in parts or ("vae" not in parts and spec.vae is None):
        missing = "text encoder" if "text_encoder" not in parts else "VAE (name one with --vae)"
        raise ModelError(f"{path} is {facts.what} without a {missing}; what is wanted is a whole one.")
    if spec.motion_module is None:
        raise ModelError(
            f"{path} is {facts.what}, which knows single frames only; name a motion module for it (--motion-module)."
        )


def _for_text(placement: Placement) -> Placement:
    return replace(placement, dtype=placement.text_dtype or placement.dtype)


class FileCheckpoint:
    """A :class:`Checkpoint` in one file, its parts told apart by the beginnings of their names."""

    has_motion = False

    def __init__(self, file: WeightFile, facts: FileFacts) -> None:
        self._file, self._facts = file, facts
        self.path = file.path

    @property
    def scheduler(self) -> Config:
        """Told by marks; fine-tunes to v-prediction say so, and that their noise ends without signal."""
        ends = {"rescale_betas_zero_snr": True} if "ztsnr" in self._file.tensors else {}
        return {**BETAS, "prediction_type": _PREDICTIONS[self._facts.prediction], **ends}

    def unet(self, placement: Placement) -> Loose:
        """Its tensors under diffusers' names; they stay in the file until they are placed."""
        names = self._file.below(self._facts.details["prefix"])
        shapes = {short: self._file.shape(name) for short, name in names.items()}
        try:
            config, new = original.unet_config(shapes), original.unet_names(shapes)
        except (KeyError, StopIteration, IndexError) as error:
            raise ModelError(f"The UNet of {self.path} lacks blocks; copy or download it again.") from error
        return renamed(self._file, {names[short]: name for short, name in new.items()}, config, "UNet")

    def motion(self, placement: Placement) -> Loose:
        """There is none."""
        raise ModelError(f"{self.path} has no motion layers; name a motion module for it (--motion-module).")

    def vae(self, placement: Placement) -> nn.Module:
        """An AutoencoderKL."""
        return vae_in(self._file, VAE_PREFIX, placement)

    def text_encoder(self, placement: Placement) -> nn.Module:
        """A CLIPTextModel."""
        names = self._file.below(_TEXT_PREFIX)
        new = original.clip_names(dict.fromkeys(names, ()))
        shapes = {name: self._file.shape(names[short]) for short, name in new.items()}
        try:
            config = original.clip_config(shapes)
        except KeyError as error:
            raise ModelError(f"The text encoder of {self.path} lacks {error}; download it again.") from error
        transformers = require("transformers")
        network = skeleton(lambda: transformers.CLIPTextModel(transformers.CLIPTextConfig(**config)))
        # transformers 4 names every tensor below "text_model", transformers 5 does not.
        lead = "text_model." if next(iter(network.state_dict())).startswith("text_model.") else ""
        whole = {names[short]: lead + name for short, name in new.items()}
        return fill(network, renamed(self._file, whole, config, "text encoder"), _for_text(placement))

    def tokenizer(self) -> Any:
        """CLIP's, which no single file holds."""
        known = self._file.shape(f"{_TEXT_PREFIX}text_model.embeddings.token_embedding.weight")
        with as_file(files("redetail.bundled") / "clip_tokenizer") as path:
            return load_tokenizer(path, known[0] if known else original.CLIP_TOKENS)


class FolderCheckpoint:
    """A :class:`Checkpoint` in a folder, its parts loaded by the libraries that wrote them."""

    def __init__(self, folder: ModelFolder) -> None:
        self._folder = folder
        self.path = folder.path
        self.scheduler = folder.scheduler
        self.has_motion = folder.unet.kind == "UNetMotionModel"

    def unet(self, placement: Placement) -> Loose:
        """A UNet2DConditionModel or UNetMotionModel."""
        network = load_network(self._folder.unet, placement.dtype)
        return Loose(network.config, network.state_dict(), f"The unet of {self.path}")

    def motion(self, placement: Placement) -> Loose:
        """The MotionAdapter of the folder."""
        if self._folder.motion_adapter is None:
            raise ModelError(f"{self.path} has no motion_adapter; name a motion module for it (--motion-module).")
        network = load_network(self._folder.motion_adapter, placement.dtype)
        return Loose(network.config, network.state_dict(), f"The motion_adapter of {self.path}")

    def vae(self, placement: Placement) -> nn.Module:
        """An AutoencoderKL or AutoencoderTiny."""
        if self._folder.vae is None:
            raise ModelError(f"{self.path} has no vae; name one for it (--vae).")
        return load_vae_part(self._folder.vae, placement)

    def text_encoder(self, placement: Placement) -> nn.Module:
        """A CLIPTextModel."""
        network = load_network(self._folder.text_encoder, _for_text(placement).dtype)
        ready: nn.Module = network.to(placement.device).eval().requires_grad_(False)
        return ready

    def tokenizer(self) -> Any:
        """The one in the folder."""
        known = self._folder.text_encoder.config.get("vocab_size", original.CLIP_TOKENS)
        return load_tokenizer(self._folder.tokenizer, known)
