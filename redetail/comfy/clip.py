"""Detailing tracked subjects: the pipeline of the library, with a ComfyUI pipe or the bundled model as its engine.

Crops pass through temporary files part by part, so that memory does not grow with the clip but for what comes out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from redetail.comfy.conditions import followed_conditions
from redetail.comfy.convert import Pipe, crop_reader, frame_size, plain_seg, segment_for
from redetail.comfy.engine import ComfyEngine
from redetail.comfy.follow import region_of
from redetail.comfy.frames import ImageSource
from redetail.comfy.previews import Place
from redetail.comfy.progress import ClipBar
from redetail.comfy.sampling import SchedulerFunction
from redetail.comfy.subjects import check_all, own_settings, prompted
from redetail.comfy.tracked import TrackedSeg
from redetail.engines import load_engine
from redetail.engines.base import Capabilities, Engine, Request
from redetail.engines.checks import prompt_notes
from redetail.job import Subject
from redetail.pipeline.crop_store import HeldCrops
from redetail.pipeline.joints import JoinedCrops
from redetail.pipeline.plan import crop_plan
from redetail.pipeline.run import Run
from redetail.region import Box
from redetail.segs import Seg
from redetail.settings import Settings, resolve

logger = logging.getLogger(__name__)

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

    def detail(
        self, frames: Tensor, header: tuple[int, int], segments: list[Any], subjects: Sequence[Subject] = ()
    ) -> tuple[list[Seg], Any]:
        """Every segment with its crops, and the hint images of their ControlNets.

        ``subjects``: what differs for some of them; those that are skipped come back as they are.
        """
        settings = own_settings(subjects, segments, self.settings)
        check_all(settings, ComfyEngine(self.pipe).capabilities)
        bar, images = ClipBar(len(segments), SHARES), []

        def detailed(subject: _Subject, own: Settings) -> Seg:
            engine = RegionEngine(self._for(own), subject.seg, frames, bar)
            level = ComfyEngine(self.pipe, scheduler=self.scheduler).noise_level(own)
            bar.say(f"{subject.seg.label} starts from {level:.0%} noise")
            result = _detailed(frames, subject, engine, own, bar)
            images.extend(engine.images)
            return result

        return _each(frames, header, segments, settings, detailed, bar), images

    def _for(self, settings: Settings) -> PipeDetailer:
        """This detailer for a subject with these settings: its prompts are in the pipes."""
        refiner = None if self.refiner is None else prompted(self.refiner, settings, "refiner_basic_pipe_opt")
        return replace(self, pipe=prompted(self.pipe, settings), refiner=refiner, settings=settings)


def detailed_with_bundled(
    frames: Tensor,
    header: tuple[int, int],
    segments: list[Any],
    settings: dict[str, Any] | Settings,
    subjects: Sequence[Subject] = (),
) -> list[Seg]:
    """Every segment with crops that the bundled restoration model made.

    ``settings``: all of them, or those that differ from what the model's card says; ``subjects``: what differs for some
    segments; those that are skipped come back as they are.
    """
    engine = load_engine(None, device=_device())
    used = settings if isinstance(settings, Settings) else resolve(settings, engine.capabilities.defaults)
    asked = own_settings(subjects, segments, used)
    check_all(asked, engine.capabilities)
    for note in dict.fromkeys(note for own in asked if own for note in prompt_notes(own, engine.capabilities)):
        logger.warning("%s", note)
    _make_room(engine.capabilities.part_pixels * _BUNDLED_BYTES)
    bar = ClipBar(len(segments), SHARES)

    def detailed(subject: _Subject, own: Settings) -> Seg:
        return _detailed(frames, subject, engine, own, bar)

    return _each(frames, header, segments, asked, detailed, bar)


class RegionEngine:
    """One subject through ComfyUI; satisfies :class:`~redetail.engines.base.Engine`.

    Conditioning is cut to the subject's windows, its ControlNets are applied; ``images`` are their hints so far.
    """

    def __init__(self, detailer: PipeDetailer, seg: TrackedSeg, frames: Tensor, bar: ClipBar) -> None:
        self._detailer, self._seg, self._frames, self._bar = detailer, seg, frames, bar
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
            preview=partial(self._preview, self._place(request.first_frame)),
        )
        engine.run(request)
        self.images += engine.images

    def _place(self, first: int) -> Place:
        """Where the crop of a frame of the region lies."""
        region, settings = self._seg.region, self._detailer.settings
        plan = crop_plan(region, settings, self.capabilities.size_multiple, 1)
        frame = self._frames[region.start + first].numpy()
        return Place(frame, region.window(first), region.mask(first), plan.working, plan.padding)

    def _told(self, pipe: Pipe, first: int, count: int) -> Pipe:
        """The pipe with its conditioning cut to the windows of these frames."""
        region = self._seg.region
        windows = [region.window(index) for index in range(first, first + count)]
        positive, negative = (
            followed_conditions(told, windows, frame_size(self._frames), region.start + first, self._seg.clip_frames)
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


def _each(
    frames: Tensor,
    header: tuple[int, int],
    segments: Sequence[Any],
    settings: Sequence[Settings | None],
    detailed: Callable[[_Subject, Settings], Seg],
    bar: ClipBar,
) -> list[Seg]:
    """Every segment detailed with its settings; as it came where it has none."""
    results = []
    subjects = _subjects(frames, header, segments)
    for segment, subject, own in zip(segments, subjects, settings, strict=True):
        results.append(plain_seg(segment) if own is None else detailed(subject, own))
        bar.next_segment()
    return results


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
