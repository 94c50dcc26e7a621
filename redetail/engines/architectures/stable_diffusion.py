"""Stable Diffusion 1.x (Rombach et al. 2022, arXiv:2112.10752) with AnimateDiff (Guo et al. 2023, arXiv:2307.04725)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from redetail.engines.architectures.base import Architecture, Footprint, KnownModel
from redetail.engines.architectures.latent_diffusion import BASE_NAMES, RECOGNIZERS
from redetail.engines.config import read_config

if TYPE_CHECKING:
    from redetail.engines.base import Engine
    from redetail.engines.device import Placement
    from redetail.engines.files import FileFacts
    from redetail.engines.spec import ModelSpec

PARTS = ("unet", "motion_adapter", "vae", "text_encoder", "tokenizer", "scheduler")
"""Folders of a model in the diffusers layout; Stable Diffusion XL has a second text encoder and tokenizer."""

WANTED = "a Stable Diffusion 1.x or XL checkpoint (a .safetensors or .ckpt file, or a folder in the diffusers layout)"
TAKES = frozenset({"motion_module", "motion_loras", "vae", "loras", "embeddings", "controls", "refiner_checkpoint"})
PRESETS: Mapping[str, Mapping[str, Any]] = {
    # AnimateLCM (arXiv:2402.00769) and other latent consistency models: the example that its authors publish.
    "lcm": {"sampler": "lcm", "scheduler": "sgm_uniform", "steps": 6, "cfg": 2.0},
    # AnimateDiff-Lightning (arXiv:2403.12706): Euler over trailing steps without guidance, here its 4-step file.
    "lightning": {"sampler": "euler", "scheduler": "sgm_uniform", "steps": 4, "cfg": 1.0},
    # DPM-Solver++(2M) over Karras sigmas: what undistilled Stable Diffusion 1.x models are mostly used with.
    "quality": {"sampler": "dpmpp_2m", "scheduler": "karras", "steps": 25, "cfg": 7.0},
}
"""These are also the presets of Stable Diffusion XL, whose distilled weights follow the same recipes."""

# Activations of the UNet with motion layers, bytes for each latent cell, frame and row of the batch, in float32: 1,600
# values wait in skip connections, about 5,000 are in use in the widest layers; twice that for copies and workspace.
# Stable Diffusion XL has the same widths at full resolution, and motion layers there.
UNET_BYTES_PER_CELL = 48 * 1024


@dataclass(frozen=True, slots=True)
class TextEncoderLayout:
    """Where a family's text encoder is stored and how it is read.

    ``part`` and ``tokenizer``: folders in the diffusers layout; ``prefix``: start of its names in a single file, which
    are otherwise those of ``source``; ``padding``: the token that fills up a prompt (None: the end token); ``vectors``:
    name of its vectors in an embedding for several encoders.
    """

    part: str
    tokenizer: str
    prefix: str
    source: Literal["clip", "open_clip"]
    padding: str | None = None
    vectors: str = ""


@dataclass(frozen=True, slots=True)
class Conventions:
    """Properties of a family of UNets that its weights do not show.

    ``betas``: the noise that its motion modules were trained on, in the terms of a scheduler_config.json;
    ``vae_scale``: factor from the VAE's mean to latents; ``texts``: its text encoders; ``pooled``: whether the UNet
    also gets the pooled text and the size of the picture; ``normed``: whether the text encoder's final norm is applied
    to the states that are read; ``motion``: its motion modules in words.
    """

    base: str
    betas: Mapping[str, Any]
    vae_scale: float
    texts: tuple[TextEncoderLayout, ...]
    pooled: bool
    normed: bool
    motion: str

    @property
    def name(self) -> str:
        """The base model in words."""
        return BASE_NAMES[self.base]


def load(family: Architecture, spec: ModelSpec, placement: Placement) -> Engine:
    """The engine of a checkpoint of Stable Diffusion 1.x or XL."""
    from redetail.engines.stable_diffusion.engine import load_stable_diffusion_engine

    return load_stable_diffusion_engine(family, spec, placement)


def in_diffusers_layout(path: Path) -> bool:
    """Whether a path is a folder in the diffusers layout, even an incomplete one."""
    return os.path.isfile(path / "model_index.json") or any(os.path.isdir(path / part) for part in PARTS)


def has_added_conditions(folder: Path) -> bool:
    """Whether the UNet of a folder gets more than text, which distinguishes Stable Diffusion XL."""
    config = folder / "unet" / "config.json"
    return os.path.isfile(config) and is_sdxl(read_config(config))


def is_sdxl(unet: Mapping[str, Any]) -> bool:
    """Whether a UNet in the diffusers layout is that of Stable Diffusion XL, by its config."""
    return unet.get("addition_embed_type") == "text_time"


def hub_weights(*parts: str) -> tuple[str, ...]:
    """Patterns of the weight files in these folders of a model; pickles are left out."""
    return tuple(f"{part}/*.safetensors" for part in parts)


def describe(folder: Path) -> FileFacts:
    """What the UNet of a folder is, with the size of all parts."""
    from redetail.engines.files import identify, with_parts

    found = {part: sorted((folder / part).glob("*.safetensors")) for part in PARTS}
    parts = {part: identify(paths[0]) for part, paths in found.items() if paths}
    if "unet" not in parts:
        return identify(folder / "unet")
    whole = with_parts(parts["unet"], parts.values())
    return replace(whole, path=folder, details={**whole.details, "parts": tuple(parts)})


def _folder_of(path: Path) -> Path | None:
    """The model folder; folders of Stable Diffusion 2.x also count, since they are loaded if a motion module fits
    them."""
    return path if in_diffusers_layout(path) and not has_added_conditions(path) else None


# AnimateDiff v1, v2, v3 (arXiv:2307.04725), AnimateLCM (arXiv:2402.00769), AnimateDiff-Lightning (arXiv:2403.12706).
_LINEAR = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear", "num_train_timesteps": 1000}

SD_CONVENTIONS = Conventions(
    base="sd15",
    betas=_LINEAR,
    vae_scale=0.18215,
    texts=(TextEncoderLayout("text_encoder", "tokenizer", "cond_stage_model.transformer.", "clip"),),
    pooled=False,
    normed=True,
    motion="a motion module for Stable Diffusion 1.x (AnimateDiff v1, v2 or v3, AnimateLCM, AnimateDiff-Lightning)",
)
STABLE_DIFFUSION = Architecture(
    base="sd15",
    name=SD_CONVENTIONS.name,
    wanted=WANTED,
    related=("sd2",),
    takes=TAKES,
    recognizers=RECOGNIZERS,
    folder_of=_folder_of,
    describe=describe,
    load=load,
    presets=PRESETS,
    hub_weights=hub_weights("unet", "motion_adapter", "vae", "text_encoder"),
    # AnimateDiff v2 and v3, and AnimateLCM: 417 to 454 million.
    footprint=Footprint(
        side=512, cell=8, bytes_per_cell=UNET_BYTES_PER_CELL, parameters=454_000_000, companion="a motion module"
    ),
    known=(
        KnownModel(
            name="v1-5-pruned-emaonly.safetensors",
            option="--checkpoint",
            published="huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5",
            licence="CreativeML OpenRAIL-M",
            notes="Stable Diffusion 1.5; fine-tuned versions also work, and most of them draw better faces",
        ),
        KnownModel(
            name="mm_sd_v15_v2.ckpt",
            option="--motion-module",
            published="huggingface.co/guoyww/animatediff",
            licence="Apache-2.0",
            notes="AnimateDiff v2; can be combined with motion LoRAs",
        ),
        KnownModel(
            name="v3_sd15_mm.ckpt",
            option="--motion-module",
            published="huggingface.co/guoyww/animatediff",
            licence="Apache-2.0",
            notes="AnimateDiff v3; use it with --preset quality",
        ),
        KnownModel(
            name="v3_sd15_adapter.ckpt",
            option="--lora",
            published="huggingface.co/guoyww/animatediff",
            licence="Apache-2.0",
            notes="use it with v3_sd15_mm.ckpt, to keep the look of that module's training videos out of the result",
        ),
        KnownModel(
            name="v2_lora_ZoomIn.ckpt and 7 others",
            option="--motion-lora",
            published="huggingface.co/guoyww/animatediff",
            licence="Apache-2.0",
            notes="camera motion for AnimateDiff v2",
        ),
        KnownModel(
            name="AnimateLCM_sd15_t2v.ckpt",
            option="--motion-module",
            published="huggingface.co/wangfuyun/AnimateLCM",
            licence="see its page",
            notes="use it with the LoRA below and --preset lcm",
        ),
        KnownModel(
            name="AnimateLCM_sd15_t2v_lora.safetensors",
            option="--lora",
            published="huggingface.co/wangfuyun/AnimateLCM",
            licence="see its page",
            notes="use it with AnimateLCM_sd15_t2v.ckpt, at a strength of 0.8 to 1",
        ),
        KnownModel(
            name="animatediff_lightning_4step_comfyui.safetensors",
            option="--motion-module",
            published="huggingface.co/ByteDance/AnimateDiff-Lightning",
            licence="CreativeML OpenRAIL-M",
            notes="use it with --preset lightning; with the files for 1, 2 and 8 steps, also set --steps",
        ),
        KnownModel(
            name="control_v11p_sd15_canny.pth",
            option="--controlnet",
            published="huggingface.co/lllyasviel/ControlNet-v1-1",
            licence="OpenRAIL",
            notes="use it with --control canny",
        ),
        KnownModel(
            name="control_v11p_sd15_lineart.pth",
            option="--controlnet",
            published="huggingface.co/lllyasviel/ControlNet-v1-1",
            licence="OpenRAIL",
            notes="use it with --control lineart",
        ),
        KnownModel(
            name="control_v11p_sd15_softedge.pth",
            option="--controlnet",
            published="huggingface.co/lllyasviel/ControlNet-v1-1",
            licence="OpenRAIL",
            notes="use it with --control softedge",
        ),
        KnownModel(
            name="control_v11f1e_sd15_tile.pth",
            option="--controlnet",
            published="huggingface.co/lllyasviel/ControlNet-v1-1",
            licence="OpenRAIL",
            notes="use it with --control tile; it allows a higher --denoise without changing the subject",
        ),
        KnownModel(
            name="control_v11f1p_sd15_depth.pth",
            option="--controlnet",
            published="huggingface.co/lllyasviel/ControlNet-v1-1",
            licence="OpenRAIL",
            notes="use it with --control FILE, a video of depth maps",
        ),
        KnownModel(
            name="control_v11p_sd15_openpose.pth",
            option="--controlnet",
            published="huggingface.co/lllyasviel/ControlNet-v1-1",
            licence="OpenRAIL",
            notes="use it with --control FILE, a video of poses",
        ),
        KnownModel(
            name="vae-ft-mse-840000-ema-pruned.safetensors",
            option="--vae",
            published="huggingface.co/stabilityai/sd-vae-ft-mse-original",
            licence="MIT",
            notes="draws finer eyes and teeth than older VAEs",
        ),
    ),
)
