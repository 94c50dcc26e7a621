"""Boxes and key points from a single-shot detector (Liu et al., "SSD", ECCV 2016), as MediaPipe's networks give them.

The layouts are those that MediaPipe publishes with the networks. All anchors have the same size, with several per cell,
so the network's outputs are offsets from the centre of a cell in pixels of its input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from redetail.region import Box

Points = NDArray[np.float64]
SCORE_LIMIT = 100.0
"""Raw scores are clipped to this before the logistic function, which would overflow."""


@dataclass(frozen=True, eq=False, slots=True)
class Candidate:
    """A box in which a network sees something, its score (0..1), and its key points (K, 2)."""

    box: Box
    score: float
    points: Points

    def placed(self, scale: float, x: float, y: float) -> Candidate:
        """The candidate in a picture of which the network saw a part: from ``x``, ``y`` on, at ``scale`` pixels to
        one."""
        box = self.box.scaled(scale, scale).moved(x, y)
        return Candidate(box, self.score, self.points * scale + np.array([x, y]))


@dataclass(frozen=True)
class AnchorLayout:
    """A grid of anchors for each stride, row by row: ``per_cell[i]`` in the middle of cells of ``strides[i]`` pixels.

    ``side``: side of the network's square input, in pixels.
    """

    side: int
    strides: tuple[int, ...]
    per_cell: tuple[int, ...]

    @cached_property
    def centres(self) -> Points:
        """(N, 2) x, y of all anchors, in pixels of the network's input."""
        return np.concatenate([self._grid(*level) for level in zip(self.strides, self.per_cell, strict=True)])

    def _grid(self, stride: int, count: int) -> Points:
        cells = -(-self.side // stride)
        at = (np.arange(cells) + 0.5) * self.side / cells
        x, y = np.meshgrid(at, at)
        return np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), count, axis=0)

    def decode(self, places: NDArray[np.float32], scores: NDArray[np.float32], least: float) -> list[Candidate]:
        """Candidates with a score of at least ``least``, in pixels of the network's input.

        ``places`` (N, 4 + 2 K): centre, width and height, then key points, as offsets from the anchor in pixels;
        ``scores`` (N, 1): scores before the logistic function.
        """
        raw = np.clip(scores[:, 0].astype(np.float64), -SCORE_LIMIT, SCORE_LIMIT)
        sure = 1 / (1 + np.exp(-raw))
        return [_candidate(self.centres[i], places[i].astype(np.float64), float(sure[i])) for i in _above(sure, least)]


def _above(scores: Points, least: float) -> NDArray[np.int64]:
    return np.flatnonzero(scores >= least)


def _candidate(anchor: Points, place: Points, score: float) -> Candidate:
    (x, y), (width, height) = place[:2] + anchor, np.maximum(place[2:4], 0.0)
    box = Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return Candidate(box, score, place[4:].reshape(-1, 2) + anchor)


def merged(candidates: Sequence[Candidate], overlap: float) -> list[Candidate]:
    """Merged candidates, best score first. Each is the mean, weighted by score, of a best candidate and all that
    overlap it by at least ``overlap``.

    This is the blending non-maximum suppression of BlazeFace (Bazarevsky et al., 2019), which jitters less over time
    than the best box alone. The score is that of the best candidate.
    """
    left = sorted(candidates, key=lambda one: -one.score)
    kept = []
    while left:
        same = [one for one in left if one is left[0] or one.box.iou(left[0].box) >= overlap]
        kept.append(_mean(same))
        left = [one for one in left if all(one is not other for other in same)]
    return kept


def _mean(same: Sequence[Candidate]) -> Candidate:
    weights = np.array([one.score for one in same])
    corners = np.average([one.box.as_tuple() for one in same], axis=0, weights=weights)
    points = np.average([one.points for one in same], axis=0, weights=weights)
    return Candidate(Box(*map(float, corners)), same[0].score, points)
