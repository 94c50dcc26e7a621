"""``Family``: what sets the families of models apart, in one place.

Everything else is told from the tensors, or is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from redetail.engines.device import Placement
from redetail.engines.files import BASE_NAMES
from redetail.engines.kinds import BASE_BY_WIDTH
from redetail.engines.stable_diffusion.clip import load_clip, load_open_clip
from redetail.engines.stable_diffusion.conditions import Conditioner, PromptEncoder, StatesAlone, StatesWholeAndSize
from redetail.engines.weightfile import WeightFile

Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TextLayout:
    """A text encoder of a family: where it lies and how it is read.

    ``part`` and ``tokenizer``: folders in the diffusers layout; ``prefix``: beginning of its names in a single file,
    which ``load`` reads; ``padding``: the token that fills up a prompt (None: the end token); ``vectors``: name of its
    vectors in an embedding that holds some for several encoders.
    """

    part: str
    tokenizer: str
    prefix: str
    load: Callable[[WeightFile, str, Placement], nn.Module]
    padding: str | None = None
    vectors: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """A family of checkpoints with the motion modules made for it.

    ``base``: as in :class:`~redetail.engines.files.FileFacts`; ``betas``: the noise that its motion modules were
    trained on, in the terms of a scheduler_config.json; ``vae_scale``: from the VAE's mean to latents;
    ``conditioner``: what becomes of prompts; ``normed``: whether the text encoder's final norm is applied to the
    states that are read; ``motion``: its motion modules in words; ``defaults``: settings that differ from those of the
    detailer node.
    """

    base: str
    betas: Config
    vae_scale: float
    texts: tuple[TextLayout, ...]
    conditioner: Callable[[Sequence[PromptEncoder]], Conditioner]
    normed: bool
    motion: str
    defaults: Config = field(default_factory=dict)

    @property
    def name(self) -> str:
        """In words."""
        return BASE_NAMES[self.base]


# AnimateDiff v1, v2, v3 (arXiv:2307.04725), AnimateLCM (arXiv:2402.00769), AnimateDiff-Lightning (arXiv:2403.12706).
_LINEAR = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear", "num_train_timesteps": 1000}
# What AnimateDiff's authors sample mm_sdxl_v10_beta with: configs/inference/inference.yaml of their sdxl branch.
_STRONGER = {"beta_start": 0.00085, "beta_end": 0.020, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}

SD = Family(
    base="sd15",
    betas=_LINEAR,
    vae_scale=0.18215,
    texts=(TextLayout("text_encoder", "tokenizer", "cond_stage_model.transformer.", load_clip),),
    conditioner=StatesAlone,
    normed=True,
    motion="a motion module for Stable Diffusion 1.x (AnimateDiff v1, v2 or v3, AnimateLCM, AnimateDiff-Lightning)",
)
SDXL = Family(
    base="sdxl",
    betas=_STRONGER,
    vae_scale=0.13025,
    texts=(
        TextLayout(
            "text_encoder", "tokenizer", "conditioner.embedders.0.transformer.", load_clip, vectors="clip_l"
        ),
        TextLayout(
            "text_encoder_2", "tokenizer_2", "conditioner.embedders.1.model.", load_open_clip, "!", "clip_g"
        ),
    ),
    conditioner=StatesWholeAndSize,
    normed=False,
    motion="a motion module for Stable Diffusion XL (AnimateDiff's mm_sdxl_v10_beta)",
    # The size of the pictures it was trained on, and the layer before the last, unnormed, which it was trained to read.
    defaults={"guide_size": 1024.0, "max_size": 1024.0, "clip_skip": 2},
)  # fmt: skip
FAMILIES: Mapping[str, Family] = {family.base: family for family in (SD, SDXL)}
"""Families by the ``base`` of their files."""


def family_of(unet: Config) -> Family:
    """The family of a UNet in the diffusers layout, by its config: that of Stable Diffusion 1.x also for 2.x."""
    return SDXL if unet.get("addition_embed_type") == "text_time" else SD


def base_of(unet: Config) -> str:
    """The base model of a UNet in the diffusers layout, "sd15", "sd2" or "sdxl"; "" where its widths do not tell."""
    family, width = family_of(unet), unet.get("cross_attention_dim")
    if family is not SD:
        return family.base
    return BASE_BY_WIDTH.get(width, "") if isinstance(width, int) else ""
