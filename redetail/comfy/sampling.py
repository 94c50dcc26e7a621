"""Sampling through ComfyUI: its samplers, its models with whatever patches them, its conditioning.

:mod:`redetail.sampling` decides which part of which schedule is sampled, from which noise, under which mask, and
where a refiner takes over; here ComfyUI is called accordingly. Latents go in and come out in the VAE's own units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from redetail.engines.base import Request
from redetail.errors import SettingsError, UnknownNameError
from redetail.sampling.mask import composited, opened
from redetail.sampling.noise import NoiseFrames
from redetail.sampling.path import VarianceExploding
from redetail.sampling.run import Handover, step_noise
from redetail.sampling.samplers import find_sampler, sampler_names
from redetail.sampling.schedulers import denoise_for_start, refined_parts, sampled_part, scheduler_names, step_range
from redetail.sampling.schedulers import schedule as known_schedule
from redetail.settings import Settings

SchedulerFunction = Callable[[Any, str, int], Any]
"""A SCHEDULER_FUNC: (model, sampler name, steps) -> sigmas."""

_LONGEST_SCHEDULE = 1000
"""Steps of the longest schedule in which a strength is looked for: more than models have noise levels."""

OnStep = Callable[[int, int, Tensor], None]
"""(steps done, steps in all, last predicted clean latents in model units)."""


class ConditionedModel(NamedTuple):
    """A ComfyUI model and its conditioning."""

    model: Any
    positive: Any
    negative: Any


@dataclass(frozen=True, kw_only=True)
class LatentRequest:
    """What base model and refiner share. ``noise`` and ``mask`` fit ``latents``; mask None: everything changes.

    ``handover``: see :func:`redetail.sampling.sample_refined`; "composited" is what the original node does. ``place``:
    where these frames lie in a segment that is sampled in parts; None: ComfyUI's samplers draw noise as they do.
    """

    settings: Settings
    latents: Tensor
    noise: Tensor
    mask: Tensor | None
    scheduler: SchedulerFunction | None = None
    on_step: OnStep | None = None
    handover: Handover = "carried"
    place: NoiseFrames | None = None

    @property
    def differential(self) -> bool:
        """Whether the mask opens gradually."""
        return self.settings.mask_feather > 0


def comfy_samplers() -> tuple[str, ...]:
    """Samplers of the ComfyUI that runs."""
    import comfy.samplers

    return tuple(comfy.samplers.KSampler.SAMPLERS)


def comfy_schedulers() -> tuple[str, ...]:
    """Schedulers of the ComfyUI that runs, then those that only the detailer nodes have."""
    import comfy.samplers

    own = tuple(comfy.samplers.KSampler.SCHEDULERS)
    return own + tuple(name for name in scheduler_names() if name.startswith(("AYS ", "GITS[")) and name not in own)


def rediffused(base: ConditionedModel, refiner: ConditionedModel | None, request: LatentRequest) -> Tensor:
    """The last predicted clean latents; those of the request where nothing is to be sampled."""
    settings = request.settings
    _, total = step_range(settings.steps, settings.denoise)
    whole = schedule(base.model, settings, total, request.scheduler)
    if refiner is None:
        sigmas = sampled_part(whole, settings.steps, settings.denoise)
        return _walk(_opening(base, request, sigmas), request, whole, sigmas).x0 if sigmas else request.latents
    refined = schedule(refiner.model, settings, total, request.scheduler)
    before, after = refined_parts(whole, refined, settings.steps, settings.denoise, settings.refiner_ratio)
    if request.handover == "composited":
        handed = request.latents
        if before:
            x = _walk(_opening(base, request, before), request, whole, before).x
            handed = composited(handed, x, request.mask)
        again = replace(request, latents=handed, noise=torch.zeros_like(request.noise))
        return _walk(refiner, again, refined, after).x0 if after else handed
    base, refiner = (_opening(model, request, [*before, *after[bool(before) :]]) for model in (base, refiner))
    walked = _walk(base, request, whole, before) if before else None
    if after:
        walked = _walk(refiner, request, refined, after, None if walked is None else walked.state)
    return request.latents if walked is None else walked.x0


def schedule(model: Any, settings: Settings, steps: int, function: SchedulerFunction | None) -> list[float]:
    """The whole schedule: the function's, ComfyUI's own, or one of those that only the detailer nodes have."""
    if function is not None:
        return _falling(function(model, settings.sampler, steps))
    import comfy.samplers

    name, dropped = settings.scheduler, _known(settings.sampler, "drop_penultimate", True)
    if name in comfy.samplers.KSampler.SCHEDULERS:
        sampling = model.get_model_object("model_sampling")
        sigmas = _falling(comfy.samplers.calculate_sigmas(sampling, name, steps + dropped))
        if dropped:
            del sigmas[-2]
        return sigmas
    if name in scheduler_names() and name not in comfy_schedulers():
        raise UnknownNameError("scheduler", name, comfy_schedulers())
    # Published tables and typed sigmas: they do not ask the model.
    return known_schedule(name, VarianceExploding.stable_diffusion(), steps, drop_penultimate=dropped)


def starting_noise(model: Any, settings: Settings, function: SchedulerFunction | None) -> float:
    """Share of noise, 0 (clean) to 1 (pure noise), in what a run with these settings starts from.

    On a rectified flow it depends on the model's shift much more than on ``denoise``; see
    :meth:`redetail.sampling.path.NoisePath.noise_level`.
    """
    _, total = step_range(settings.steps, settings.denoise)
    sigmas = sampled_part(schedule(model, settings, total, function), settings.steps, settings.denoise)
    return _noise_share(model, sigmas[0]) if sigmas else 0.0


def denoise_of_strength(model: Any, settings: Settings, function: SchedulerFunction | None) -> float:
    """The ``denoise`` with which a run starts from the share of noise that is nearest to ``settings.strength``."""

    def start(denoise: float) -> float:
        return starting_noise(model, replace(settings, denoise=denoise), function)

    return denoise_for_start(start, settings.steps, _LONGEST_SCHEDULE, settings.strength)


def _noise_share(model: Any, sigma: float) -> float:
    """sigma / (alpha + sigma); alpha is 1 - sigma on a rectified flow, else 1."""
    import comfy.model_sampling

    flow = isinstance(model.get_model_object("model_sampling"), comfy.model_sampling.CONST)
    return sigma / ((1 - sigma if flow else 1) + sigma)


def place_of(latents: Tensor, request: Request) -> NoiseFrames | None:
    """Where latents lie in a segment that is sampled in parts; None if they are all of it, or one clip."""
    whole = request.first_frame == 0 and request.total_frames in (None, request.crops.frames)
    if whole or latents.ndim != 4:
        return None
    return NoiseFrames(tuple(latents.shape), request.settings.seed, request.first_frame, request.total_frames)


def initial_noise(latents: Tensor, seed: int, place: NoiseFrames | None = None) -> Tensor:
    """ComfyUI's noise of a segment, or that of a part of it."""
    import comfy.sample

    if place is not None:
        return place.initial().to(latents.dtype)
    return cast("Tensor", comfy.sample.prepare_noise(latents, seed))


def check_interrupted() -> None:
    """Raise ComfyUI's own exception if its user pressed stop."""
    import comfy.model_management

    comfy.model_management.throw_exception_if_processing_interrupted()


class DifferentialMask:
    """A soft mask as a schedule, in ComfyUI's form; see :class:`redetail.sampling.mask.DifferentialMask`.

    Timesteps are those of the model that samples (Levin and Fried 2023, arXiv 2306.00950). ``sigmas``: those over which
    the mask opens; None: all that the model samples.
    """

    def __init__(self, sigmas: Sequence[float] | None = None) -> None:
        self._sigmas = None if sigmas is None else torch.tensor(sigmas, dtype=torch.float32)

    def __call__(self, sigma: Tensor, denoise_mask: Tensor, extra_options: dict[str, Any]) -> Tensor:
        """The binary mask at ``sigma``."""
        sampling, sigmas = extra_options["model"].inner_model.model_sampling, extra_options["sigmas"]
        sigmas = sigmas if self._sigmas is None else self._sigmas.to(sigmas)
        last = torch.as_tensor(sampling.sigma_min, device=sigmas.device)
        levels = sigmas[0], torch.maximum(sigmas[-1], last), sigma[0]
        start, end, now = (torch.as_tensor(sampling.timestep(level)) for level in levels)
        return opened(denoise_mask, now, start, end)


class _Walked(NamedTuple):
    """Where a model ended: its noisy latents, the clean ones that it predicted last, and its state in model units."""

    x: Tensor
    x0: Tensor
    state: Tensor


class _Watch:
    """ComfyUI's step callback: keeps the prediction, reports, and lets the user stop between model calls."""

    def __init__(self, on_step: OnStep | None) -> None:
        self.x0: Tensor | None = None
        self._on_step = on_step

    def __call__(self, step: int, x0: Tensor, x: Tensor, total: int) -> None:
        self.x0 = x0
        check_interrupted()
        if self._on_step is not None:
            self._on_step(step + 1, total, x0)

    @staticmethod
    def between_calls(arguments: dict[str, Any]) -> Any:
        """Called after every evaluation of the model, several times a step with some samplers."""
        check_interrupted()
        return arguments["conds_out"]


def _walk(
    conditioned: ConditionedModel,
    request: LatentRequest,
    whole: Sequence[float],
    sigmas: Sequence[float],
    state: Tensor | None = None,
) -> _Walked:
    """Down a part of the schedule, from ``state`` or else from the latents with noise."""
    import comfy.sample

    model = conditioned.model.clone()
    model.set_model_sampler_pre_cfg_function(_Watch.between_calls)
    seed = request.settings.seed
    watch = _Watch(request.on_step)
    sampler = _Resumed(_sampler(model, request, whole, sigmas), state)
    x = comfy.sample.sample_custom(
        model,
        request.noise,
        request.settings.cfg,
        sampler.sampler,
        torch.tensor(sigmas, dtype=torch.float32),
        conditioned.positive,
        conditioned.negative,
        request.latents,
        noise_mask=request.mask,
        callback=watch,
        disable_pbar=True,
        seed=seed,
    )
    x0 = x if watch.x0 is None else model.model.process_latent_out(watch.x0.float()).to(x.device)
    return _Walked(x, x0, x if sampler.state is None else sampler.state)


class _Resumed:
    """A sampler of ComfyUI that starts from ``state``, where there is one, and keeps the state that it ends in.

    ComfyUI makes the state at the start from latents and noise, and needs both for the mask: so they stay what they
    are, and the state is exchanged on its way into the sampler's function.
    """

    def __init__(self, sampler: Any, state: Tensor | None) -> None:
        self.sampler, self.state = sampler, state
        self._function = sampler.sampler_function
        sampler.sampler_function = self._sample

    def _sample(self, model: Any, x: Tensor, sigmas: Tensor, **options: Any) -> Tensor:
        self.state = cast(
            "Tensor", self._function(model, x if self.state is None else self.state.to(x), sigmas, **options)
        )
        return self.state


def _opening(conditioned: ConditionedModel, request: LatentRequest, sigmas: Sequence[float]) -> ConditionedModel:
    """The model with a mask that opens over ``sigmas`` where it is feathered; a mask function of the user's stays."""
    if not request.differential or "denoise_mask_function" in conditioned.model.model_options:
        return conditioned
    model = conditioned.model.clone()
    model.set_model_denoise_mask_function(DifferentialMask(sigmas))
    return conditioned._replace(model=model)


def _sampler(model: Any, request: LatentRequest, whole: Sequence[float], sigmas: Sequence[float]) -> Any:
    """ComfyUI's sampler of that name."""
    import comfy.samplers

    name = request.settings.sampler
    if name not in comfy.samplers.KSampler.SAMPLERS:
        raise UnknownNameError("sampler", name, comfy.samplers.KSampler.SAMPLERS)
    if request.place is not None and name in sampler_names() and find_sampler(name).noise != "none":
        return comfy.samplers.ksampler(name, {"noise_sampler": _noise_of_part(request, name, whole, sigmas)})
    if not _known(name, "noise", "brownian"):
        return comfy.samplers.sampler_object(name)
    # Their noise path spans the whole schedule, not the part that is sampled: recorded from the original.
    from comfy.k_diffusion.sampling import BrownianTreeNoiseSampler

    positive = [sigma for sigma in whole if sigma > 0]
    low, high = torch.tensor(min(positive)), torch.tensor(max(positive))
    x = request.noise.to(model.load_device)
    path = BrownianTreeNoiseSampler(x, low, high, seed=request.settings.seed, cpu=not name.endswith("_gpu"))
    return comfy.samplers.ksampler(name, extra_options={"noise_sampler": path})


def _noise_of_part(
    request: LatentRequest, name: str, whole: Sequence[float], sigmas: Sequence[float]
) -> Callable[[Tensor, Tensor], Tensor]:
    """A noise sampler that gives a part of a segment the noise that it would have in the whole."""
    assert request.place is not None
    source = step_noise(find_sampler(name), VarianceExploding.stable_diffusion(), request.place, whole, sigmas)
    return lambda sigma, sigma_next: source(float(sigma), float(sigma_next)).to(sigma.device)


def _known(sampler: str, attribute: str, value: object) -> bool:
    """Whether a sampler is one that we know, with that property; another pack's own has none of these."""
    return sampler in sampler_names() and getattr(find_sampler(sampler), attribute) == value


def _falling(sigmas: Any) -> list[float]:
    """Sigmas as numbers; raises SettingsError if they are none or rise."""
    try:
        values = torch.as_tensor(sigmas, dtype=torch.float32).flatten().tolist()
    except (TypeError, ValueError, RuntimeError) as error:
        raise SettingsError(
            f"scheduler_func_opt returned {sigmas!r} instead of sigmas; connect a scheduler."
        ) from error
    if len(values) < 2 or not all(math.isfinite(a) and a >= b >= 0 for a, b in pairwise(values)):
        raise SettingsError(
            f"The schedule is {values}; it must have at least two sigmas, which must never rise or go below 0."
        )
    return values
