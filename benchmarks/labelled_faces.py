"""Faces that were labelled by eye, and how well found subjects match them.

A face counts if its shorter side has at least 20 pixels. It is found if a subject's box overlaps it with an
intersection over union of 0.5. Boxes on what the labels leave open (benchmarks/labels/README.md) do not count either
way.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

LABELS = Path(__file__).with_name("labels") / "faces.json"
MATCH = 0.5
"""Least intersection over union of a subject's box and the face that it finds."""
MIN_SIDE = 20.0
IDENTITY_SIDE = 40.0
"""Shorter side, in pixels, from which a face must stay the same subject."""
HALVES = ("tune", "held-out", "added", "fresh")
"""The first three are for tuning; the errors on the last have not been examined (benchmarks/labels/README.md)."""
LABELS_VERSION = 3
OPEN = "?"
"""Identity of what the labels leave open."""

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class Face:
    """A labelled face: x1, y1, x2, y2 in pixels, and its identity."""

    box: Corners
    identity: str

    @property
    def side(self) -> float:
        return min(self.box[2] - self.box[0], self.box[3] - self.box[1])

    @property
    def counts(self) -> bool:
        return self.identity != OPEN and self.side >= MIN_SIDE


@dataclass(frozen=True)
class Clip:
    """A labelled clip; ``frames`` has the faces of each labelled frame, ``cuts`` the frames that start a shot."""

    name: str
    sha256: str
    half: str
    cuts: tuple[int, ...]
    frames: dict[int, list[Face]]

    @property
    def identities(self) -> list[str]:
        return sorted({face.identity for faces in self.frames.values() for face in faces} - {OPEN})


@dataclass
class Counts:
    """Counts of one clip, or summed over clips.

    ``joined``: subjects that hold faces of two people. ``returns``: times that a face of 40 pixels is back after a cut
    or after a labelled frame without it, ``kept`` those after which it is the same subject. ``steps``: pairs of
    neighbouring labelled frames with nothing between, ``stayed`` those with the same subject in both.
    ``asked`` and ``right``: people whom --who was shown, and those whom it found, and nobody else.
    """

    faces: int = 0
    found: int = 0
    wrong: int = 0
    joined: int = 0
    returns: int = 0
    kept: int = 0
    steps: int = 0
    stayed: int = 0
    asked: int = 0
    right: int = 0
    notes: list[str] = field(default_factory=list)

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)})

    @property
    def precision(self) -> float:
        return self.found / max(1, self.found + self.wrong)

    @property
    def recall(self) -> float:
        return self.found / max(1, self.faces)


def read_labels(path: Path = LABELS) -> list[Clip]:
    """The labelled clips, by name. Raises ValueError for a file of another version."""
    document = json.loads(path.read_text())
    if document["labels_version"] != LABELS_VERSION:
        raise ValueError(f"{path} has version {document['labels_version']}; this version reads {LABELS_VERSION}.")
    return [
        Clip(
            entry["clip"],
            entry["sha256"],
            entry["half"],
            tuple(entry["cuts"]),
            {int(frame): [Face(tuple(row[:4]), row[4]) for row in rows] for frame, rows in entry["labels"].items()},
        )
        for entry in document["clips"]
    ]


def overlap(one: Corners, other: Corners) -> float:
    """Intersection over union."""
    shared = _shared(one, other)
    return shared / (_area(one) + _area(other) - shared) if shared else 0.0


def _shared(one: Corners, other: Corners) -> float:
    width, height = (min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1))
    return max(0.0, width) * max(0.0, height)


def _area(box: Corners) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def matched(faces: Sequence[Face], boxes: Sequence[Corners]) -> dict[int, int]:
    """Which box finds which face, by index: best overlap first, each used once."""
    pairs = [(overlap(face.box, box), i, j) for i, face in enumerate(faces) for j, box in enumerate(boxes)]
    found: dict[int, int] = {}
    for over, i, j in sorted(pairs, reverse=True):
        if over >= MATCH and i not in found and j not in found.values():
            found[i] = j
    return found


def excused(box: Corners, faces: Sequence[Face]) -> bool:
    """Whether a box that finds no face is excused: too small, or on what the labels leave open."""
    uncounted = [face for face in faces if not face.counts]
    on_open = any(overlap(face.box, box) >= 0.3 or _shared(face.box, box) >= 0.5 * _area(box) for face in uncounted)
    return on_open or min(box[2] - box[0], box[3] - box[1]) < MIN_SIDE


def measure(clip: Clip, regions: Sequence[Any]) -> tuple[Counts, dict[tuple[int, str], str]]:
    """Counts of one clip, and the subject that holds each face, by frame and identity.

    ``regions`` have ``start``, ``boxes`` (F, 4) and ``label``, which those of one subject share.
    """
    counts, holders = Counts(), {}
    for frame, faces in clip.frames.items():
        there = [region for region in regions if region.start <= frame < region.start + len(region.boxes)]
        boxes = [tuple(map(float, region.boxes[frame - region.start])) for region in there]
        counted = [face for face in faces if face.counts]
        pairs = matched(counted, boxes)
        wrong = [j for j, box in enumerate(boxes) if j not in pairs.values() and not excused(box, faces)]
        counts.faces += len(counted)
        counts.found += len(pairs)
        counts.wrong += len(wrong)
        counts.notes += [f"{frame}: no face at {_rounded(boxes[j])} ({there[j].label})" for j in wrong]
        counts.notes += [f"{frame}: {face.identity} missed" for i, face in enumerate(counted) if i not in pairs]
        holders |= {(frame, counted[i].identity): there[j].label for i, j in pairs.items()}
    _count_joined(counts, holders)
    for identity in clip.identities:
        _count_returns(counts, clip, identity, holders)
    return counts, holders


def _rounded(box: Corners) -> str:
    return ",".join(f"{value:.0f}" for value in box)


def _count_joined(counts: Counts, holders: dict[tuple[int, str], str]) -> None:
    for label in sorted(set(holders.values())):
        people = sorted({identity for (_, identity), holder in holders.items() if holder == label})
        if len(people) > 1:
            counts.joined += 1
            counts.notes.append(f"{label} joins {', '.join(people)}")


def _count_returns(counts: Counts, clip: Clip, identity: str, holders: dict[tuple[int, str], str]) -> None:
    frames = sorted(clip.frames)
    seen = [
        frame
        for frame in frames
        if any(face.identity == identity and face.side >= IDENTITY_SIDE for face in clip.frames[frame])
    ]
    for before, now in pairwise(seen):
        same = holders.get((before, identity), "") == holders.get((now, identity))
        away = frames.index(now) - frames.index(before) > 1 and not _all_small(clip, identity, before, now)
        if away or any(before < cut <= now for cut in clip.cuts):
            counts.returns += 1
            counts.kept += same
        else:
            counts.steps += 1
            counts.stayed += same
        if not same:
            counts.notes.append(f"{identity} is another subject between {before} and {now}")


def _all_small(clip: Clip, identity: str, before: int, now: int) -> bool:
    """Whether the person is visible, but smaller, in every labelled frame between two others."""
    between = [faces for frame, faces in clip.frames.items() if before < frame < now]
    return all(any(face.identity == identity for face in faces) for faces in between)
