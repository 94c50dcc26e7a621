"""The whole way from clean latents to re-diffused ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from redetail.errors import SettingsError
from redetail.progress import CancelToken
from redetail.sampling.denoiser import Denoiser, Prediction, predict_both
from redetail.sampling.mask import DifferentialMask, MaskedDenoiser
from redetail.sampling.noise import NoiseSource, initial_noise, noise_source
from redetail.sampling.samplers import Sampler, Step, find_sampler
from redetail.sampling.schedulers import Scheduler, part, schedule, step_range
from redetail.sampling.table import NoiseTable

CallCallback = Callable[[int, int], None]
"""(model calls done, model calls in all); the second is 0 where the sampler decides as it goes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingRequest:
    """What is asked of a run.

    ``sampler``: a name; ``scheduler``: a name, a function (table, steps) -> sigmas, or the sigmas; ``denoise``: 0..1,
    how far up the schedule it starts. ``first_frame`` and ``total_frames`` say which part of its segment the latents
    are, so that a segment sampled in parts gets the noise that it would get in one (None: it ends with these latents).
    """

    sampler: str = "euler"
    scheduler: Scheduler = "normal"
    steps: int = 20
    denoise: float = 1.0
    seed: int = 0
    first_frame: int = 0
    total_frames: int | None = None


class Stage(NamedTuple):
    """A denoiser and the noise table of its model."""

    denoiser: Denoiser
    table: NoiseTable


def sample(
    denoiser: Denoiser,
    latents: Tensor,
    table: NoiseTable,
    request: SamplingRequest,
    *,
    mask: Tensor | None = None,
    differential: bool = False,
    on_call: CallCallback | None = None,
    cancel: CancelToken | None = None,
) -> Tensor:
    """Re-diffuse clean ``latents`` (F, C, h, w) in model units; returns the last predicted clean latents, same shape.

    ``mask``: (1 or F, 1, h, w) 0..1, 0 keeps, 1 re-diffuses; ``differential`` opens it gradually, brightest first.
    The result is on the latents' device, float32 (float64 where the latents are). A schedule too short to be entered
    gives the latents back. ``on_call`` and ``cancel`` are served at every model call.

    Raises :class:`~redetail.errors.UnknownNameError` for a sampler or scheduler that does not exist,
    :class:`~redetail.errors.SettingsError` for steps, denoise, sigmas or shapes that cannot be,
    :class:`~redetail.errors.Cancelled`.
    """
    raise NotImplementedError


def sample_refined(
    base: Stage,
    refiner: Stage,
    latents: Tensor,
    request: SamplingRequest,
    ratio: float,
    *,
    mask: Tensor | None = None,
    differential: bool = False,
    on_call: CallCallback | None = None,
    cancel: CancelToken | None = None,
) -> Tensor:
    """As :func:`sample`, with the last ``ratio`` (0..1) of the steps taken over by a refiner.

    The base model samples down to the split and keeps the noise that is left; its latents are composited over the clean
    ones with the mask; the refiner goes on from there with no noise added, the mask acting softly.
    """
    raise NotImplementedError
