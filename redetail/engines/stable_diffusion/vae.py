"""Loads a VAE: that of a checkpoint, or a separate one from a file or folder."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from redetail.engines.architectures.stable_diffusion import Conventions
from redetail.engines.config import Config
from redetail.engines.device import Placement
from redetail.engines.files import open_as
from redetail.engines.folder import ComponentFolder, load_network
from redetail.engines.stable_diffusion import conversion
from redetail.engines.stable_diffusion.family import FAMILIES
from redetail.engines.stable_diffusion.folder import open_component
from redetail.engines.state_dict import StateDict, fill, from_config, renamed, skeleton
from redetail.engines.weightfile import WeightFile
from redetail.errors import ModelError


def load_vae(path: Path, placement: Placement, family: Conventions) -> nn.Module:
    """The VAE in a file (original or diffusers' names, or TAESD in diffusers' names) or in a diffusers folder, for a
    model of this family; a file does not say which family it belongs to.

    Raises :class:`~redetail.errors.ModelError`, which says what the file is and what was wanted.
    """
    if os.path.isdir(path):
        part = open_component(path, "vae")
        _check_family(part, family)
        return load_vae_part(part, placement)
    wanted = "a VAE of Stable Diffusion"
    file, facts = open_as(path, ("vae",), wanted)
    if facts.base == "wan":
        raise ModelError(f"{path} is {facts.what}; give {wanted} instead.")
    channels = facts.details["latent_channels"]
    if channels != 4:
        raise ModelError(
            f"The VAE {path} makes latents with {channels} channels; give a VAE whose latents have 4 channels."
        )
    return (
        _tiny(file, placement)
        if facts.details["layout"] == "tiny"
        else vae_in(file, facts.details["prefix"], placement, family)
    )


def load_vae_part(part: ComponentFolder, placement: Placement) -> nn.Module:
    """The VAE of a model folder, in the precision that its config asks for."""
    network = load_network(part, vae_dtype(part.config, part.kind, placement))
    ready: nn.Module = network.to(placement.device).eval().requires_grad_(False)
    return ready


def _check_family(part: ComponentFolder, family: Conventions) -> None:
    """Refuse a VAE whose config says that its latents are scaled for models of another family."""
    scale = part.config.get("scaling_factor")
    other = next((one for one in FAMILIES.values() if one is not family and one.vae_scale == scale), None)
    if other is not None:
        raise ModelError(
            f"The VAE {part.path} is for {other.name}, which scales latents by {scale:g}, but the checkpoint scales "
            f"them by {family.vae_scale:g}; use a VAE for {family.name}."
        )


def vae_in(file: WeightFile, prefix: str, placement: Placement, family: Conventions) -> nn.Module:
    """The AutoencoderKL whose names in a file begin with ``prefix``, for a model of this family."""
    names = file.below(prefix)
    new = conversion.vae_names({short: file.shape(name) for short, name in names.items()})
    shapes = {name: file.shape(names[short]) for short, name in new.items()}
    config = conversion.vae_config(shapes, family.vae_scale)
    state = renamed(file, {names[short]: name for short, name in new.items()}, config, "VAE")
    dtype = vae_dtype(config, "AutoencoderKL", placement)
    return fill(skeleton(lambda: from_config("AutoencoderKL", config)), state, replace(placement, dtype=dtype))


def _tiny(file: WeightFile, placement: Placement) -> nn.Module:
    """TAESD, which its author publishes in one size only."""
    state = StateDict({}, file.read(), f"The tiny VAE {file.path}")
    return fill(skeleton(lambda: from_config("AutoencoderTiny", {})), state, placement)


def vae_dtype(config: Config, kind: str, placement: Placement) -> torch.dtype:
    """The requested precision, else float32 if the VAE overflows in half precision, which is AutoencoderKL's
    default."""
    if placement.vae_dtype is not None:
        return placement.vae_dtype
    return torch.float32 if config.get("force_upcast", kind == "AutoencoderKL") else placement.dtype
