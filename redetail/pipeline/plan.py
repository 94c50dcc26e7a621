"""Pass 1: who is where. Reads the clip once and keeps boxes, windows and compressed masks, never frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from redetail.detection import CutDetector, Detector
from redetail.geometry.padding import Padding
from redetail.geometry.scale import working_size
from redetail.pipeline.stretches import Budgets, Stretch, stretches_of
from redetail.progress import CancelToken, Progress, ProgressCallback, no_progress
from redetail.region import Detection, Region, Size
from redetail.settings import Settings
from redetail.tracking import Tracker, regions_from_tracks
from redetail.tracking.tracker import SURE, UNSURE
from redetail.video import Frame

FADE = 5
"""Frames over which a subject fades in or out in the middle of a shot: a fifth of a second at 24 frames a second."""


@dataclass(frozen=True)
class CropPlan:
    """How one region is enhanced: its crop is scaled to ``working`` pixels, then padded for the engine.

    ``settings`` are its own, complete; ``track`` is its number among all subjects that were found, from 1;
    ``stretches`` are its frames as the engine gets them (none given: all in one).
    """

    region: Region
    working: Size
    padding: Padding
    settings: Settings = field(default_factory=Settings)
    track: int = 1
    stretches: tuple[Stretch, ...] = ()

    def __post_init__(self) -> None:
        if not self.stretches:
            object.__setattr__(self, "stretches", (Stretch(0, len(self.region)),))

    @property
    def scale(self) -> float:
        """Working pixels per source pixel."""
        return self.working.width / self.region.size.width


@dataclass(frozen=True)
class Plan:
    """What will be detailed in frames ``start`` to ``stop`` of a clip, and what the user should know of it.

    ``settings`` are those that it will be detailed with, complete with the engine's defaults (None: not known);
    ``placement`` is where and how the engine computes; ``budgets`` are what the stretches were cut by (None: every
    region is one stretch).
    """

    start: int
    stop: int
    size: Size
    crops: tuple[CropPlan, ...]
    notices: tuple[str, ...] = ()
    settings: Settings | None = None
    placement: Mapping[str, Any] = field(default_factory=dict)
    budgets: Budgets | None = None

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def regions(self) -> list[Region]:
        """The subjects, in the order of detailing."""
        return [crop.region for crop in self.crops]

    @property
    def look_behind(self) -> int:
        """The most frames of earlier stretches that joining one reads: frames before its start are final."""
        return max((stretch.shared for crop in self.crops for stretch in crop.stretches), default=0)


@dataclass(frozen=True)
class Sightings:
    """What a detector saw: detections of frames ``start``, ``start + 1``, ...; ``cuts`` are the indices of frames
    that begin a new shot."""

    start: int
    detections: tuple[tuple[Detection, ...], ...]
    cuts: frozenset[int]

    @property
    def stop(self) -> int:
        """Index after the last frame seen."""
        return self.start + len(self.detections)


def watched(
    frames: Iterable[Frame],
    total: int,
    stage: str,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Iterator[Frame]:
    """The same frames, with progress reported and cancellation checked at each; ``total`` may be an estimate."""
    progress(Progress(stage, 0, total))
    done = 0
    for frame in frames:
        if cancel is not None:
            cancel.check()
        yield frame
        done += 1
        progress(Progress(stage, done, max(total, done)))
    progress(Progress(stage, done, done))


def look(frames: Iterable[Frame], detector: Detector) -> Sightings:
    """Run a detector over frames and find the cuts between shots."""
    shots = CutDetector()
    start: int | None = None
    seen: list[tuple[Detection, ...]] = []
    cuts = set()
    for frame in frames:
        start = frame.index if start is None else start
        if shots.update(frame.pixels):
            cuts.add(frame.index)
        seen.append(tuple(detector.detect(frame.pixels)))
    return Sightings(start or 0, tuple(seen), frozenset(cuts))


def follow(
    sightings: Sightings, size: Size, crop_factor: float, *, sure: float = SURE, max_regions: int | None = None
) -> list[Region]:
    """Turn sightings into subjects over time with smooth crop windows.

    A subject that is found or lost in the middle of a shot fades in or out, where another would suddenly be sharp.
    ``sure``: confidence (0..1) of which a subject needs some sightings; ``max_regions`` keeps only the most prominent.
    """
    tracker = Tracker(sure=sure, unsure=min(UNSURE, sure))
    for index, detections in enumerate(sightings.detections, sightings.start):
        tracker.update(index, detections, cut=index in sightings.cuts)
    edges = {sightings.start, sightings.stop, *sightings.cuts}
    return [
        replace(
            region,
            fade_in=0 if region.start in edges else FADE,
            fade_out=0 if region.stop in edges else FADE,
        )
        for region in regions_from_tracks(tracker.finish(), size, crop_factor=crop_factor, max_regions=max_regions)
    ]


def extent(frames: Iterable[Frame]) -> tuple[int, int]:
    """Index of the first frame and after the last one, by reading them all: containers only estimate."""
    first, last = 0, -1
    for frame in frames:
        first = frame.index if last < 0 else first
        last = frame.index
    return first, last + 1


def crop_plans(regions: Sequence[Region], settings: Settings, size_multiple: int) -> tuple[CropPlan, ...]:
    """Working size and padding of every region, by the settings' scale rule; each is one stretch."""
    return tuple(crop_plan(region, settings, size_multiple, number) for number, region in enumerate(regions, 1))


def crop_plan(
    region: Region, settings: Settings, size_multiple: int, track: int, budgets: Budgets | None = None
) -> CropPlan:
    """Working size, padding and stretches of one region."""
    # The largest box of the track decides: one window has one scale, or the subject would change sharpness.
    sides = region.boxes[:, 2:] - region.boxes[:, :2]
    width, height = map(float, sides.max(axis=0))
    working = working_size(
        region.size, (width, height), settings.guide_size, settings.guide_size_for, settings.max_size
    )
    padding = Padding.to_multiple(working, size_multiple)
    if budgets is None:
        return CropPlan(region, working, padding, settings, track)
    stretches = stretches_of(len(region), padding.padded(working), budgets, settings)
    return CropPlan(region, working, padding, settings, track, stretches)
