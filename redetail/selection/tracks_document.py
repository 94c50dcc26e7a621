"""Tracks as a document that a person can edit (docs/tracks.md): labels and boxes, without pictures and descriptors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from redetail.documents import WrongKindError, line_of, number, shown, text
from redetail.errors import RedetailError, RegionError
from redetail.region import Box, Region, Size
from redetail.selection.subjects import FoundSubject
from redetail.tracking.regions import region_from_boxes

VERSION = 1
"""Version of the document's layout; it goes up when a reader of the old layout would misread the new one."""

Keys = tuple[str | int, ...]


@dataclass(frozen=True, eq=False)
class Tracklet:
    """A subject in consecutive frames from ``start``: its boxes (F, 4) x1, y1, x2, y2 in pixels, already smooth."""

    start: int
    boxes: NDArray[np.float64]
    confidence: float = 1.0
    fade_in: int = 0
    fade_out: int = 0

    @property
    def stop(self) -> int:
        """Index after the last frame."""
        return self.start + len(self.boxes)

    def between(self, start: int, stop: int) -> Tracklet | None:
        """The part in frames ``start`` to ``stop`` (excluded), without a fade where it was cut; None if empty."""
        first, last = max(start, self.start), min(stop, self.stop)
        if first >= last:
            return None
        boxes = self.boxes[first - self.start : last - self.start]
        fades = (self.fade_in if first == self.start else 0, self.fade_out if last == self.stop else 0)
        return Tracklet(first, boxes, self.confidence, *fades)


@dataclass(frozen=True, eq=False)
class SubjectTrack:
    """One subject: its label, and where it is seen, in order; ``thumbnail`` is the file of a picture next to the
    document."""

    label: str
    tracklets: tuple[Tracklet, ...]
    thumbnail: str | None = None


@dataclass(frozen=True, eq=False)
class Tracks:
    """The subjects of a clip with frames of ``size``; the first has number 1."""

    size: Size
    subjects: tuple[SubjectTrack, ...] = field(default_factory=tuple)

    @classmethod
    def of(cls, found: Sequence[FoundSubject], size: Size) -> Self:
        """The tracks of subjects that were found, with exactly the same boxes."""
        return cls(size, tuple(SubjectTrack(one.label, tuple(map(_tracklet, one.regions))) for one in found))

    def regions(self, crop_factor: float, start: int, stop: int) -> list[Region]:
        """Regions in frames ``start`` to ``stop`` (excluded); all regions of a subject have its number as
        ``person``."""
        return [
            replace(
                region_from_boxes(subject.label, seen.confidence, seen.start, seen.boxes, self.size, crop_factor),
                fade_in=seen.fade_in,
                fade_out=seen.fade_out,
                person=number,
            )
            for number, subject in enumerate(self.subjects, 1)
            for tracklet in subject.tracklets
            if (seen := tracklet.between(start, stop)) is not None
        ]

    def to_text(self) -> str:
        """The document as JSON, a line for each box."""
        subjects = ",\n".join(map(_subject_text, self.subjects))
        size = [self.size.width, self.size.height]
        return f'{{\n"tracks_version": {VERSION},\n"size": {size},\n"tracks": [\n{subjects}\n]\n}}\n'

    @classmethod
    def from_text(cls, content: str, path: Path) -> Self:
        """The tracks that a document holds.

        Raises :class:`~redetail.errors.RegionError` with a message that names the line and the key of an error.
        """
        try:
            document = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise RegionError(f"{path} is not a JSON document ({error}); see docs/tracks.md.") from error
        try:
            return cls(*_Reader().tracks(document))
        except _Wrong as error:
            where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in error.keys).lstrip(".")
            line = line_of(content, error.keys)
            raise RegionError(f"{path}, line {line}: {where or 'the document'} {error.problem}.") from error


def _tracklet(region: Region) -> Tracklet:
    return Tracklet(region.start, region.boxes, region.confidence, region.fade_in, region.fade_out)


def _subject_text(subject: SubjectTrack) -> str:
    tracklets = ",\n".join(map(_tracklet_text, subject.tracklets))
    picture = "" if subject.thumbnail is None else f' "thumbnail": {json.dumps(subject.thumbnail)},'
    label = json.dumps(subject.label, ensure_ascii=False)
    return f' {{"label": {label},{picture} "tracklets": [\n{tracklets}\n ]}}'


def _tracklet_text(tracklet: Tracklet) -> str:
    boxes = ",\n".join(f"    {json.dumps(box)}" for box in tracklet.boxes.tolist())
    values = {"start": tracklet.start, "confidence": tracklet.confidence, "fade_in": tracklet.fade_in,
              "fade_out": tracklet.fade_out}  # fmt: skip
    return f'  {json.dumps(values)[:-1]}, "boxes": [\n{boxes}\n  ]}}'


class _Wrong(Exception):
    def __init__(self, keys: Keys, problem: str) -> None:
        super().__init__(problem)
        self.keys, self.problem = keys, problem


class _Reader:
    """Reads a document value by value, and knows the keys that lead to each value."""

    def tracks(self, document: Any) -> tuple[Size, tuple[SubjectTrack, ...]]:
        table = self._table(document, (), ("tracks_version", "size", "tracks"))
        if table["tracks_version"] != VERSION:
            raise _Wrong(("tracks_version",), f"must be {VERSION}, not {shown(table['tracks_version'])}")
        sides = [self._whole(side, ("size", i), 1) for i, side in self._list(table["size"], ("size",))]
        if len(sides) != 2:
            raise _Wrong(("size",), "must be a list of a width and a height")
        size = Size(*sides)
        listed = self._list(table["tracks"], ("tracks",))
        subjects = tuple(self._subject(value, ("tracks", i), size) for i, value in listed)
        for i, one in enumerate(subjects):
            if one.label in {other.label for other in subjects[:i]}:
                raise _Wrong(("tracks", i, "label"), f"is {shown(one.label)}, which is also the label of another track")
        return size, subjects

    def _subject(self, value: Any, at: Keys, size: Size) -> SubjectTrack:
        table = self._table(value, at, ("label", "tracklets"), ("thumbnail",))
        listed = self._list(table["tracklets"], (*at, "tracklets"))
        tracklets = [self._tracklet(one, (*at, "tracklets", i), size) for i, one in listed]
        for i, (one, other) in enumerate(pairwise(tracklets), 1):
            if other.start < one.stop:
                raise _Wrong(
                    (*at, "tracklets", i, "start"), f"must be at least {one.stop}, the end of the previous tracklet"
                )
        if not tracklets:
            raise _Wrong((*at, "tracklets"), "must not be empty")
        picture = table.get("thumbnail")
        thumbnail = None if picture is None else self._read(text, picture, (*at, "thumbnail"))
        return SubjectTrack(self._read(text, table["label"], (*at, "label")), tuple(tracklets), thumbnail)

    def _tracklet(self, value: Any, at: Keys, size: Size) -> Tracklet:
        table = self._table(value, at, ("start", "boxes"), ("confidence", "fade_in", "fade_out"))
        boxes = [self._box(box, (*at, "boxes", i), size) for i, box in self._list(table["boxes"], (*at, "boxes"))]
        if not boxes:
            raise _Wrong((*at, "boxes"), "must not be empty")
        confidence = self._read(number, table.get("confidence", 1.0), (*at, "confidence"))
        if not 0 <= confidence <= 1:
            raise _Wrong((*at, "confidence"), f"is {confidence:g}; it must be between 0 and 1")
        start, *fades = (self._whole(table.get(name, 0), (*at, name), 0) for name in ("start", "fade_in", "fade_out"))
        return Tracklet(start, np.array(boxes, np.float64), confidence, *fades)

    def _box(self, value: Any, at: Keys, size: Size) -> tuple[float, float, float, float]:
        sides = [self._read(number, side, (*at, i)) for i, side in self._list(value, at)]
        if len(sides) != 4:
            raise _Wrong(at, f"must be four numbers x1, y1, x2, y2, not {shown(value)}")
        try:
            box = Box(*sides)
        except RedetailError as error:
            raise _Wrong(
                at, f"is {shown(value)}; it must be x1, y1, x2, y2 in finite numbers, with x1 <= x2 and y1 <= y2"
            ) from error
        if box.area == 0 or box.clipped(size) != box:
            raise _Wrong(at, f"is {shown(value)}; it must not be empty and must lie inside the {size}-pixel frame")
        return box.as_tuple()

    def _table(self, value: Any, at: Keys, needed: Sequence[str], more: Sequence[str] = ()) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise _Wrong(at, f"must be an object, not {shown(value)}")
        for name in value:
            if name not in (*needed, *more):
                raise _Wrong((*at, name), f"is not a known key; choose one of: {', '.join((*needed, *more))}")
        for name in needed:
            if name not in value:
                raise _Wrong(at, f"lacks the key {name}")
        return value

    def _list(self, value: Any, at: Keys) -> Iterator[tuple[int, Any]]:
        if not isinstance(value, list):
            raise _Wrong(at, f"must be a list, not {shown(value)}")
        return enumerate(value)

    def _whole(self, value: Any, at: Keys, least: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise _Wrong(at, f"must be a whole number of at least {least}, not {shown(value)}")
        return value

    def _read(self, read: Callable[[Any], Any], value: Any, at: Keys) -> Any:
        try:
            return read(value)
        except WrongKindError as error:
            raise _Wrong(at, f"must be {error}, not {shown(value)}") from error
