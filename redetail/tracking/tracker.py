"""Joins the boxes in single frames into subjects over time.

Two-stage association after ByteTrack (Zhang et al., ECCV 2022): certain detections are matched first; uncertain ones
only continue the remaining tracks, so that a face that turns away or is half covered stays the same subject. Motion is
a constant-velocity alpha-beta filter, the steady state of a Kalman filter. Boxes are matched greedily, best overlap
first: faces hardly overlap one another, so an optimal assignment would find the same pairs.

Nothing is decided too early: a track can start with uncertain detections, and a track that turns out to be false (too
few detections, never sure) is dropped when it ends. Descriptors of faces, if detections have them, keep tracks from
switching to another person, and join the tracks of one person (:mod:`redetail.tracking.people`). Only boxes and
descriptors are kept, so memory grows by a few bytes per frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from redetail.errors import RegionError, SettingsError
from redetail.region import Box, Detection
from redetail.tracking.people import is_somebody_else, joined_people

POSITION_GAIN = 0.7
VELOCITY_GAIN = 0.3
VELOCITY_DECAY = 0.9
"""Per frame without a detection: people do not keep walking at the same speed for long."""
BUFFER = 0.3
"""Boxes are widened by this share of their sides on each side before they are compared, so that a small face that jumps
by its own width between two frames still overlaps itself (Yang et al., "C-BIoU", WACV 2023)."""
SURE, UNSURE = 0.6, 0.25
"""Confidence of a detection that counts as certain, and least confidence that continues a track."""
SURE_OVERLAP = 0.15
UNSURE_OVERLAP = 0.3
MIN_DENSITY = 0.4
"""Share of the searched frames in which a subject must be seen; things that occasionally look like a face (a fist, a
headstock) are seen in far fewer."""
MAX_AREA_RATIO = 2.5
"""Largest ratio by which a face's area changes between two detections; another person's face can differ more."""
MIN_SURE_SHARE = 0.25
"""Share of a subject's detections that must be sure, unless some are certain. A hand that looks like a face is sure
only occasionally, while a face that was seen clearly can look away for any length of time."""
CERTAIN = 0.8
HIDDEN = 12
"""Most frames that a subject can be unseen within one track; after more, it gets a new track for the same person."""
UNSURE_GAP = 3
"""Most frames that a subject can be hidden that was never sure, such as a hand that looked like a face once."""
STAYED = 0.5
"""Intersection over union with the previous frame from which a face counts as the same, whatever its descriptor."""


@dataclass(frozen=True, eq=False)
class Track:
    """One subject over consecutive frames ``start`` to ``stop`` (excluded).

    ``boxes`` (F, 4) are x1, y1, x2, y2 in pixels, with gaps filled linearly; ``detected`` (F,) says which were seen;
    ``confidence`` is the mean over those, 0..1. ``descriptor`` (128,) is the mean of the descriptors of its
    ``described`` detections, None if there are none; ``second_opinion`` is the mean of the second detector's scores,
    None if it was not asked. Tracks with the same ``person`` show one person (None: only this track does).
    """

    label: str
    confidence: float
    start: int
    boxes: NDArray[np.float64]
    detected: NDArray[np.bool_]
    person: int | None = None
    descriptor: NDArray[np.float32] | None = None
    described: int = 0
    second_opinion: float | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def stop(self) -> int:
        """Index after the last frame."""
        return self.start + len(self)


@dataclass(frozen=True, eq=False, slots=True)
class _Sighting:
    """What was seen in frame ``index``, the ``update``-th frame that was searched (not every frame is)."""

    index: int
    update: int
    found: Detection


@dataclass
class _Candidate:
    """A track in the making: what was seen, and where it should be next (cx, cy, w, h and the centre's velocity)."""

    seen: list[_Sighting]
    state: NDArray[np.float64]
    velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))

    @property
    def last(self) -> int:
        return self.seen[-1].index

    @property
    def label(self) -> str:
        return self.seen[0].found.label

    @property
    def descriptors(self) -> list[NDArray[np.float32]]:
        return _descriptors(self.seen)

    def predicted(self, index: int) -> Box:
        decayed = (1 - VELOCITY_DECAY ** (index - self.last)) / (1 - VELOCITY_DECAY)
        x, y = self.state[:2] + self.velocity * decayed
        w, h = self.state[2:]
        return Box(x - w / 2, y - h / 2, x + w / 2, y + h / 2)

    def stretches(self) -> list[list[_Sighting]]:
        """What was seen, split wherever nothing was seen in more than HIDDEN searched frames."""
        parts = [[self.seen[0]]]
        for before, now in pairwise(self.seen):
            if now.index - before.index > HIDDEN + 1 and now.update - before.update > 1:
                parts.append([])
            parts[-1].append(now)
        return parts

    def add(self, index: int, update: int, detection: Detection) -> None:
        steps = index - self.last
        expected, measured = _state(self.predicted(index)), _state(detection.box)
        if len(self.seen) == 1:
            self.velocity = (measured - expected)[:2] / steps
            self.state = measured
        else:
            self.state = expected + POSITION_GAIN * (measured - expected)
            self.velocity = self.velocity + VELOCITY_GAIN * (measured - expected)[:2] / steps
        self.seen.append(_Sighting(index, update, detection))


class Tracker:
    """Takes detections frame by frame; :meth:`finish` returns the tracks.

    ``sure``: confidence (0..1) from which a detection counts as certain; a track needs some certain ones. ``unsure``:
    least confidence that continues a track. ``max_gap``: most frames that a subject can be hidden. ``min_hits``: fewest
    detections of a track (fewer if the shot itself is shorter). Raises SettingsError for values out of range.
    """

    def __init__(self, *, sure: float = SURE, unsure: float = UNSURE, max_gap: int = 24, min_hits: int = 5) -> None:
        if not 0 <= unsure <= sure <= 1:
            raise SettingsError(f"unsure is {unsure} and sure is {sure}; they must satisfy 0 <= unsure <= sure <= 1.")
        if max_gap < 1 or min_hits < 1:
            raise SettingsError(f"max-gap is {max_gap} and min-hits is {min_hits}; both must be at least 1.")
        self._sure, self._unsure, self._max_gap, self._min_hits = sure, unsure, max_gap, min_hits
        self._people = 0
        self._active: list[_Candidate] = []
        self._ended: list[Track] = []
        self._last_index = -1
        self._update = 0
        self._shot_began = 0

    def update(self, index: int, detections: Sequence[Detection], cut: bool = False) -> None:
        """Take the detections of frame ``index``; ``cut``: this frame starts a new shot.

        Frames can be skipped (if only every few are searched), but indices must increase; raises RegionError otherwise.
        """
        if index <= self._last_index:
            raise RegionError(f"Frame {index} came after frame {self._last_index}; pass the frames in order.")
        if cut or self._last_index < 0:
            self._end(self._active)
            self._active, self._shot_began = [], self._update
        self._last_index = index
        self._update += 1
        lost = [track for track in self._active if index - track.last > self._patience(track)]
        self._active = [track for track in self._active if index - track.last <= self._patience(track)]
        self._end(lost)
        self._associate(index, [d for d in detections if d.confidence >= self._unsure])

    def finish(self) -> list[Track]:
        """All tracks, by start and then by size, largest first. The tracker is then empty."""
        self._end(self._active)
        tracks = _without_doubles(self._ended)
        self._active, self._ended, self._last_index = [], [], -1
        return joined_people(sorted(tracks, key=lambda track: (track.start, -_median_area(track))))

    def _associate(self, index: int, detections: Sequence[Detection]) -> None:
        sure = [d for d in detections if d.confidence >= self._sure]
        unsure = [d for d in detections if d.confidence < self._sure]
        sure_pairs = self._match(index, self._active, sure, SURE_OVERLAP)
        left = [track for track in self._active if all(track is not taken for taken, _ in sure_pairs)]
        pairs = sure_pairs + self._match(index, left, unsure, UNSURE_OVERLAP)
        for track, detection in pairs:
            track.add(index, self._update, detection)
        matched = [detection for _, detection in pairs]
        occupied = [_widened(track.predicted(index)) for track in self._active]
        new = [d for d in sure if d not in matched]
        new += [d for d in unsure if d not in matched and not _near(d.box, occupied)]
        self._active += [_Candidate([_Sighting(index, self._update, d)], _state(d.box)) for d in new]

    def _match(
        self, index: int, tracks: Sequence[_Candidate], detections: Sequence[Detection], least: float
    ) -> list[tuple[_Candidate, Detection]]:
        """Pairs of tracks and detections, best overlap first, each used once."""
        pairs = [
            (_overlap(track, index, detection, self._update - 1), i, j)
            for i, track in enumerate(tracks)
            for j, detection in enumerate(detections)
        ]
        matched: dict[int, int] = {}
        for overlap, i, j in sorted(pairs, key=lambda pair: -pair[0]):
            if overlap >= least and i not in matched and j not in matched.values():
                matched[i] = j
        return [(tracks[i], detections[j]) for i, j in matched.items()]

    def _patience(self, track: _Candidate) -> int:
        """Most frames that a track can be hidden."""
        known = any(one.found.confidence >= self._sure for one in track.seen)
        return self._max_gap if known else min(self._max_gap, UNSURE_GAP)

    def _end(self, candidates: Sequence[_Candidate]) -> None:
        for candidate in candidates:
            self._people += 1
            credible = [part for part in candidate.stretches() if self._credible(part)]
            person = self._people if len(credible) > 1 else None
            self._ended += [_track(part, person) for part in credible]

    def _credible(self, seen: Sequence[_Sighting]) -> bool:
        """Whether it was seen often enough, and with enough confidence, to be a subject."""
        needed = min(self._min_hits, self._update - self._shot_began)
        confidences = np.array([one.found.confidence for one in seen])
        sure, certain = int((confidences >= self._sure).sum()), int((confidences >= CERTAIN).sum())
        density = len(seen) / (seen[-1].update - seen[0].update + 1)
        often = len(seen) >= needed and density >= MIN_DENSITY
        return often and sure >= needed / 2 and (sure >= MIN_SURE_SHARE * len(seen) or certain >= needed)


def _overlap(track: _Candidate, index: int, detection: Detection, update: int) -> float:
    """How well a detection continues a track, 0..1, if the subject kept moving as before or stopped.

    ``update`` is the previous update: a face that was seen then, in nearly the same position, needs no descriptor.
    """
    moved, rested = track.predicted(index), track.seen[-1].found.box
    if detection.label != track.label or _area_ratio(moved, detection.box) > MAX_AREA_RATIO:
        return 0.0
    stayed = track.seen[-1].update == update and rested.iou(detection.box) >= STAYED
    if not stayed and is_somebody_else(detection.descriptor, track.descriptors):
        return 0.0
    return max(_widened(box).iou(_widened(detection.box)) for box in (moved, rested))


def _widened(box: Box) -> Box:
    x, y = BUFFER * box.width, BUFFER * box.height
    return Box(box.x1 - x, box.y1 - y, box.x2 + x, box.y2 + y)


def _near(box: Box, occupied: Sequence[Box]) -> bool:
    """Whether an uncertain detection lies on a subject that is already tracked, so that it is not a new one."""
    return any(_widened(box).iou(other) >= UNSURE_OVERLAP for other in occupied)


def _state(box: Box) -> NDArray[np.float64]:
    return np.array([*box.center, box.width, box.height])


def _area_ratio(one: Box, other: Box) -> float:
    small, large = sorted((one.area, other.area))
    return large / small if small > 0 else math.inf


def _descriptors(seen: Sequence[_Sighting]) -> list[NDArray[np.float32]]:
    return [one.found.descriptor for one in seen if one.found.descriptor is not None]


def _track(seen: Sequence[_Sighting], person: int | None) -> Track:
    """The finished track, gaps filled linearly."""
    indices = np.array([one.index for one in seen])
    boxes = np.array([one.found.box.as_tuple() for one in seen])
    frames = np.arange(indices[0], indices[-1] + 1)
    described = _descriptors(seen)
    opinions = [one.found.second_opinion for one in seen if one.found.second_opinion is not None]
    return Track(
        seen[0].found.label,
        confidence=float(np.mean([one.found.confidence for one in seen])),
        start=int(indices[0]),
        boxes=np.stack([np.interp(frames, indices, column) for column in boxes.T], axis=1),
        detected=np.isin(frames, indices),
        person=person,
        descriptor=np.mean(described, axis=0, dtype=np.float32) if described else None,
        described=len(described),
        second_opinion=float(np.mean(opinions)) if opinions else None,
    )


def _median_area(track: Track) -> float:
    return float(np.median(np.prod(track.boxes[:, 2:] - track.boxes[:, :2], axis=1)))


def _without_doubles(tracks: Sequence[Track]) -> list[Track]:
    """Tracks, most certain and longest first, without those that mostly lie on a track that is already kept."""
    kept: list[Track] = []
    for track in sorted(tracks, key=lambda track: -track.confidence * len(track)):
        if all(_shared(track, other) < 0.5 for other in kept):
            kept.append(track)
    return kept


def _shared(track: Track, other: Track) -> float:
    """Share of the track's frames in which both tracks are in the same place."""
    start, stop = max(track.start, other.start), min(track.stop, other.stop)
    same = [
        Box(*track.boxes[i - track.start]).iou(Box(*other.boxes[i - other.start])) > 0.5 for i in range(start, stop)
    ]
    return sum(same) / len(track)
