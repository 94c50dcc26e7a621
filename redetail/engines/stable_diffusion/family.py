"""Recognises the families of UNets that the engine knows by their checkpoints."""

from __future__ import annotations

from collections.abc import Mapping

from redetail.engines.architectures.latent_diffusion import BASE_BY_WIDTH
from redetail.engines.architectures.sdxl import SDXL_CONVENTIONS
from redetail.engines.architectures.stable_diffusion import SD_CONVENTIONS, Conventions, is_sdxl
from redetail.engines.config import Config

FAMILIES: Mapping[str, Conventions] = {one.base: one for one in (SD_CONVENTIONS, SDXL_CONVENTIONS)}
"""Families by the ``base`` of their files."""


def family_of(unet: Config) -> Conventions:
    """The family of a UNet in the diffusers layout, by its config: that of Stable Diffusion 1.x also for 2.x."""
    return SDXL_CONVENTIONS if is_sdxl(unet) else SD_CONVENTIONS


def base_of(unet: Config) -> str:
    """The base model of a UNet in the diffusers layout, "sd15", "sd2" or "sdxl"; "" if its widths do not show it."""
    if is_sdxl(unet):
        return SDXL_CONVENTIONS.base
    width = unet.get("cross_attention_dim")
    return BASE_BY_WIDTH.get(width, "") if isinstance(width, int) else ""
