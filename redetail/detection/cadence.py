"""Searches fewer frames: between two searches that agree, the positions of subjects are interpolated.

Every :data:`EVERY` frames, and where a shot begins or ends, a whole frame is searched. If two successive searches see
the same subjects, a look at the frame in the middle shows whether they moved evenly. If so, their boxes in the other
frames are interpolated; if not, the detector looks for them frame by frame where they are expected. If a subject
appeared, vanished or became less certain, all frames in between are searched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from redetail.detection.base import RGB, Detector
from redetail.region import Box, Detection

EVERY = 5
"""Frames from one search to the next; at most the number of detections that a track needs, so that no track is
missed."""
FOLLOWED = 0.5
"""Confidence from which a subject counts when it appears or vanishes (see the tracker)."""
SAME = 0.4
"""Intersection over union from which detections in two searches are the same subject."""
EVEN = 0.85
"""Intersection over union of the expected and the seen box from which a motion counts as even."""


@runtime_checkable
class Refines(Protocol):
    """A detector that can look for subjects where they are expected."""

    def refine(self, frame: RGB, expected: Sequence[Detection]) -> list[Detection] | None:
        """These subjects in ``frame``, in their order; None if one is not seen, or seen with less confidence."""
        ...


class Pixels(Protocol):
    """A frame whose pixels may be costly: they are asked for only where the frame is searched."""

    @property
    def index(self) -> int:
        """The frame's index in the clip."""
        ...

    @property
    def pixels(self) -> RGB:
        """The frame (H, W, 3)."""
        ...


@dataclass(frozen=True, eq=False, slots=True)
class Picture:
    """A frame of a clip, and whether it starts a shot."""

    frame: Pixels
    cut: bool

    @property
    def index(self) -> int:
        """The frame's index in the clip."""
        return self.frame.index

    @property
    def pixels(self) -> RGB:
        """The frame (H, W, 3)."""
        return self.frame.pixels


Searched = tuple[Picture, list[Detection]]


def searched(frames: Iterable[Picture], detector: Detector) -> Iterator[Searched]:
    """Frames in their order, with what a detector finds in each.

    Up to EVERY - 1 frames wait for the next search. A detector that cannot refine searches every frame.
    """
    waiting: list[Picture] = []  # the first picture was searched, with this result
    found: list[Detection] = []
    for frame in frames:
        if frame.cut:
            yield from _closed(waiting, found, detector)
            waiting = []
        waiting.append(frame)
        if len(waiting) == 1:
            found = detector.detect(frame.pixels)
        elif len(waiting) > EVERY or not isinstance(detector, Refines):
            now = detector.detect(frame.pixels)
            yield from _between(waiting, found, now, detector)
            waiting, found = [frame], now
    yield from _closed(waiting, found, detector)


def _closed(waiting: Sequence[Picture], found: list[Detection], detector: Detector) -> Iterator[Searched]:
    """The last frames of a shot: the last one is searched, too."""
    if len(waiting) > 1:
        last = detector.detect(waiting[-1].pixels)
        yield from _between(waiting, found, last, detector)
        found = last
    if waiting:
        yield waiting[-1], found


def _between(
    frames: Sequence[Picture], first: list[Detection], last: list[Detection], detector: Detector
) -> Iterator[Searched]:
    """All frames except the last one; both ends were searched."""
    yield frames[0], first
    inner = frames[1:-1]
    if inner:
        pairs = _pairs(first, last)
        filled = None if pairs is None else _filled(inner, pairs, detector)
        yield from zip(inner, filled or [detector.detect(frame.pixels) for frame in inner], strict=True)


def _pairs(first: Sequence[Detection], last: Sequence[Detection]) -> list[tuple[Detection, Detection]] | None:
    """Each subject at both ends; None if a subject that counts is only at one end."""
    pairs, left = [], list(last)
    for one in first:
        other = max(left, key=lambda other: one.box.iou(other.box), default=None)
        if other is not None and one.label == other.label and one.box.iou(other.box) >= SAME:
            pairs.append((one, other))
            left.remove(other)
        elif one.confidence >= FOLLOWED:
            return None
    return None if any(other.confidence >= FOLLOWED for other in left) else pairs


def _filled(
    frames: Sequence[Picture], pairs: Sequence[tuple[Detection, Detection]], detector: Detector
) -> list[list[Detection]] | None:
    """The subjects in the frames between both ends; None if they have to be searched."""
    middle = len(frames) // 2
    expected = [[_mixed(*pair, place / (len(frames) + 1)) for pair in pairs] for place in range(1, len(frames) + 1)]
    seen = _seen(frames[middle], expected[middle], detector)
    if seen is None:
        return None
    if all(one.box.iou(other.box) >= EVEN for one, other in zip(seen, expected[middle], strict=True)):
        return _through([first for first, _ in pairs], seen, [last for _, last in pairs], middle, len(frames))
    filled = []
    for place, frame in enumerate(frames):
        there = seen if place == middle else _seen(frame, expected[place], detector)
        if there is None:
            return None
        filled.append(there)
    return filled


def _seen(frame: Picture, expected: Sequence[Detection], detector: Detector) -> list[Detection] | None:
    """The subjects that count where they are seen, the others where they are expected."""
    assert isinstance(detector, Refines)  # otherwise every frame is searched
    counting = [one for one in expected if one.confidence >= FOLLOWED]
    seen = detector.refine(frame.pixels, counting) if counting else []
    if seen is None:
        return None
    places = iter(seen)
    return [next(places) if one.confidence >= FOLLOWED else one for one in expected]


def _through(
    first: Sequence[Detection], seen: Sequence[Detection], last: Sequence[Detection], middle: int, count: int
) -> list[list[Detection]]:
    """The subjects in ``count`` frames between two that were searched; ``seen`` are those in frame ``middle``."""

    def at(place: int) -> list[Detection]:
        if place <= middle:
            return [_mixed(*pair, (place + 1) / (middle + 1)) for pair in zip(first, seen, strict=True)]
        return [_mixed(*pair, (place - middle) / (count - middle)) for pair in zip(seen, last, strict=True)]

    return [at(place) for place in range(count)]


def _mixed(one: Detection, other: Detection, share: float) -> Detection:
    """A subject between two detections, ``share`` 0..1 of the way from one to the other, without a descriptor."""
    corners = [a + share * (b - a) for a, b in zip(one.box.as_tuple(), other.box.as_tuple(), strict=True)]
    confidence = one.confidence + share * (other.confidence - one.confidence)
    landmarks = None
    if one.landmarks is not None and other.landmarks is not None:
        landmarks = tuple(
            (x + share * (u - x), y + share * (v - y))
            for (x, y), (u, v) in zip(one.landmarks, other.landmarks, strict=True)
        )
    return replace(one, box=Box(*corners), confidence=confidence, landmarks=landmarks, descriptor=None)
