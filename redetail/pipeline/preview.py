"""A preview: a few moments of a run, with one or several variants of the settings, and exactly the pixels that the
whole run would give.

An engine sees the frames of a stretch together, so a single frame would come out differently on its own. A preview
therefore runs those stretches of the full plan that contain its moments, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.evaluate.sheet import zoomed
from redetail.geometry.scale import ratios
from redetail.pipeline.joints import JoinedCrops
from redetail.pipeline.moments import Key, Moment, around, choose_moments, keys_for, square_view
from redetail.pipeline.paste import PastedFrame, pasted_frames
from redetail.pipeline.plan import Plan
from redetail.pipeline.run import Run
from redetail.progress import Progress, ProgressCallback
from redetail.region import Box, Size
from redetail.video.base import RGB

AROUND = 1.6
"""Side of the area that is shown, as a multiple of the side of the subject's box."""
LOOP_SECONDS = 2.0
"""Length of the loop, if enough frames are computed."""
LOOP_TILE = 320
"""Side of a picture in the loop, in pixels."""


@dataclass(frozen=True)
class Variant:
    """One variant of the settings: ``settings`` holds those that vary, by name; ``label`` names them for people."""

    label: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Way:
    """A variant with its run and its plan."""

    variant: Variant
    run: Run
    plan: Plan

    def frames_of(self, keys: set[Key]) -> int:
        """The number of frames of subjects in these stretches; a frame that two stretches of a subject share counts
        once."""
        return sum(self.plan.crops[number].stretches[index].added for number, index in keys)

    @property
    def frames(self) -> int:
        """The number of frames of subjects in the whole plan."""
        return sum(len(crop.region) for crop in self.plan.crops)


@dataclass(frozen=True)
class Still:
    """One moment: the pixels of the output frame under ``area``, (h, w, 3), as they are before encoding.

    ``source``: the output as it would be without detailing; ``results``: one picture for each variant; ``label``: the
    subject's label; ``side``: the longer side of the subject's box, in source pixels.
    """

    moment: Moment
    label: str
    side: float
    area: Box
    source: RGB
    results: tuple[RGB, ...]


@dataclass(frozen=True)
class Preview:
    """The preview of a clip with ``rate`` frames per second: ``stills`` at its moments, and a ``loop``.

    ``variants`` are in the order of the results. ``loop``: (variants + 1, F, h, w, 3) uint8, the source first, shows
    the first moment's subject over consecutive frames from ``loop_start``. ``share``: the fraction of the whole runs'
    frames that was computed, 0..1. ``notices``: messages for the user. ``files``: the files that were written, the
    sheet and the loop.
    """

    rate: Fraction
    variants: tuple[Variant, ...]
    stills: tuple[Still, ...]
    loop: NDArray[np.uint8]
    loop_start: int
    share: float
    notices: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


def make_preview(ways: Sequence[Way], size: Size, count: int, progress: ProgressCallback) -> Preview:
    """The preview of runs that differ only in settings, with ``count`` moments and frames enlarged to ``size``."""
    first = ways[0].plan
    views = _Views.of(ways, size, count)
    keys = [views.keys(way.plan) for way in ways]
    total = sum(way.frames_of(needed) for way, needed in zip(ways, keys, strict=True))
    shown: list[_Shown] = []
    done = 0
    for way, needed in zip(ways, keys, strict=True):
        way.run.progress = _overall(progress, done, total)
        shown.append(_computed(way, needed, views, size))
        done += way.frames_of(needed)
    stills = tuple(
        Still(
            moment,
            first.crops[moment.region].region.label,
            _side(first, moment),
            area,
            shown[0].stills[number][0],
            tuple(one.stills[number][1] for one in shown),
        )
        for number, (moment, area) in enumerate(zip(views.moments, views.areas, strict=True))
    )
    loop = np.stack([shown[0].loop[0], *(one.loop[1] for one in shown)]) if views.loop else _EMPTY
    whole = sum(way.frames for way in ways)
    return Preview(
        ways[0].run.source.info.rate,
        tuple(way.variant for way in ways),
        stills,
        loop,
        min(views.loop, default=0),
        total / whole if whole else 0.0,
        first.notices,
    )


_EMPTY = np.zeros((0, 0, 0, 0, 3), np.uint8)


@dataclass(frozen=True)
class _Views:
    """What is shown: for each of the ``moments`` an area of whole output pixels, and for each frame of the ``loop`` an
    area of the source; ``scale`` is that of the output."""

    moments: tuple[Moment, ...]
    areas: tuple[Box, ...]
    loop: Mapping[int, Box]
    scale: tuple[float, float]

    @classmethod
    def of(cls, ways: Sequence[Way], size: Size, count: int) -> _Views:
        plan = ways[0].plan
        scale, moments = ratios(plan.size, size), choose_moments(plan, count)
        boxes = (_box(plan, one.region, one.frame).scaled(*scale) for one in moments)
        views = cls(moments, tuple(square_view(box, size, AROUND) for box in boxes), {}, scale)
        return replace(views, loop=views.loop_of(ways)) if moments else views

    def loop_of(self, ways: Sequence[Way]) -> Mapping[int, Box]:
        """The frames around the first moment that all ways compute anyway, and the area that is shown of each."""
        moment, plan = self.moments[0], ways[0].plan
        most = round(float(ways[0].run.source.info.rate) * LOOP_SECONDS / 2)
        spans = [
            around(way.plan.crops[moment.region], self.keys(way.plan), moment.region, moment.frame, most)
            for way in ways
        ]
        start, stop = max(span[0] for span in spans), min(span[1] for span in spans)
        boxes = {frame: _box(plan, moment.region, frame) for frame in range(start, stop)}
        side = AROUND * max(max(box.width, box.height) for box in boxes.values())
        return {frame: _inside(box, side, plan.size) for frame, box in boxes.items()}

    def keys(self, plan: Plan) -> set[Key]:
        """The stretches of a plan that affect anything that is shown."""
        views: list[Mapping[int, Box]] = [self.place(number) for number in range(len(self.moments))]
        keys: set[Key] = set()
        return keys.union(*(keys_for(plan, view) for view in [*views, *([self.loop] if self.loop else [])]))

    def place(self, number: int) -> Mapping[int, Box]:
        """The frame of a moment, and the area that is shown of it, in source pixels."""
        across, down = self.scale
        return {self.moments[number].frame: self.areas[number].scaled(1 / across, 1 / down)}


@dataclass
class _Shown:
    """Source and result at each moment, and in the loop."""

    stills: list[tuple[RGB, RGB]]
    loop: tuple[NDArray[np.uint8], NDArray[np.uint8]]


def _computed(way: Way, keys: set[Key], views: _Views, size: Size) -> _Shown:
    stills = []
    with way.run.enhanced(way.plan, only=keys) as crops:
        for number, area in enumerate(views.areas):
            rows, columns = slice(int(area.y1), int(area.y2)), slice(int(area.x1), int(area.x2))
            for frame in _pasted(way, crops, views.place(number), size):
                pair = frame.source.pixels[rows, columns], frame.result.pixels[rows, columns]
                stills.append((pair[0].copy(), pair[1].copy()))
        return _Shown(stills, _loop(way, crops, views, size) if views.loop else (_EMPTY, _EMPTY))


def _loop(
    way: Way, crops: Sequence[JoinedCrops], views: _Views, size: Size
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    tile = Size(LOOP_TILE, LOOP_TILE)
    pictures = []
    for frame in _pasted(way, crops, views.loop, size):
        box = views.loop[frame.source.index].scaled(*views.scale)
        pictures.append([zoomed(one.pixels, box, tile) for one in (frame.source, frame.result)])
    return np.stack([pair[0] for pair in pictures]), np.stack([pair[1] for pair in pictures])


def _pasted(way: Way, crops: Sequence[JoinedCrops], areas: Mapping[int, Box], size: Size) -> Iterator[PastedFrame]:
    """The frames of ``areas`` with everything pasted that reaches into these areas; elsewhere, changes can be
    missing."""
    some = sorted({number for number, _ in keys_for(way.plan, areas)})
    plans = [way.plan.crops[number] for number in some]
    return pasted_frames(
        way.run.source.frames(min(areas), max(areas) + 1),
        [plan.region for plan in plans],
        [crops[number] for number in some],
        [plan.settings.paste_feather for plan in plans],
        size,
    )


def _overall(progress: ProgressCallback, before: int, total: int) -> ProgressCallback:
    """The progress of one variant as part of the total: ``before`` of ``total`` frames are already done."""

    def report(own: Progress) -> None:
        if own.stage == "detail":  # cropping advances together with it
            progress(replace(own, done=before + own.done, total=total))

    return report


def _box(plan: Plan, number: int, frame: int) -> Box:
    region = plan.crops[number].region
    return region.box(frame - region.start)


def _side(plan: Plan, moment: Moment) -> float:
    box = _box(plan, moment.region, moment.frame)
    return max(box.width, box.height)


def _inside(box: Box, side: float, frame: Size) -> Box:
    """A square with this side around the centre of a box, moved into the frame if it fits."""
    (x, y), half = box.center, side / 2
    x, y = (
        float(np.clip(c, half, length - half)) if side <= length else length / 2
        for c, length in ((x, frame.width), (y, frame.height))
    )
    return Box(x - half, y - half, x + half, y + half)
