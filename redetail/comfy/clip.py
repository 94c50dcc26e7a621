"""Detailing tracked subjects: the pipeline of the library, with a ComfyUI pipe or the bundled model as its engine.

Crops pass through temporary files part by part, so that memory does not grow with the clip but for what comes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from redetail.comfy.conditions import followed_conditions
from redetail.comfy.convert import Pipe, crop_reader, frame_size, segment_for
from redetail.comfy.engine import ComfyEngine
from redetail.comfy.follow import region_of
from redetail.comfy.frames import ImageSource
from redetail.comfy.progress import ClipBar
from redetail.comfy.sampling import SchedulerFunction
from redetail.comfy.tracked import TrackedSeg
from redetail.engines import load_engine
from redetail.engines.base import Capabilities, Engine, Request
from redetail.pipeline.crop_store import HeldCrops
from redetail.pipeline.joints import JoinedCrops
from redetail.pipeline.run import Run
from redetail.region import Box, Size
from redetail.settings import Settings, resolve

SHARES = {"crop": 0.1, "detail": 0.9}
_BUNDLED_BYTES = 200  # for each pixel that the bundled model takes at once, as measured
_ALL_AT_ONCE = 2**62


@dataclass(frozen=True, kw_only=True)
class PipeDetailer:
    """Details tracked subjects with a BASIC_PIPE."""

    pipe: Pipe
    settings: Settings
    refiner: Pipe | None = None
    scheduler: SchedulerFunction | None = None

    def detail(self, frames: Tensor, header: tuple[int, int], segments: list[Any]) -> tuple[list[TrackedSeg], Any]:
        """Every segment with its crops, and the hint images of their ControlNets."""
        bar, results, images = ClipBar(len(segments), SHARES), [], []
        for subject in _subjects(frames, header, segments):
            engine = RegionEngine(self, subject.seg, frame_size(frames), bar)
            results.append(_detailed(frames, subject, engine, self.settings, bar))
            images += engine.images
        return results, images


def detailed_with_bundled(
    frames: Tensor, header: tuple[int, int], segments: list[Any], settings: dict[str, Any] | Settings
) -> list[TrackedSeg]:
    """Every segment with crops that the bundled restoration model made.

    ``settings``: all of them, or those that differ from what the model's card says.
    """
    engine = load_engine(None, device=_device())
    used = settings if isinstance(settings, Settings) else resolve(settings, engine.capabilities.defaults)
    _make_room(engine.capabilities.part_pixels * _BUNDLED_BYTES)
    bar = ClipBar(len(segments), SHARES)
    return [_detailed(frames, subject, engine, used, bar) for subject in _subjects(frames, header, segments)]


class RegionEngine:
    """One subject through ComfyUI; satisfies :class:`~redetail.engines.base.Engine`.

    Conditioning is cut to the subject's windows, its ControlNets are applied; ``images`` are their hints so far.
    """

    def __init__(self, detailer: PipeDetailer, seg: TrackedSeg, frame: Size, bar: ClipBar) -> None:
        self._detailer, self._seg, self._frame, self._bar = detailer, seg, frame, bar
        self._preview = bar.previewed(detailer.pipe.model)
        self.images: list[Tensor] = []

    @property
    def capabilities(self) -> Capabilities:
        """ComfyUI's. A ControlNet's hints are for all frames, so a segment with one is not taken apart."""
        known = ComfyEngine(self._detailer.pipe).capabilities
        return known if self._seg.control_net_wrapper is None else replace(known, part_pixels=_ALL_AT_ONCE)

    def run(self, request: Request) -> None:
        """Re-diffuse crops of the subject; see :meth:`redetail.engines.base.Engine.run`."""
        detailer, frames = self._detailer, (request.first_frame, request.crops.frames)
        engine = ComfyEngine(
            self._told(detailer.pipe, *frames),
            refiner=None if detailer.refiner is None else self._told(detailer.refiner, *frames),
            scheduler=detailer.scheduler,
            control=self._seg.control_net_wrapper,
            preview=self._preview,
        )
        engine.run(request)
        self.images += engine.images

    def _told(self, pipe: Pipe, first: int, count: int) -> Pipe:
        """The pipe with its conditioning cut to the windows of these frames."""
        region = self._seg.region
        windows = [region.window(index) for index in range(first, first + count)]
        positive, negative = (
            followed_conditions(told, windows, self._frame, region.start + first, self._seg.clip_frames)
            for told in (pipe.positive, pipe.negative)
        )
        return pipe._replace(positive=positive, negative=negative)


@dataclass(frozen=True, eq=False)
class _Subject:
    """A segment in these frames, and the frames as it sees them: with the crops that it carries already."""

    seg: TrackedSeg
    source: ImageSource


def _subjects(frames: Tensor, header: tuple[int, int], segments: Sequence[Any]) -> list[_Subject]:
    """All segments, checked before the first one is detailed."""
    return [_subject(frames, header, segment, number) for number, segment in enumerate(segments)]


def _subject(frames: Tensor, header: tuple[int, int], segment: Any, number: int) -> _Subject:
    pixels: NDArray[np.float32] = frames.numpy()
    size = frame_size(frames)
    if isinstance(segment, TrackedSeg):
        seg = segment.fitted(pixels, "image_frames")
        if seg.crops is None:
            return _Subject(seg, ImageSource(pixels, "image_frames"))
        shown = seg.with_crops(pixels, seg.crops)
        return _Subject(seg, ImageSource(pixels, "image_frames", shown.picture, Box(*seg.crop_region)))
    placed = segment_for(segment, header, frames, number)
    seg = TrackedSeg(region_of(placed, len(frames)), size, len(frames), control_net_wrapper=segment.control_net_wrapper)
    if placed.stills is None:
        return _Subject(seg, ImageSource(pixels, "image_frames"))
    read = crop_reader(frames, placed)
    return _Subject(
        seg,
        ImageSource(pixels, "image_frames", lambda index: read(index, index + 1, placed.size)[0], placed.placed.window),
    )


def _detailed(frames: Tensor, subject: _Subject, engine: Engine, settings: Settings, bar: ClipBar) -> TrackedSeg:
    run = Run(subject.source, engine, settings, bar)
    with run.enhanced(run.plan_of([subject.seg.region])) as (joined,):
        crops = _held(joined)
    bar.next_segment()
    return subject.seg.with_crops(frames.numpy(), crops)


def _held(joined: JoinedCrops) -> HeldCrops:
    crops = HeldCrops(joined.shape)
    for index in range(len(joined)):
        crops.write(index, joined.read(index, index + 1))
    return crops


def _device() -> str:
    """ComfyUI's own device where the bundled model can use it, else the CPU."""
    import comfy.model_management

    device = comfy.model_management.get_torch_device()
    return str(device) if device.type in ("cuda", "mps") else "cpu"


def _make_room(size: int) -> None:
    """Ask ComfyUI to unload models that stand in the way."""
    import comfy.model_management

    comfy.model_management.free_memory(size, comfy.model_management.get_torch_device())
