"""``ComfyEngine``: a BASIC_PIPE as an engine. Models, VAE, sampling and memory stay ComfyUI's.

The crops of a segment are read, encoded, decoded and handed on a few frames at a time; only their latents are ever in
memory together, because the motion layers see all frames at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redetail.comfy.codec import ComfyCodec, Read, Write
from redetail.comfy.convert import Pipe
from redetail.comfy.sampling import (
    DifferentialMask,
    Job,
    OnStep,
    SchedulerFunction,
    Stage,
    check_interrupted,
    comfy_samplers,
    comfy_schedulers,
    initial_noise,
    rediffused,
)
from redetail.comfy.windows import with_context_windows
from redetail.engines.base import Capabilities, Pixels
from redetail.engines.checks import check_request, refuse_hints
from redetail.imaging.masks import resize_mask
from redetail.progress import CancelToken, Progress, ProgressCallback, no_progress
from redetail.region import Size
from redetail.sampling.mask import snapped
from redetail.settings import Settings

MaskFor = Callable[[Size], NDArray[np.float32]]
"""The noise mask (1 or F, h, w) float32 0..1 at the size of the latents."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One segment: its pictures, ``frames`` of ``size`` (sides multiples of the engine's), and where results go.

    ``control`` is a SEG's control_net_wrapper.
    """

    read: Read
    write: Write
    mask: MaskFor
    frames: int
    size: Size
    settings: Settings
    first_frame: int = 0
    control: Any = None
    on_step: OnStep | None = None


class ComfyEngine:
    """An :class:`~redetail.engines.base.Engine` over ComfyUI's objects.

    ``refiner``: a second pipe over the same latents, whose model and conditioning take over the last steps (its VAE is
    not used); ``scheduler``: a SCHEDULER_FUNC in the place of the settings' scheduler.
    """

    def __init__(self, pipe: Pipe, *, refiner: Pipe | None = None, scheduler: SchedulerFunction | None = None) -> None:
        self._pipe, self._refiner, self._scheduler = pipe, refiner, scheduler
        self._codec = ComfyCodec(pipe.vae, check_interrupted)

    @property
    def capabilities(self) -> Capabilities:
        """What this engine can do: what the ComfyUI that runs can."""
        return Capabilities(
            name="comfyui",
            size_multiple=self._codec.size_multiple * _patch(self._pipe.model),
            context_length=None,
            samplers=comfy_samplers(),
            schedulers=comfy_schedulers(),
        )

    @torch.inference_mode()
    def enhance(
        self,
        crops: Pixels,
        mask: Pixels,
        settings: Settings,
        *,
        first_frame: int = 0,
        progress: ProgressCallback = no_progress,
        cancel: CancelToken | None = None,
        hints: Mapping[str, Pixels] | None = None,
    ) -> Pixels:
        """Re-diffuse all crops of a segment together; see :meth:`redetail.engines.base.Engine.enhance`."""
        refuse_hints(hints)
        out, _ = self.enhance_shown(crops, mask, settings, first_frame=first_frame, progress=progress, cancel=cancel)
        return out

    def enhance_shown(
        self,
        crops: Pixels,
        mask: Pixels,
        settings: Settings,
        *,
        first_frame: int = 0,
        progress: ProgressCallback = no_progress,
        cancel: CancelToken | None = None,
        control: Any = None,
        preview: Callable[[Tensor], None] = lambda _: None,
    ) -> tuple[Pixels, list[Tensor]]:
        """As :meth:`enhance`, and the hint images of the ControlNets in ``control``, a SEG's wrapper.

        ``preview`` gets the predicted clean latents after every step.
        """
        check_request(crops, mask, settings, self.capabilities)
        frames, height, width, _ = crops.shape
        out = np.array(crops, np.float32)
        if not mask.any():
            progress(Progress("detail", 1, 1, "steps"))
            return out, []

        def on_step(done: int, total: int, x0: Tensor) -> None:
            if cancel is not None:
                cancel.check()
            preview(x0)
            progress(Progress("detail", done, total, "steps"))

        def write(start: int, pictures: Pixels) -> None:
            out[start : start + len(pictures)] = pictures

        images = self.rediffuse(
            Request(
                read=lambda start, stop: np.array(crops[start:stop], np.float32),
                write=write,
                mask=lambda size: resize_mask(mask, size),
                frames=frames,
                size=Size(width, height),
                settings=settings,
                first_frame=first_frame,
                control=control,
                on_step=on_step,
            )
        )
        return out, images

    @torch.inference_mode()
    def rediffuse(self, request: Request) -> list[Tensor]:
        """From pictures to pictures; returns the hint images of the ControlNets, in order."""
        check_interrupted()
        latents, images = self._sampled(request)
        self._codec.decode(latents, request.frames, request.size, request.write)
        return images

    def _sampled(self, request: Request) -> tuple[Tensor, list[Tensor]]:
        """The re-diffused latents of a segment, and hint images; whatever else sampling needs is gone afterwards."""
        latents = self._codec.encode(request.read, request.frames, request.size)
        mask = self._latent_mask(request, latents)
        base, images = self._controlled(request)
        refiner = None if self._refiner is None else self._stage(self._refiner, len(latents))
        with torch.random.fork_rng(devices=[]):  # ComfyUI seeds the generator that all share
            job = Job(
                settings=request.settings,
                latents=latents,
                noise=initial_noise(latents, request.settings.seed, request.first_frame),
                mask=mask,
                scheduler=self._scheduler,
                on_step=request.on_step,
            )
            return rediffused(base._replace(model=_masked(base.model, request.settings)), refiner, job), images

    def _stage(self, pipe: Pipe, latent_frames: int) -> Stage:
        model = pipe.model if self._codec.video else with_context_windows(pipe.model, latent_frames)
        return Stage(model, pipe.positive, pipe.negative)

    def _controlled(self, request: Request) -> tuple[Stage, list[Tensor]]:
        """The base stage, told what the segment's ControlNets and IPAdapters add."""
        stage = self._stage(self._pipe, request.frames)
        if request.control is None:
            return stage, []
        crops = torch.from_numpy(np.ascontiguousarray(request.read(0, request.frames)))
        mask = torch.from_numpy(request.mask(request.size))
        positive, negative, images = request.control.apply(stage.positive, stage.negative, crops, mask, use_acn=True)
        shown = list(images or [])
        if hasattr(request.control, "doit_ipadapter"):
            model, more = request.control.doit_ipadapter(stage.model)
            stage, shown = stage._replace(model=model), [*shown, *(more or [])]
        return stage._replace(positive=positive, negative=negative), shown

    def _latent_mask(self, request: Request, latents: Tensor) -> Tensor:
        """The noise mask in the form of the latents: (1 or F, 1, h, w), of a video model (1, 1, T, h, w)."""
        height, width = latents.shape[-2:]
        masks = snapped(torch.from_numpy(request.mask(Size(width, height))))
        if latents.ndim == 4:
            return masks[:, None]
        count = latents.shape[2]
        if len(masks) == 1:
            return masks.expand(count, -1, -1)[None, None].clone()
        # A latent of several frames is open where one of them is.
        united = masks.new_zeros((count, height, width))
        for frame, mask in enumerate(masks):
            at = min(count, self._codec.latent_frames(frame + 1)) - 1
            united[at] = torch.maximum(united[at], mask)
        return united[None, None]


def _masked(model: Any, settings: Settings) -> Any:
    """The model with differential diffusion where the mask is feathered; a mask function of the user's own stays."""
    if settings.mask_feather <= 0 or "denoise_mask_function" in model.model_options:
        return model
    clone = model.clone()
    clone.set_model_denoise_mask_function(DifferentialMask())
    return clone


def _patch(model: Any) -> int:
    """Latent cells that a transformer takes as one along a side; 1 for a U-Net."""
    size = getattr(getattr(getattr(model, "model", None), "diffusion_model", None), "patch_size", 1)
    side = size[-1] if isinstance(size, tuple | list) else size
    return side if isinstance(side, int) and side > 0 else 1
