"""A whole sampling run, from clean latents to re-diffused ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from redetail.errors import RegionError
from redetail.progress import CancelToken
from redetail.sampling.brownian import BrownianNoise
from redetail.sampling.denoiser import Denoiser, Prediction, predict_both
from redetail.sampling.mask import DifferentialMask, MaskedDenoiser, composited
from redetail.sampling.noise import NoiseFrames, NoiseSource, PlainNoise
from redetail.sampling.path import NoisePath
from redetail.sampling.samplers import Sampler, Step, find_sampler, sampler_steps
from redetail.sampling.schedulers import Scheduler, refined_parts, sampled_on, schedule, step_range

CallCallback = Callable[[int, int], None]
"""(model calls done, model calls in all); the second is 0 if the sampler decides during sampling."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingRequest:
    """The parameters of a run.

    ``sampler``: a name; ``scheduler``: a name, a function (path, steps) -> sigmas, or the sigmas; ``denoise``: 0..1,
    how far up the schedule the run starts. ``first_frame`` and ``total_frames`` (None: the segment ends with these
    latents) say which part of their segment the latents are, so that a segment sampled in parts gets the same noise as
    in one. ``free_noise``: (window, step), see :class:`~redetail.sampling.noise.NoiseFrames`. ``noise_seed_offset``:
    added to the seed for the plain noise of steps, so that the first draw differs from the initial noise; None: the
    offset of the model's path (ComfyUI adds 1 since version 0.33, and added 0 before; see docs/samplers.md).
    """

    sampler: str = "euler"
    scheduler: Scheduler = "normal"
    steps: int = 20
    denoise: float = 1.0
    seed: int = 0
    first_frame: int = 0
    total_frames: int | None = None
    free_noise: tuple[int, int] | None = None
    noise_seed_offset: int | None = None


Handover = Literal["carried", "composited"]
"""How a refiner takes over under a mask; see :func:`sample_refined`."""


class Stage(NamedTuple):
    """A denoiser and the noise path of its model."""

    denoiser: Denoiser
    path: NoisePath


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    latents: Tensor,
    path: NoisePath,
    request: SamplingRequest,
    *,
    mask: Tensor | None = None,
    differential: bool = False,
    on_call: CallCallback | None = None,
    cancel: CancelToken | None = None,
) -> Tensor:
    """Re-diffuse clean ``latents`` (F, C, h, w) in model units; returns the last predicted clean latents, same shape.

    ``mask``: (1 or F, 1, h, w) 0..1, 0 keeps, 1 re-diffuses; ``differential`` opens it gradually, brightest first. The
    result is on the latents' device, in float32 (float64 if the latents are). If the schedule is too short to be
    entered, the latents are returned unchanged. ``on_call`` is called and ``cancel`` checked at every model call.

    Raises :class:`~redetail.errors.UnknownNameError` for a sampler or scheduler that does not exist,
    :class:`~redetail.errors.SettingsError` for impossible steps, denoise, sigmas or shapes, and
    :class:`~redetail.errors.Cancelled`.
    """
    run = _Run(request, latents, mask, on_call, cancel)
    whole, sigmas = run.sigmas(path)
    if not sigmas:
        return run.clean.clone()
    run.expect(sigmas)
    return run.walk(Stage(denoiser, path), whole, sigmas, opening=sigmas if differential else None).x0


@torch.no_grad()
def sample_refined(
    base: Stage,
    refiner: Stage,
    latents: Tensor,
    request: SamplingRequest,
    ratio: float,
    *,
    mask: Tensor | None = None,
    differential: bool = False,
    handover: Handover = "carried",
    on_call: CallCallback | None = None,
    cancel: CancelToken | None = None,
) -> Tensor:
    """Like :func:`sample`, but a refiner takes over the last ``ratio`` (0..1) of the steps.

    With ``handover`` "carried", the refiner continues from the state that the base model leaves, with the same clean
    latents, noise and mask, as if the network changed within one run. "composited" is the rule of the original detailer
    node, and gives the same results: the state, including its noise, is composited over the clean latents and counts as
    clean from then on, so that a soft mask leaves noise in its feather; the mask opens gradually only for the base
    model; and a refiner that takes over all steps starts without noise. Without a mask, the two only differ in this
    last point.
    """
    run = _Run(request, latents, mask, on_call, cancel)
    base_whole, refiner_whole = run.schedule(base.path), run.schedule(refiner.path)
    before, after = refined_parts(base_whole, refiner_whole, request.steps, request.denoise, ratio)
    run.expect(before, after)
    if handover == "composited":
        handed = run.clean
        if before:
            x = run.walk(base, base_whole, before, opening=before if differential else None).x
            handed = composited(run.clean, base.path.finish(x, before[-1]), run.mask)
        return run.walk(refiner, refiner_whole, after, clean=handed, add_noise=False).x0 if after else handed.clone()
    opening = [*before, *after[bool(before) :]] if differential else None
    step = run.walk(base, base_whole, before, opening=opening) if before else None
    if after:
        step = run.walk(refiner, refiner_whole, after, opening=opening, state=None if step is None else step.x)
    return run.clean.clone() if step is None else step.x0


class _Run:
    """What the stages of a run share."""

    def __init__(
        self,
        request: SamplingRequest,
        latents: Tensor,
        mask: Tensor | None,
        on_call: CallCallback | None,
        cancel: CancelToken | None,
    ) -> None:
        _check_shapes(latents, mask)
        self.request, self.sampler = request, find_sampler(request.sampler)
        self.clean = latents if latents.dtype == torch.float64 else latents.float()
        self.mask = None if mask is None else mask.to(self.clean)
        self.frames = NoiseFrames(
            tuple(latents.shape), request.seed, request.first_frame, request.total_frames, request.free_noise
        )
        self.calls = _Calls(on_call, cancel)

    def schedule(self, path: NoisePath) -> list[float]:
        """The whole schedule of the request."""
        _, total = step_range(self.request.steps, self.request.denoise)
        return schedule(self.request.scheduler, path, total, drop_penultimate=self.sampler.drop_penultimate)

    def sigmas(self, path: NoisePath) -> tuple[list[float], list[float]]:
        """The whole schedule, and the part of it that is sampled."""
        whole = self.schedule(path)
        return whole, sampled_on(path, whole, self.request.steps, self.request.denoise)

    def expect(self, *lists: list[float]) -> None:
        """Tell the observer how many model calls these lists of sigmas will take."""
        if self.sampler.calls is not None:
            self.calls.total = sum(self.sampler.calls(len(sigmas) - 1) for sigmas in lists if sigmas)

    def step_frames(self, path: NoisePath) -> NoiseFrames:
        """The noise that a sampler draws at its steps, from the run's seed or, for plain noise, from another seed."""
        offset = self.request.noise_seed_offset
        offset = path.noise_seed_offset if offset is None else offset
        if self.sampler.noise != "plain" or offset == 0:
            return self.frames
        return replace(self.frames, seed=(self.frames.seed + offset) % 2**64)

    def walk(
        self,
        stage: Stage,
        whole: list[float],
        sigmas: list[float],
        *,
        clean: Tensor | None = None,
        add_noise: bool = True,
        opening: Sequence[float] | None = None,
        state: Tensor | None = None,
    ) -> Step:
        """Sample down ``sigmas``, from ``state`` or else from ``clean`` (by default the run's) with noise; return the
        last step.

        ``opening``: the sigmas over which the mask opens gradually (None: it acts as soft weights).
        """
        clean = self.clean if clean is None else clean
        noise = self.frames.initial().to(clean) if add_noise else clean.new_zeros(1, 1, 1, 1)
        denoiser = stage.denoiser
        if self.mask is not None:
            mask = self.mask if opening is None else DifferentialMask(self.mask, stage.path, opening)
            offset = self.sampler.mask_seed_offset
            shown = self.frames.initial(offset).to(clean) if add_noise and offset else noise
            denoiser = MaskedDenoiser(denoiser, mask, clean, shown, stage.path)
        x = stage.path.start(clean, noise, sigmas[0]) if state is None else state
        drawn = step_noise(self.sampler, stage.path, self.step_frames(stage.path), whole, sigmas)
        observed = ObservedDenoiser(denoiser, self.calls)
        steps = sampler_steps(self.sampler, stage.path, observed, x, sigmas, lambda *ends: drawn(*ends).to(clean))
        return deque(steps, maxlen=1).pop()


def step_noise(
    sampler: Sampler, path: NoisePath, frames: NoiseFrames, whole: Sequence[float], sigmas: Sequence[float]
) -> NoiseSource:
    """The noise that a sampler adds at its steps down ``sigmas``, a part of the ``whole`` schedule; on the CPU."""
    match sampler.noise:
        case "none":
            return _no_noise
        case "plain":
            return PlainNoise(frames)
        case "brownian" if path.whole_brownian:
            return BrownianNoise(frames, whole)
        case "brownian" | "brownian_part":
            return BrownianNoise(frames, sigmas)


class _Calls:
    """Counts model calls, reports them, and stops on request."""

    def __init__(self, on_call: CallCallback | None, cancel: CancelToken | None) -> None:
        self.done, self.total = 0, 0
        self._on_call, self._cancel = on_call, cancel

    def before(self) -> None:
        if self._cancel is not None:
            self._cancel.check()

    def after(self) -> None:
        self.done += 1
        if self._on_call is not None:
            self._on_call(self.done, max(self.total, self.done) if self.total else 0)


class ObservedDenoiser:
    """A denoiser whose calls are counted."""

    def __init__(self, denoiser: Denoiser, calls: _Calls) -> None:
        self.denoiser, self.calls = denoiser, calls

    def __call__(self, x: Tensor, sigma: float, /) -> Tensor:
        """x0 (F, C, h, w)."""
        self.calls.before()
        x0 = self.denoiser(x, sigma)
        self.calls.after()
        return x0

    def predict(self, x: Tensor, sigma: float, /) -> Prediction:
        """The guided x0 and the negative one."""
        self.calls.before()
        both = predict_both(self.denoiser, x, sigma)
        self.calls.after()
        return both


def _no_noise(sigma: float, sigma_next: float) -> Tensor:
    raise AssertionError("a sampler registered as deterministic asked for noise")


def _check_shapes(latents: Tensor, mask: Tensor | None) -> None:
    if latents.ndim != 4 or 0 in latents.shape:
        raise RegionError(f"Latents must have the shape (frames, channels, height, width), not {tuple(latents.shape)}.")
    frames, _, height, width = latents.shape
    if mask is not None and tuple(mask.shape) not in {(1, 1, height, width), (frames, 1, height, width)}:
        raise RegionError(
            f"A latent mask for {frames} frames must have the shape (1, 1, {height}, {width}) or ({frames}, 1, "
            f"{height}, {width}), not {tuple(mask.shape)}."
        )
