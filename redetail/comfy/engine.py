"""``ComfyEngine``: a BASIC_PIPE as an engine. Models, VAE, sampling and memory stay ComfyUI's.

The crops of a segment are read, encoded, decoded and handed on a few frames at a time; only their latents are ever in
memory together, because the motion layers see all frames at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from redetail.comfy.codec import ComfyCodec, check_latents
from redetail.comfy.convert import Pipe
from redetail.comfy.sampling import (
    ConditionedModel,
    LatentRequest,
    SchedulerFunction,
    check_interrupted,
    comfy_samplers,
    comfy_schedulers,
    denoise_of_strength,
    initial_noise,
    place_of,
    rediffused,
    starting_noise,
)
from redetail.comfy.windows import with_context_windows
from redetail.engines.base import Capabilities, Request
from redetail.engines.checks import checked, hand_back, refuse_hints
from redetail.engines.exclusive import exclusive
from redetail.engines.masks import LatentMask, latent_mask
from redetail.engines.meter import Meter
from redetail.engines.round_trip import round_trip_cancelled
from redetail.sampling import Handover
from redetail.settings import Settings

_COMFYUI = threading.Lock()  # ComfyUI's models, memory and random numbers are those of the process


def no_preview(_: Tensor) -> None:
    """Shows nothing."""


class ComfyEngine:
    """An :class:`~redetail.engines.base.Engine` over ComfyUI's objects.

    ``refiner``: a second pipe over the same latents, whose model and conditioning take over the last steps (its VAE is
    not used); ``scheduler``: a SCHEDULER_FUNC instead of the settings' scheduler; ``control``: a SEG's
    control_net_wrapper, whose hint images are kept in ``images``; ``preview`` gets the predicted clean latents, in the
    model's units, after every step. The drop-in nodes do as the original does: without ``skip_closed`` crops are
    encoded and decoded even where the whole mask is zero, and ``handover`` "composited" is its rule for a refiner under
    a mask (see :func:`redetail.sampling.sample_refined`).
    """

    def __init__(
        self,
        pipe: Pipe,
        *,
        refiner: Pipe | None = None,
        scheduler: SchedulerFunction | None = None,
        control: Any = None,
        preview: Callable[[Tensor], None] = no_preview,
        skip_closed: bool = True,
        handover: Handover = "carried",
    ) -> None:
        self._pipe, self._refiner, self._scheduler = pipe, refiner, scheduler
        self._control, self._preview, self._skip_closed = control, preview, skip_closed
        self._handover = handover
        self._codec = ComfyCodec(pipe.vae, check_interrupted)
        self.images: list[Tensor] = []

    @property
    def capabilities(self) -> Capabilities:
        """What this engine can do: what the ComfyUI that runs can."""
        return Capabilities(
            name="comfyui",
            size_multiple=self._codec.grid.spatial * _patch(self._pipe.model),
            context_length=None,
            samplers=comfy_samplers(),
            schedulers=comfy_schedulers(),
            uses_strength=True,
            has_vae=True,
        )

    def noise_level(self, settings: Settings) -> float:
        """Share of noise, 0 (the crop) to 1 (pure noise), in what a run with these settings starts from."""
        return starting_noise(self._pipe.model, self._with_denoise(settings), self._scheduler)

    def _with_denoise(self, settings: Settings) -> Settings:
        """The settings with the ``denoise`` that their ``strength`` means on this model, where one is given."""
        if not settings.strength:
            return settings
        return replace(settings, denoise=denoise_of_strength(self._pipe.model, settings, self._scheduler))

    @torch.inference_mode()
    def run(self, request: Request) -> None:
        """Re-diffuse all crops of a segment together; see :meth:`redetail.engines.base.Engine.run`."""
        refuse_hints(request.hints)
        with exclusive(_COMFYUI, request.cancel):
            check_interrupted()
            request = checked(request, self.capabilities)
            request = replace(request, settings=self._with_denoise(request.settings))
            meter = Meter(request.progress, request.cancel, request.settings.steps, "steps")
            mask = latent_mask(request, self._codec.grid)
            if mask.opened or not self._skip_closed:
                self._rediffused(request, mask, meter)
            else:
                hand_back(request)
            meter.finish()

    def _rediffused(self, request: Request, mask: LatentMask, meter: Meter) -> None:
        """From pixels to pixels."""
        source, crops = self._codec.encode(request.crops), request.crops
        latents = self._sampled(source, request, mask, meter)
        check_latents(latents)
        if not request.settings.cancel_vae:
            self._codec.decode(latents, crops, request.write)
            return
        decode_source = partial(self._codec.decode, source, crops)
        with round_trip_cancelled(crops, decode_source, request.write) as write:
            self._codec.decode(latents, crops, write)

    def _sampled(self, latents: Tensor, request: Request, mask: LatentMask, meter: Meter) -> Tensor:
        """The re-diffused latents of a segment; whatever else sampling needs is gone afterwards."""
        base = self._controlled(request)
        refiner = None if self._refiner is None else self._conditioned(self._refiner, request.crops.frames)

        def on_step(done: int, total: int, x0: Tensor) -> None:
            self._preview(x0)
            meter.tick()

        place = place_of(latents, request)
        with torch.random.fork_rng(devices=[]):  # ComfyUI seeds the generator that all share
            asked = LatentRequest(
                settings=request.settings,
                latents=latents,
                noise=initial_noise(latents, request.settings.seed, place),
                place=place,
                mask=_mask_of(latents, mask),
                scheduler=self._scheduler,
                on_step=on_step,
                handover=self._handover,
            )
            return rediffused(base, refiner, asked)

    def _conditioned(self, pipe: Pipe, frames: int) -> ConditionedModel:
        model = pipe.model if self._codec.video else with_context_windows(pipe.model, frames)
        return ConditionedModel(model, pipe.positive, pipe.negative)

    def _controlled(self, request: Request) -> ConditionedModel:
        """The base model, with what the segment's ControlNets and IPAdapters add."""
        base = self._conditioned(self._pipe, request.crops.frames)
        if self._control is None:
            return base
        crops = torch.from_numpy(np.ascontiguousarray(request.crops.all()))
        mask = torch.from_numpy(np.ascontiguousarray(request.masks(0, request.crops.frames)))
        positive, negative, images = self._control.apply(base.positive, base.negative, crops, mask, use_acn=True)
        self.images += images or []
        if hasattr(self._control, "doit_ipadapter"):
            model, more = self._control.doit_ipadapter(base.model)
            base = base._replace(model=model)
            self.images += more or []
        return base._replace(positive=positive, negative=negative)


def _mask_of(latents: Tensor, mask: LatentMask) -> Tensor:
    """The noise mask in the form of the latents: (1 or F, 1, h, w), of a video model (1, 1, T, h, w)."""
    if latents.ndim == 4:
        return mask.values[:, None]
    return mask.values.expand(latents.shape[2], -1, -1)[None, None].clone()


def _patch(model: Any) -> int:
    """Latent cells that a transformer takes as one along a side; 1 for a U-Net."""
    size = getattr(getattr(getattr(model, "model", None), "diffusion_model", None), "patch_size", 1)
    side = size[-1] if isinstance(size, tuple | list) else size
    return side if isinstance(side, int) and side > 0 else 1
