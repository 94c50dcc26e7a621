"""Follows whatever a box shows in one frame through its shot."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from redetail.detection.base import to_uint8
from redetail.documents import WrongKindError, shown, text
from redetail.errors import RegionError, SettingsError
from redetail.geometry.path import clipped_boxes, smoothed_boxes
from redetail.region import Box, Region, Size
from redetail.selection.base import CommandOption, Search, Selection
from redetail.selection.boxes import parse_box
from redetail.selection.detected import FADE
from redetail.tracking import region_from_box
from redetail.tracking.follow import Follower, Sighting
from redetail.tracking.regions import region_from_boxes
from redetail.video.span import Position, check_position

BRIDGED = 2
"""The most frames without a sighting that a track bridges if the subject is seen before and after them."""
SHORTEST = 3
"""The fewest frames of a stretch: after a loss, a shorter one is more likely to show something else."""
CHUNK = 32
"""Frames that are read at a time while a subject is followed backwards."""

FORM = "X1,Y1,X2,Y2[@TIME]"


@dataclass(frozen=True)
class FollowBox:
    """A box around the subject, in pixels, in the frame at a position of the clip (None: the first one searched)."""

    box: Box
    at: Position | None = None

    @classmethod
    def parse(cls, typed: str) -> Self:
        """The box that ``X1,Y1,X2,Y2[@TIME]`` means; raises ArgumentTypeError or what a bad box or position raises."""
        corners, _, at = typed.partition("@")
        if at:
            check_position("the time of follow", at)
        return cls(Box(*parse_box(corners)), at or None)

    def __str__(self) -> str:
        corners = ",".join(f"{side:g}" for side in self.box.as_tuple())
        return corners if self.at is None else f"{corners}@{self.at}"


@dataclass(frozen=True)
class FollowSelection(Selection):
    """Whatever each box shows in one frame, followed forwards and backwards in time to the ends of its shot."""

    name: ClassVar[str] = "follow"
    option: ClassVar[CommandOption] = CommandOption(
        FORM, "follow what this box shows at TIME [the beginning]; repeatable", str, repeatable=True
    )

    boxes: tuple[FollowBox, ...]

    @classmethod
    def from_option(cls, value: Any) -> Self | None:
        """One value or several, each typed text, a box or four numbers; RegionError for anything else."""
        single = isinstance(value, str | Box | FollowBox) or _is_row(value)
        several = isinstance(value, Sequence) and not single
        boxes = tuple(_follow_box(one) for one in (value if several else [value]))
        return cls(boxes) if boxes else None

    @classmethod
    def from_document(cls, value: Any, folder: Path) -> Self:
        """Text as it is typed, or a list of such texts."""
        try:
            return cls(tuple(_follow_box(text(one)) for one in (value if isinstance(value, list) else [value])))
        except RegionError as error:
            raise WrongKindError(f"{FORM}, or a list of boxes in this form") from error

    def to_document(self) -> list[str]:
        """The boxes as they are typed."""
        return [str(one) for one in self.boxes]

    def check(self, size: Size) -> None:
        """Refuse boxes that are empty or outside the frame."""
        for one in self.boxes:
            if one.box.area == 0 or one.box.clipped(size) is None:
                region_from_box(one.box, size, 0, 1, crop_factor=1)  # raises with the right message

    def find(self, search: Search) -> list[Region]:
        """A region for each stretch in which a subject is seen; the regions of one subject have the same ``person``."""
        cuts = search.cuts()
        regions = []
        for number, one in enumerate(self.boxes, 1):
            key = self._key(one, search)
            start, stop = _shot(key, cuts, search)
            sightings = _followed(search, one.box, key, start, stop)
            edges = {*search.frame_range(), *cuts}
            regions += _regions(f"followed {number}", sightings, start, edges, search, -number)
        return regions

    def _key(self, one: FollowBox, search: Search) -> int:
        start, stop = search.frame_range()
        key = start if one.at is None else search.index_of("the time of follow", one.at)
        if not start <= key < stop:
            raise SettingsError(
                f"The time in follow, {one}, is frame {key}, but only frames {start} to {stop - 1} are searched; give "
                "the time of one of these frames."
            )
        return key

    @property
    def nothing_found(self) -> str:
        """The message if the subject could not be followed at all."""
        return (
            "Nothing could be followed, so nothing was detailed; draw the box on a frame that shows the subject well."
        )


def _is_row(value: Any) -> bool:
    return isinstance(value, Sequence) and len(value) == 4 and all(isinstance(side, int | float) for side in value)


def _follow_box(value: Any) -> FollowBox:
    if isinstance(value, FollowBox):
        return value
    if isinstance(value, Box):
        return FollowBox(value)
    if _is_row(value):
        return FollowBox(Box(*map(float, value)))
    try:
        return FollowBox.parse(value)
    except (argparse.ArgumentTypeError, AttributeError) as error:
        raise RegionError(f"follow is {shown(value)}; give {FORM}, as in 120,80,180,140@2.5.") from error


def _shot(key: int, cuts: Sequence[int], search: Search) -> tuple[int, int]:
    """The first frame of the shot that contains frame ``key``, and the frame after its last."""
    start, stop = search.frame_range()
    return max([start, *(cut for cut in cuts if cut <= key)]), min([stop, *(cut for cut in cuts if cut > key)])


def _followed(search: Search, box: Box, key: int, start: int, stop: int) -> list[Sighting | None]:
    """Where the subject is in frames ``start`` to ``stop``; ``box`` shows it in frame ``key``."""
    ahead = search.part(key, stop)
    first = to_uint8(next(ahead).pixels)
    inside = box.clipped(search.size)
    assert inside is not None, "check() refuses boxes outside the frame"
    forth, back = Follower(first, inside), Follower(first, inside)
    after = [forth.update(forth.shrunk(to_uint8(frame.pixels))) for frame in ahead]
    before = [back.update(picture) for picture in _backwards(search, back, start, key)]
    return [*reversed(before), Sighting(inside, 1.0), *after]


def _backwards(search: Search, follower: Follower, start: int, stop: int) -> Iterator[NDArray[np.uint8]]:
    """The shrunk pictures of frames ``stop - 1`` down to ``start``, a chunk at a time: clips only decode forwards."""
    for end in range(stop, start, -CHUNK):
        frames = search.part(max(start, end - CHUNK), end)
        yield from reversed([follower.shrunk(to_uint8(frame.pixels)) for frame in frames])


def _regions(
    label: str, sightings: Sequence[Sighting | None], start: int, edges: set[int], search: Search, person: int
) -> list[Region]:
    """The stretches in which the subject is seen, with a warning where it is lost inside the shot."""
    stretches = stretches_of([one is not None for one in sightings])
    regions = []
    for first, last in stretches:
        seen = [one for one in sightings[first:last] if one is not None]
        boxes, detected = _filled(sightings[first:last])
        smooth = clipped_boxes(smoothed_boxes(boxes, detected), search.size)
        confidence = float(np.mean([one.confidence for one in seen]))
        region = region_from_boxes(label, confidence, start + first, smooth, search.size, search.crop_factor)
        fade_in, fade_out = (0 if edge in edges else FADE for edge in (region.start, region.stop))
        regions.append(replace(region, fade_in=fade_in, fade_out=fade_out, person=person))
    search.notices += _losses(label, stretches, start, len(sightings), search)
    return regions


def stretches_of(seen: Sequence[bool]) -> list[tuple[int, int]]:
    """First frame, and frame after the last, of each stretch in which something is seen. Short gaps are bridged, and
    short stretches are left out."""
    found: list[tuple[int, int]] = []
    for index in np.flatnonzero(seen).tolist():
        if found and index - found[-1][1] <= BRIDGED:
            found[-1] = (found[-1][0], index + 1)
        else:
            found.append((index, index + 1))
    return [one for one in found if one[1] - one[0] >= min(SHORTEST, len(seen))]


def _filled(sightings: Sequence[Sighting | None]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Boxes (F, 4), interpolated between sightings, and a mask (F,) of the frames that have a sighting."""
    detected = np.array([one is not None for one in sightings])
    known = np.array([one.box.as_tuple() for one in sightings if one is not None], np.float64)
    frames = np.arange(len(sightings))
    return np.stack([np.interp(frames, frames[detected], column) for column in known.T], axis=1), detected


def _losses(label: str, stretches: Sequence[tuple[int, int]], start: int, frames: int, search: Search) -> Iterator[str]:
    """A sentence for each part of the shot in which the subject is not seen."""
    for (_, lost), (found, _) in pairwise([(0, 0), *stretches, (frames, frames)]):
        if found > lost:
            at, until = (f"{search.timecode(start + index)} (frame {start + index})" for index in (lost, found - 1))
            yield f"{label} is not visible from {at} to {until}, so it is not detailed there."
