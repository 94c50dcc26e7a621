"""``LatentEngine``: the engine behind every model that runs in this process.

Models differ in their :class:`Codec` (pixels to latents and back) and their :class:`LatentModel` (a network with the
conditions it needs), but not in how a segment is re-diffused::

    encode -> noise -> sampler over mask(windows(guidance(network))) -> decode
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from redetail.engines.base import Capabilities, ChecksSettings, CropSource, MemoryPlan, Pixels, Request, Write
from redetail.engines.checks import (
    check_settings,
    checked,
    context_windows_for,
    described,
    finite,
    hand_back,
    latent_window,
    refuse_hints,
)
from redetail.engines.device import Placement, memory_errors
from redetail.engines.exclusive import exclusive
from redetail.engines.masks import LatentMask, latent_mask
from redetail.engines.meter import Meter, MeteredDenoiser
from redetail.engines.prompt import starting_at
from redetail.engines.round_trip import round_trip_cancelled
from redetail.geometry.context import ContextWindow, Frames
from redetail.geometry.latent_grid import LatentGrid
from redetail.sampling import (
    Denoiser,
    Handover,
    NoisePath,
    SamplingRequest,
    Stage,
    StepIndex,
    SwitchingDenoiser,
    WindowedDenoiser,
    find_sampler,
    sample,
    sample_refined,
    sampled_sigmas,
)
from redetail.sampling.schedulers import denoise_for_noise_level, effective_noise_level
from redetail.settings import Settings

_SMALLER = "make guide-size or max-size smaller, or context-length shorter"

DenoiserFor = Callable[[Frames], Denoiser]
"""Returns the denoiser of some frames; this is where conditions that exist once per frame are sliced."""

InpaintCondition = Callable[[], Tensor]
"""Makes what an inpainting model is shown of a segment: (F, 1 + C, h', w') float32, the latent mask (1 where the model
draws) and the latents of the crops with that area in grey."""

# Share of the steps in which windows also look at distant frames; later steps decide details, not positions.
_EARLY = 0.5


class Codec(Protocol):
    """Converts between pixels and latents. Latents are float32, in the units of the network, on its device."""

    @property
    def grid(self) -> LatentGrid:
        """Which pixels and frames a latent holds."""
        ...

    def calls(self, shape: tuple[int, ...]) -> int:
        """Network calls to encode and to decode crops of shape (F, h, w, 3)."""
        ...

    def encode(self, crops: CropSource, tick: Callable[[], None]) -> Tensor:
        """Crops, read by range -> (T, C, h', w') of the grid; ``tick`` is called after each network call."""
        ...

    def decode(self, latents: Tensor, crops: CropSource, write: Write, tick: Callable[[], None]) -> None:
        """(T, C, h', w') -> pixels float32 0..1, written by range in order; ``crops`` is what was encoded."""
        ...


class LatentModel(Protocol):
    """A network that predicts clean latents, with all of its conditions."""

    def noise_path(self, settings: Settings) -> NoisePath:
        """How noise is added for the network, and what the network predicts."""
        ...

    def calls(self, frames: int, settings: Settings) -> int:
        """Network calls that ``condition`` takes for a segment of this many frames."""
        ...

    def condition(self, crops: CropSource, settings: Settings, tick: Callable[[], None]) -> DenoiserFor:
        """Prepare the network's conditions (text, crops) for a segment, guidance included.

        ``tick`` is called after each network call, no later than when a denoiser is asked for.
        """
        ...


@runtime_checkable
class ControlledModel(Protocol):
    """A latent model that can also be shown hints (ControlNet) for part of the sampling, and what to keep."""

    def controlled(
        self,
        crops: CropSource,
        settings: Settings,
        hints: Mapping[str, CropSource],
        index: StepIndex,
        inpaint: InpaintCondition,
    ) -> DenoiserFor:
        """Like ``condition``, with ``hints`` of the crops' size by name, the steps of the sampling, and what to keep.

        Raises :class:`~redetail.errors.SettingsError` for a hint that no ControlNet asks for, or that is missing.
        """
        ...


class LatentEngine:
    """An :class:`~redetail.engines.base.Engine` made of a codec and a latent model.

    ``context_limit``: the longest context window that the motion layers can take (None: any); ``refiner``: a second
    model for the same latents, which takes over the last share of the steps, ``settings.refiner_ratio``;
    ``differential``: whether a feathered mask opens step by step; a model of one or two steps has too few for that and
    uses the mask as soft weights; ``partial``: whether ``settings.denoise`` decides at which step sampling starts, or
    the model interprets it; ``handover``: see :func:`~redetail.sampling.sample_refined`; ``memory_plan``: see base.
    """

    def __init__(
        self,
        codec: Codec,
        model: LatentModel,
        capabilities: Capabilities,
        placement: Placement,
        *,
        context_limit: int | None = None,
        refiner: LatentModel | None = None,
        differential: bool = True,
        partial: bool = True,
        handover: Handover = "carried",
        memory_plan: MemoryPlan = lambda frames, size: {},
    ) -> None:
        self.codec, self.model, self._refiner = codec, model, refiner
        self._capabilities, self._limit = described(capabilities, placement), context_limit
        self._differential, self._partial, self._handover = differential, partial, handover
        self.placement, self.memory_plan = placement, memory_plan
        self._lock = threading.Lock()  # a request moves and patches networks while it runs

    @property
    def capabilities(self) -> Capabilities:
        """What this engine can do."""
        return self._capabilities

    def check(self, settings: Settings) -> None:
        """Raise what :meth:`run` would raise for these settings: unknown names, bad prompts, impossible context
        windows, LoRA files that do not fit."""
        check_settings(settings, self._capabilities)
        self._windows(1, settings)
        if isinstance(self.model, ChecksSettings):
            self.model.check(settings)

    def noise_level(self, settings: Settings) -> float | None:
        """The share of noise, 0 (only the crop) to 1 (pure noise), that a run with these settings starts from; None for
        models whose schedule has no shift, unless ``strength`` is given."""
        if not self._capabilities.uses_shift and not settings.strength:
            return None
        path, settings = self.model.noise_path(settings), self._with_denoise(settings)
        return effective_noise_level(settings.scheduler, path, settings.steps, settings.denoise)

    def _with_denoise(self, settings: Settings) -> Settings:
        """The settings with the ``denoise`` that their ``strength``, if given, means for this model."""
        if not settings.strength:
            return settings
        path = self.model.noise_path(settings)
        denoise = denoise_for_noise_level(settings.scheduler, path, settings.steps, settings.strength)
        return replace(settings, denoise=denoise)

    @torch.inference_mode()
    def run(self, request: Request) -> None:
        """Re-diffuse all crops of a segment together; see :meth:`redetail.engines.base.Engine.run`.

        Only the latents of all frames are in memory; pixels pass through a few frames at a time. Raises
        :class:`~redetail.errors.ModelError` if memory runs out or the network overflows.
        """
        with exclusive(self._lock, request.cancel):
            segment = self._segment(checked(request, self._capabilities))
            meter = Meter(request.progress, request.cancel, self._expected_calls(segment))
            if segment.mask.opened:
                self._rediffuse(segment, meter)
            else:
                hand_back(request)
            meter.finish()

    def _segment(self, request: Request) -> _Segment:
        """The request with its latent mask and context windows."""
        settings, grid = self._with_denoise(request.settings), self.codec.grid
        latents = grid.latents(request.crops.frames)
        windows = self._windows(latents, settings)
        early = self._windows(latents, settings, stride=settings.context_stride)
        length, overlap = latent_window(settings, self._capabilities.context_length, grid)
        free = (length, length - overlap) if settings.free_noise and length is not None else None
        request = replace(request, settings=starting_at(settings, request.first_frame))
        denoise = settings.denoise if self._partial else 1.0
        return _Segment(request, grid, latent_mask(request, grid), windows, early, denoise, free)

    def _windows(self, latents: int, settings: Settings, *, stride: int = 1) -> list[ContextWindow]:
        """Context windows over this many latents."""
        return context_windows_for(
            latents, settings, self._capabilities.context_length, self._limit, stride=stride, grid=self.codec.grid
        )

    def _expected_calls(self, segment: _Segment) -> int:
        """Network calls of a whole request; 0 if the sampler decides during sampling."""
        evaluations, steps = find_sampler(segment.settings.sampler).calls, segment.settings.steps
        if evaluations is None:
            return 0
        late = evaluations(steps - int(steps * _EARLY)) * len(segment.windows)
        early = (evaluations(steps) - evaluations(steps - int(steps * _EARLY))) * len(segment.early)
        models = [self.model, self._refiner] if segment.settings.refiner_ratio else [self.model]
        frames = segment.crops.frames
        prepared = sum(model.calls(frames, segment.settings) for model in models if model is not None)
        coded = self.codec.calls(segment.crops.shape)
        return prepared + early + late + coded + (coded // 2 if segment.settings.cancel_vae else 0)

    def _rediffuse(self, segment: _Segment, meter: Meter) -> None:
        """Re-diffuse a segment, from pixels to pixels."""
        crops = segment.crops
        with memory_errors(f"{crops.frames} crops of {crops.size} pixels", self.placement, _SMALLER):
            source = self.codec.encode(crops, meter.tick)
            latents = finite(self._sampled(source, segment, meter), self.placement)
            if not segment.settings.cancel_vae:
                self.codec.decode(latents, crops, segment.asked.write, meter.tick)
                return

            def decode_source(write: Write) -> None:
                self.codec.decode(source, crops, write, meter.tick)

            with round_trip_cancelled(crops, decode_source, segment.asked.write) as write:
                self.codec.decode(latents, crops, write, meter.tick)

    def _sampled(self, latents: Tensor, segment: _Segment, meter: Meter) -> Tensor:
        """Sample from clean latents to clean latents. Feathered masks use differential diffusion (see Settings)."""
        mask = segment.mask.values[:, None].to(latents.device)
        differential = self._differential and segment.settings.mask_feather > 0
        inpaint = cache(lambda: self._inpaint_condition(segment, mask))
        base, ratio = segment.stage(self.model, meter, inpaint), segment.settings.refiner_ratio
        if self._refiner is None or ratio == 0:
            return sample(base.denoiser, latents, base.path, segment.request, mask=mask, differential=differential)
        refiner = segment.refined.stage(self._refiner, meter, inpaint)
        return sample_refined(
            base, refiner, latents, segment.request, ratio,
            mask=mask, differential=differential, handover=self._handover,
        )  # fmt: skip

    def _inpaint_condition(self, segment: _Segment, mask: Tensor) -> Tensor:
        """The mask, and the crops in grey wherever the mask is more than one half, as inpainting checkpoints were
        trained to see them (Rombach et al., arXiv:2112.10752)."""

        def without(start: int, stop: int) -> Pixels:
            drawn = segment.asked.masks(start, stop)[..., None] > 0.5
            return np.where(drawn, np.float32(0.5), segment.crops.read(start, stop))

        latents = self.codec.encode(replace(segment.crops, read=without), lambda: None)
        return torch.cat([(mask > 0.5).to(latents).expand(len(latents), -1, -1, -1), latents], 1)


@dataclass(frozen=True)
class _Segment:
    """The checked request of one call of ``run``; its prompts count frames from its own first one. ``mask``: the latent
    mask; ``early``: the windows for the first part of the sampling; ``denoise``: the share of the steps taken."""

    asked: Request
    grid: LatentGrid
    mask: LatentMask
    windows: list[ContextWindow]
    early: list[ContextWindow]
    denoise: float
    free_noise: tuple[int, int] | None

    @property
    def crops(self) -> CropSource:
        """The crops, each range checked when it is read."""
        return self.asked.crops

    @property
    def settings(self) -> Settings:
        """The settings of the request."""
        return self.asked.settings

    @cached_property
    def request(self) -> SamplingRequest:
        """The sampler's part of the settings."""
        return SamplingRequest(
            sampler=self.settings.sampler,
            scheduler=self.settings.scheduler,
            steps=self.settings.steps,
            denoise=self.denoise,
            seed=self.settings.seed,
            first_frame=self.grid.latent_of(self.asked.first_frame),
            total_frames=None if self.asked.total_frames is None else self.grid.latents(self.asked.total_frames),
            free_noise=self.free_noise,
        )

    @property
    def refined(self) -> _Segment:
        """The segment as the refiner gets it: its own prompts, if it has any; no LoRA and no hints."""
        own = self.settings
        prompt, negative = own.refiner_prompt or own.prompt, own.refiner_negative or own.negative
        settings = replace(own, prompt=prompt, negative=negative, loras=())
        return replace(self, asked=replace(self.asked, settings=settings, hints={}))

    def stage(self, model: LatentModel, meter: Meter, inpaint: InpaintCondition) -> Stage:
        """The denoiser of all frames, with its calls counted."""
        path = model.noise_path(self.settings)
        index = self._index(path)
        denoiser_for = self._conditioned(model, index, meter, inpaint)

        def over(windows: list[ContextWindow]) -> Denoiser:
            return WindowedDenoiser(lambda frames: MeteredDenoiser(denoiser_for(frames), meter), windows)

        denoiser = over(self.windows)
        if len(self.early) > len(self.windows):
            denoiser = SwitchingDenoiser(over(self.early), denoiser, lambda sigma: index.within(sigma, 0, _EARLY))
        return Stage(denoiser, path)

    def _conditioned(
        self, model: LatentModel, index: StepIndex, meter: Meter, inpaint: InpaintCondition
    ) -> DenoiserFor:
        if isinstance(model, ControlledModel):
            return model.controlled(self.crops, self.settings, self.asked.hints, index, inpaint)
        refuse_hints(self.asked.hints)
        return model.condition(self.crops, self.settings, meter.tick)

    def _index(self, path: NoisePath) -> StepIndex:
        """The noise levels of the whole sampling, on the noise path of a model."""
        asked = self.request
        drop = find_sampler(asked.sampler).drop_penultimate
        return StepIndex(
            tuple(sampled_sigmas(asked.scheduler, path, asked.steps, asked.denoise, drop_penultimate=drop))
        )
