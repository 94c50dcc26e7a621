"""Stable Diffusion XL (Podell et al. 2023, arXiv:2307.01952) with AnimateDiff's motion module for it."""

from __future__ import annotations

from pathlib import Path

from redetail.engines.architectures.base import Architecture, Footprint, KnownModel
from redetail.engines.architectures.latent_diffusion import RECOGNIZERS
from redetail.engines.architectures.stable_diffusion import (
    PRESETS,
    TAKES,
    UNET_BYTES_PER_CELL,
    WANTED,
    Conventions,
    TextEncoderLayout,
    describe,
    has_added_conditions,
    hub_weights,
    load,
)


def _folder_of(path: Path) -> Path | None:
    return path if has_added_conditions(path) else None


# What AnimateDiff's authors sample mm_sdxl_v10_beta with: configs/inference/inference.yaml of their sdxl branch.
_STRONGER = {"beta_start": 0.00085, "beta_end": 0.020, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}

SDXL_CONVENTIONS = Conventions(
    base="sdxl",
    betas=_STRONGER,
    vae_scale=0.13025,
    texts=(
        TextEncoderLayout(
            "text_encoder", "tokenizer", "conditioner.embedders.0.transformer.", "clip", vectors="clip_l"
        ),
        TextEncoderLayout(
            "text_encoder_2", "tokenizer_2", "conditioner.embedders.1.model.", "open_clip", "!", "clip_g"
        ),
    ),
    pooled=True,
    normed=False,
    motion="a motion module for Stable Diffusion XL (AnimateDiff's mm_sdxl_v10_beta)",
)  # fmt: skip
SDXL = Architecture(
    base="sdxl",
    name=SDXL_CONVENTIONS.name,
    wanted=WANTED,
    related=("sdxl-refiner",),
    takes=TAKES,
    recognizers=RECOGNIZERS,
    folder_of=_folder_of,
    describe=describe,
    load=load,
    # The size of the pictures it was trained on, and the layer before the last, unnormed, which it was trained to read.
    defaults={"guide_size": 1024.0, "max_size": 1024.0, "clip_skip": 2},
    presets=PRESETS,
    hub_weights=hub_weights("unet", "motion_adapter", "vae", "text_encoder", "text_encoder_2"),
    # mm_sdxl_v10_beta, which has three levels and no middle.
    footprint=Footprint(
        side=1024, cell=8, bytes_per_cell=UNET_BYTES_PER_CELL, parameters=238_000_000, companion="a motion module"
    ),
    known=(
        KnownModel(
            name="sd_xl_base_1.0.safetensors",
            option="--checkpoint",
            published="huggingface.co/stabilityai/stable-diffusion-xl-base-1.0",
            licence="CreativeML Open RAIL++-M",
            notes="Stable Diffusion XL; fine-tuned versions also work, and most of them draw better faces",
        ),
        KnownModel(
            name="mm_sdxl_v10_beta.ckpt",
            option="--motion-module",
            published="huggingface.co/guoyww/animatediff",
            licence="Apache-2.0",
            notes="AnimateDiff for Stable Diffusion XL; its authors call it a beta version",
        ),
        KnownModel(
            name="animatediff-motion-adapter-sdxl-beta",
            option="--motion-module",
            published="huggingface.co/guoyww/animatediff-motion-adapter-sdxl-beta",
            licence="Apache-2.0",
            notes="the model above, but as a folder in the diffusers layout",
        ),
        KnownModel(
            name="pytorch_lora_weights.safetensors",
            option="--lora",
            published="huggingface.co/latent-consistency/lcm-lora-sdxl",
            licence="CreativeML Open RAIL++-M",
            notes="LCM-LoRA for Stable Diffusion XL; use it with --preset lcm",
        ),
        KnownModel(
            name="sdxl_lightning_4step_lora.safetensors",
            option="--lora",
            published="huggingface.co/ByteDance/SDXL-Lightning",
            licence="CreativeML Open RAIL++-M",
            notes="for Stable Diffusion XL with --preset lightning; with the 2-step or 8-step file, also set --steps",
        ),
        KnownModel(
            name="controlnet-canny-sdxl-1.0",
            option="--controlnet",
            published="huggingface.co/diffusers/controlnet-canny-sdxl-1.0",
            licence="CreativeML Open RAIL++-M",
            notes="for Stable Diffusion XL with --control canny",
        ),
        KnownModel(
            name="controlnet-tile-sdxl-1.0",
            option="--controlnet",
            published="huggingface.co/xinsir/controlnet-tile-sdxl-1.0",
            licence="Apache-2.0",
            notes="for Stable Diffusion XL with --control tile",
        ),
        KnownModel(
            name="sdxl-vae-fp16-fix",
            option="--vae",
            published="huggingface.co/madebyollin/sdxl-vae-fp16-fix",
            licence="MIT",
            notes="VAE of Stable Diffusion XL that does not overflow in float16, so it needs only half the memory",
        ),
    ),
)
