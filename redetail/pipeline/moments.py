"""Moments that are worth a look, and the parts of a plan that must be computed to show them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count as counting

import numpy as np
from numpy.typing import NDArray

from redetail.pipeline.plan import CropPlan, Plan
from redetail.region import Box, Region, Size

Key = tuple[int, int]
"""A region's position in the plan and a stretch's position in the region, which together identify a task."""

NEARLY = 0.95
"""A frame that comes this close to the extreme is as good if nothing more has to be computed for it."""
_REACH = 2.0  # pixels by which a paste can reach beyond its window when a larger output is rounded to whole pixels


@dataclass(frozen=True, slots=True)
class Moment:
    """A subject, by its region's position in the plan, in a frame of the clip; ``why`` says in words what is
    special."""

    region: int
    frame: int
    why: str


def choose_moments(plan: Plan, count: int) -> tuple[Moment, ...]:
    """Up to ``count`` different moments: the largest, fastest and smallest subject and the middle of the clip, then
    subjects not shown yet, then moments spread over the clip. Empty if there is no subject."""
    chosen: dict[tuple[int, int], list[str]] = {}
    for why, (region, frame) in _candidates(plan, chosen):
        if (region, frame) not in chosen and len(chosen) == count:
            break
        chosen.setdefault((region, frame), []).append(why)
    return tuple(Moment(region, frame, ", ".join(filter(None, whys))) for (region, frame), whys in chosen.items())


def keys_for(plan: Plan, areas: Mapping[int, Box]) -> set[Key]:
    """The stretches that affect the pixels of ``areas``, given by frame in source pixels; the frames are consecutive.

    For every region whose window overlaps an area, these are the stretches that contain any of the frames.
    """
    start, stop = min(areas), max(areas) + 1
    keys = set()
    for number, crop in enumerate(plan.crops):
        region = crop.region
        first, last = max(start, region.start), min(stop, region.stop)
        if any(_meet(region, frame, areas[frame]) for frame in range(first, last)):
            keys |= {
                (number, index)
                for index, stretch in enumerate(crop.stretches)
                if stretch.start < last - region.start and first - region.start < stretch.stop
            }
    return keys


def around(crop: CropPlan, keys: set[Key], number: int, frame: int, most: int) -> tuple[int, int]:
    """The frames around ``frame``, up to ``most`` on each side, that are computed if only the stretches in ``keys`` of
    the region are."""
    region, computed = crop.region, {index for place, index in keys if place == number}
    held = [
        {index for index, stretch in enumerate(crop.stretches) if stretch.start <= own < stretch.stop} <= computed
        for own in range(len(region))
    ]
    start = stop = frame - region.start
    while start > 0 and held[start - 1] and frame - region.start - start < most:
        start -= 1
    while stop < len(region) and held[stop] and stop - (frame - region.start) < most:
        stop += 1
    return start + region.start, stop + region.start


def square_view(box: Box, frame: Size, factor: float) -> Box:
    """A square of whole pixels around a box, with ``factor`` times the box's longer side, moved into the frame."""
    side = max(2, round(factor * max(box.width, box.height)))
    x, y = box.center
    corners = []
    for centre, length in ((x, frame.width), (y, frame.height)):
        own = min(side, length)
        low = min(max(0, round(centre - own / 2)), length - own)
        corners.append((low, low + own))
    (x1, x2), (y1, y2) = corners
    return Box(x1, y1, x2, y2)


def _meet(region: Region, frame: int, area: Box) -> bool:
    window = region.window(frame - region.start)
    reaching = Box(window.x1 - _REACH, window.y1 - _REACH, window.x2 + _REACH, window.y2 + _REACH)
    return reaching.intersection(area) is not None


Ratings = list[NDArray[np.float64]]


def _candidates(plan: Plan, chosen: Mapping[Key, object]) -> Iterator[tuple[str, tuple[int, int]]]:
    """An endless sequence of reasons and moments, the best first; ``chosen`` are those taken so far."""
    crops = plan.crops
    if not crops:
        return
    for why, rating in _RATINGS.items():
        yield why, _best([np.where(_shown(crop.region), rating(crop.region), -np.inf) for crop in crops], plan, chosen)
    longest = max(range(len(crops)), key=lambda number: len(crops[number].region))
    yield "middle", (longest, crops[longest].region.start + len(crops[longest].region) // 2)
    for number, crop in enumerate(crops):
        if number not in {region for region, _ in chosen}:
            yield "largest", (number, crop.region.start + int(_sides(crop.region).argmax()))
    total = sum(len(crop.region) for crop in crops)
    for place in counting(1):
        if len(chosen) >= total:
            return
        yield "", _at(crops, _spread(place, total))


def _best(rated: Ratings, plan: Plan, chosen: Mapping[Key, object]) -> tuple[int, int]:
    """The best rated region and frame, or a frame that is nearly as good and lies in a stretch that is needed
    anyway."""
    number = max(range(len(rated)), key=lambda one: rated[one].max())
    own = int(rated[number].argmax())
    top = rated[number][own]
    enough = top * NEARLY if top > 0 else top / NEARLY
    for region, frame in chosen:
        crop = plan.crops[region]
        for stretch in crop.stretches:
            if stretch.start <= frame - crop.region.start < stretch.stop:
                part = rated[region][stretch.start + stretch.shared : stretch.stop]
                if len(part) and part.max() >= enough:
                    first = crop.region.start + stretch.start + stretch.shared
                    return region, first + int(part.argmax())
    return number, plan.crops[number].region.start + own


def _sides(region: Region) -> NDArray[np.float64]:
    """The longer side of the subject's box in every frame."""
    sides: NDArray[np.float64] = (region.boxes[:, 2:] - region.boxes[:, :2]).max(axis=1)
    return sides


def _speed(region: Region) -> NDArray[np.float64]:
    """The speed in every frame, in pixels per frame."""
    if len(region) == 1:
        return np.zeros(1)
    moved = np.gradient((region.boxes[:, 2:] + region.boxes[:, :2]) / 2, axis=0)
    speed: NDArray[np.float64] = np.hypot(moved[:, 0], moved[:, 1])
    return speed


_RATINGS: Mapping[str, Callable[[Region], NDArray[np.float64]]] = {
    "largest": _sides,
    "fastest": _speed,
    "smallest": lambda region: -_sides(region),
}


def _shown(region: Region) -> NDArray[np.bool_]:
    """The frames in which the result shows at full strength; all frames if there are none."""
    full = np.array([region.strength(index) == 1 for index in range(len(region))])
    return full if full.any() else ~full


def _at(crops: tuple[CropPlan, ...], place: int) -> tuple[int, int]:
    """The region and the frame at a position in the sequence of all regions' frames."""
    for number, crop in enumerate(crops):
        if place < len(crop.region):
            return number, crop.region.start + place
        place -= len(crop.region)
    raise IndexError(place)


def _spread(number: int, total: int) -> int:
    """The ``number``-th (from 1) position from 0 to ``total`` (excluded) in an order in which each halves a remaining
    gap: the van der Corput sequence in base 2, which reaches all of them."""
    share, step = 0.0, 0.5
    while number:
        share, number, step = share + step * (number & 1), number >> 1, step / 2
    return int(share * total)
