"""Inputs that several nodes share, so that each is declared once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from redetail.comfy.convert import pipe_from
from redetail.comfy.sampling import comfy_samplers, comfy_schedulers
from redetail.comfy.schema import Input, choice, socket, toggle, widget
from redetail.settings import Settings

ORIGINAL: Mapping[str, Mapping[str, float | None]] = {
    "guide_size": {"min": 64},
    "max_size": {"min": 64},
    "seed": {"step": None},
    "steps": {"step": None},
    "cfg": {"step": None},
    "refiner_ratio": {"step": None},
    "paste_feather": {"max": 100},
}
"""Where a widget of the original nodes differs from the setting that it stands for: saved workflows hold it so."""


KEPT = "This limits only scaling up: a crop that is already larger keeps its size."
"""What ``max_size`` means in the original nodes."""


def original_widget(name: str, **changes: Any) -> Input:
    """The input for a setting as the original nodes have it."""
    return widget(name, **{**ORIGINAL.get(name, {}), **changes})


def detailer_inputs(widget_of: Callable[..., Input], **max_size: Any) -> dict[str, Input]:
    """The inputs of the detailers, from ``image_frames`` to ``denoise``; ``widget_of`` makes that of a setting, with
    changes to that of ``max_size``."""
    return {
        "image_frames": socket("IMAGE", "All frames of the clip; they are detailed together."),
        "segs": socket("SEGS", "The segments to detail; each is cropped from every frame."),
        "guide_size": widget_of("guide_size"),
        "guide_size_for": toggle(
            True, "What guide_size applies to: the subject's box, or the whole crop.", "bbox", "crop_region"
        ),
        "max_size": widget_of("max_size", **max_size),
        "seed": widget_of("seed", more="All segments use this seed."),
        "steps": widget_of("steps"),
        "cfg": widget_of("cfg"),
        "sampler_name": choice(comfy_samplers(), "The method that removes the noise."),
        "scheduler": choice(comfy_schedulers(), "The schedule: how much noise each step removes."),
        "denoise": widget_of("denoise"),
    }


PIPE = socket("BASIC_PIPE", "Model (with its motion model), CLIP, VAE and prompts.")


def refiner_ratio(widget_of: Callable[..., Input]) -> Input:
    """The share of the refiner."""
    return widget_of("refiner_ratio", more="Has no effect without a refiner.")


def refining_inputs() -> dict[str, Input]:
    """The optional inputs of the detailers for AnimateDiff."""
    return {
        "refiner_basic_pipe_opt": socket(
            "BASIC_PIPE", "A pipe with a second model, the refiner, which takes over for the last steps."
        ),
        "noise_mask_feather": original_widget(
            "mask_feather",
            more="If this is above 0, the first step repaints only the white part of the mask, and later steps "
            "repaint its soft edge too (differential diffusion).",
        ),
        "scheduler_func_opt": socket(
            "SCHEDULER_FUNC", "A schedule to use instead of the one chosen in the scheduler input."
        ),
    }


@dataclass(frozen=True)
class _Widgets:
    """What the detailers for AnimateDiff share, in the order in which scripts call ``do_detail``."""

    image_frames: Any
    segs: Any
    guide_size: float
    guide_size_for: bool
    max_size: float
    seed: int
    steps: int
    cfg: float
    sampler_name: str
    scheduler: str
    denoise: float


@dataclass(frozen=True)
class DetailerInputs(_Widgets):
    """What a detailer for AnimateDiff is given."""

    basic_pipe: Any = None
    refiner_ratio: float | None = None
    refiner_basic_pipe_opt: Any = None
    noise_mask_feather: int = 0
    scheduler_func_opt: Any = None

    @property
    def settings(self) -> Settings:
        """The settings that the widgets stand for.

        Raises :class:`~redetail.errors.SettingsError` for a value out of range, which a workflow posted as text may
        hold.
        """
        return Settings(
            guide_size=self.guide_size,
            guide_size_for="bbox" if self.guide_size_for else "crop_region",
            max_size=self.max_size,
            seed=self.seed,
            steps=self.steps,
            cfg=self.cfg,
            sampler=self.sampler_name,
            scheduler=self.scheduler,
            denoise=self.denoise,
            mask_feather=self.noise_mask_feather,
            refiner_ratio=0.2 if self.refiner_ratio is None else self.refiner_ratio,
            color_match=False,
        )

    @property
    def pipes(self) -> dict[str, Any]:
        """What is connected: ``pipe``, ``refiner`` and ``scheduler`` of a detailer."""
        refiner = self.refiner_basic_pipe_opt
        return {
            "pipe": pipe_from(self.basic_pipe),
            "refiner": None if refiner is None else pipe_from(refiner, "refiner_basic_pipe_opt"),
            "scheduler": self.scheduler_func_opt,
        }


@dataclass(frozen=True)
class PastingInputs(_Widgets):
    """What the detailer that pastes is given."""

    feather: int
    basic_pipe: Any
    refiner_ratio: float | None = None
    detailer_hook: Any = None
    refiner_basic_pipe_opt: Any = None
    noise_mask_feather: int = 0
    scheduler_func_opt: Any = None

    @property
    def detailer(self) -> DetailerInputs:
        """Its part that every detailer is given."""
        return DetailerInputs(**{item.name: getattr(self, item.name) for item in fields(DetailerInputs)})


def hint_images(images: list[Tensor]) -> list[Tensor]:
    """Hint images as they leave a node: ComfyUI wants at least one, a black one stands for none."""
    return images or [torch.zeros(1, 64, 64, 3)]
