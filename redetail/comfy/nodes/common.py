"""Inputs that several nodes share, so that each is declared once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from redetail.comfy.convert import pipe_from
from redetail.comfy.sampling import comfy_samplers, comfy_schedulers
from redetail.comfy.schema import MAX_RESOLUTION, Input, choice, number, socket, toggle
from redetail.settings import Settings


def detailer_inputs(max_size: float) -> dict[str, Input]:
    """The inputs of the detailers for AnimateDiff, from ``image_frames`` to ``denoise``."""
    return {
        "image_frames": socket("IMAGE", "All frames of the clip; they are detailed together."),
        "segs": socket("SEGS", "What to detail. Each segment is cropped from every frame."),
        "guide_size": number(
            512, 64, MAX_RESOLUTION, "The crop is scaled up until the shorter side has this many pixels.", step=8
        ),
        "guide_size_for": toggle(
            True, "What guide_size measures: the subject's own box, or the whole crop.", "bbox", "crop_region"
        ),
        "max_size": number(max_size, 64, MAX_RESOLUTION, "Longest side of the scaled crop, in pixels.", step=8),
        "seed": number(0, 0, 2**64 - 1, "Equal seeds give equal results; every segment starts from it.", whole=True),
        "steps": number(20, 1, 10000, "Sampling steps.", whole=True),
        "cfg": number(8.0, 0.0, 100.0, "How strongly the prompt is followed; 1 needs half the work."),
        "sampler_name": choice(comfy_samplers(), "How the noise is removed."),
        "scheduler": choice(comfy_schedulers(), "How much noise each step removes."),
        "denoise": number(0.5, 0.0001, 1.0, "How much is painted anew: low keeps the crop, 1 forgets it.", step=0.01),
    }


PIPE = socket("BASIC_PIPE", "Model (with its motion model), CLIP, VAE and prompts.")
REFINER_RATIO = number(0.2, 0.0, 1.0, "Share of the steps that the refiner takes over; without a refiner unused.")


def refining_inputs() -> dict[str, Input]:
    """The optional inputs of the detailers for AnimateDiff."""
    return {
        "refiner_basic_pipe_opt": socket("BASIC_PIPE", "A second model over the same latents for the last steps."),
        "noise_mask_feather": number(
            20, 0, 100, "Softness of the area that is painted, in pixels of the crop; above 0 it opens step by step "
            "(differential diffusion).", step=1, whole=True
        ),
        "scheduler_func_opt": socket("SCHEDULER_FUNC", "Replaces scheduler."),
    }  # fmt: skip


def node_settings(values: dict[str, Any]) -> Settings:
    """The settings that a detailer node's widgets stand for.

    Raises :class:`~redetail.errors.SettingsError` for a value out of range, which a workflow posted as text may hold.
    """
    return Settings(
        guide_size=values["guide_size"],
        guide_size_for="bbox" if values["guide_size_for"] else "crop_region",
        max_size=values["max_size"],
        seed=values["seed"],
        steps=values["steps"],
        cfg=values["cfg"],
        sampler=values["sampler_name"],
        scheduler=values["scheduler"],
        denoise=values["denoise"],
        mask_feather=values["noise_mask_feather"],
        refiner_ratio=0.2 if values["refiner_ratio"] is None else values["refiner_ratio"],
        color_match=False,
    )


def detailer_pipes(values: dict[str, Any]) -> dict[str, Any]:
    """What is connected to a detailer node: ``pipe``, ``refiner`` and ``scheduler`` of a detailer."""
    refiner = values["refiner_basic_pipe_opt"]
    return {
        "pipe": pipe_from(values["basic_pipe"]),
        "refiner": None if refiner is None else pipe_from(refiner, "refiner_basic_pipe_opt"),
        "scheduler": values["scheduler_func_opt"],
    }


def hint_images(images: list[Tensor]) -> list[Tensor]:
    """Hint images as they leave a node: ComfyUI wants at least one, a black one stands for none."""
    return images or [torch.zeros(1, 64, 64, 3)]
