"""Follows whatever a box shows in one frame, by motion and by appearance.

Motion is the median flow of points inside the box (Kalal et al., "Forward-Backward Error", ICPR 2010): points that do
not return to where they started are left out; the box moves by the median of the others and grows by the median ratio
of their distances. Appearance is a few patches, compared by normalised cross-correlation, as in TLD (Kalal et al., PAMI
2012): the patches correct the drift of the motion, show when the subject is covered, and find it again. The patch that
the user drew is never dropped; others are added where motion and appearance agree, so that the subject can turn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.optional import require
from redetail.region import Box, Size

PATCH = 24
"""Side of the patches that are compared, in pixels."""
WORKING_SIDE = 96.0
"""Longer side of the box, in pixels, to which a larger subject is scaled down to be followed."""
GRID = 10
"""Number of flow points along each side of the box."""
RETURN_ERROR = 1.5
"""Pixels by which a point may miss its start after going forwards and back."""
MIN_POINTS = 8
SCALES = (0.93, 1.0, 1.07)
"""Sizes, as multiples of the size that the motion predicts, at which the appearance is searched near it ..."""
AGAIN_SCALES = (0.75, 0.87, 1.0, 1.15, 1.33)
"""... and after it was lost."""
REACH = 0.6
"""How far around the box the appearance is searched, as a share of the box's sides ..."""
AGAIN_REACH = 2.0
"""... after it was lost ..."""
DRIFT = 0.1
"""... and how much farther for every frame since then; after some time, the subject can be anywhere."""
SEEN = 0.65
"""Correlation, -1 to 1, with the nearest patch from which the subject counts as seen ..."""
SEEN_AGAIN = 0.7
"""... from which it counts as found after it was lost ..."""
NEW = 0.92
"""... and below which a patch shows something new, so that it can be added to the others."""
SURE = 0.8
"""Correlation from which a new patch can be added."""
RIVAL = 0.85
"""Share of the best correlation that the best position elsewhere may reach when a lost subject is found."""
MAX_PATCHES = 8
SEARCHED = 2
"""Patches that are searched near the box; the others are only compared."""

Patch = NDArray[np.float32]
RGB8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Sighting:
    """Where the subject is in a frame, and the confidence of that, 0..1."""

    box: Box
    confidence: float


class Follower:
    """Follows the subject in ``box`` of a picture ``rgb`` (H, W, 3) uint8 from frame to frame, in either direction."""

    def __init__(self, rgb: RGB8, box: Box) -> None:
        self._scale = min(1.0, WORKING_SIDE / max(box.width, box.height))
        self._picture = self.shrunk(rgb)
        self._box = box.scaled(self._scale, self._scale)
        self._patches = [_patch(self._picture, self._box)]
        self._missed = 0

    def update(self, picture: RGB8) -> Sighting | None:
        """Where the subject is in the next frame, given as :meth:`shrunk` returns it; None if it is not seen."""
        found = self._near(picture) if self._missed == 0 else self._again(picture)
        self._picture = picture
        if found is None:
            self._missed += 1
            return None
        self._box, self._missed = found.box, 0
        return Sighting(found.box.scaled(1 / self._scale, 1 / self._scale), found.confidence)

    def _near(self, picture: RGB8) -> Sighting | None:
        """Find the subject by motion from the previous frame, corrected by appearance."""
        moved = moved_box(self._picture, picture, self._box)
        boxes = [] if moved is None else [moved]
        expected = self._box if moved is None else moved
        nearest = self._nearest(picture, expected)
        boxes += [box for box, _ in _searched(picture, nearest, expected, SCALES, REACH)]
        best = self._best(picture, boxes)
        if best is None or best.confidence < SEEN:
            return None
        agree = moved is not None and moved.iou(best.box) >= 0.6
        if agree and SURE <= best.confidence < NEW:
            # The first patch stays, since the user drew it; the oldest of the others is dropped.
            self._patches = [self._patches[0], *self._patches[1:][-(MAX_PATCHES - 2) :], _patch(picture, best.box)]
        return best

    def _again(self, picture: RGB8) -> Sighting | None:
        """Find the subject only by appearance, if no other position looks nearly as similar."""
        reach = AGAIN_REACH + DRIFT * self._missed
        places = list(_searched(picture, self._patches, self._box, AGAIN_SCALES, reach))
        best = self._best(picture, [box for box, _ in places])
        if best is None or best.confidence < SEEN_AGAIN:
            return None
        others = [score for box, score in places if box.iou(best.box) < 0.3]
        rival = max(others, default=0.0)
        return best if rival <= RIVAL * best.confidence else None

    def _best(self, picture: RGB8, boxes: Iterable[Box]) -> Sighting | None:
        rated = [Sighting(box, self._likeness(picture, box)) for box in boxes if _shown(box, picture)]
        return max(rated, key=lambda one: one.confidence, default=None)

    def _likeness(self, picture: RGB8, box: Box) -> float:
        patch = _patch(picture, box)
        return max(0.0, *(correlation(patch, known) for known in self._patches))

    def _nearest(self, picture: RGB8, expected: Box) -> list[Patch]:
        """The patches most similar to what is expected there: searching all of them would take too long."""
        patch = _patch(picture, expected)
        return sorted(self._patches, key=lambda known: -correlation(patch, known))[:SEARCHED]

    def shrunk(self, rgb: RGB8) -> RGB8:
        """A frame (H, W, 3) uint8 at the scale at which the subject is followed."""
        if self._scale == 1:
            return rgb
        size = max(1, round(rgb.shape[1] * self._scale)), max(1, round(rgb.shape[0] * self._scale))
        scaled: RGB8 = require("cv2").resize(rgb, size, interpolation=require("cv2").INTER_AREA)
        return scaled


def _searched(
    picture: RGB8, patches: Iterable[Patch], around: Box, scales: Iterable[float], reach: float
) -> Iterator[tuple[Box, float]]:
    """The best position of every patch at every size, with its correlation, and the best one elsewhere."""
    for patch in patches:
        for scale in scales:
            yield from _matches(picture, patch, around.grown(scale), reach)


def moved_box(before: RGB8, after: RGB8, box: Box) -> Box | None:
    """Where the motion between two pictures (H, W, 3) takes a box; None if too few points can be followed."""
    cv2 = require("cv2")
    x1, y1, x2, y2 = box.as_tuple()
    steps = (np.arange(GRID) + 0.5) / GRID
    x, y = np.meshgrid(x1 + steps * (x2 - x1), y1 + steps * (y2 - y1))
    start = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)[:, None]
    one, two = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (before, after))
    options = {"winSize": (11, 11), "maxLevel": 3}
    there, seen, _ = cv2.calcOpticalFlowPyrLK(one, two, start - 0.5, None, **options)
    back, again, _ = cv2.calcOpticalFlowPyrLK(two, one, there, None, **options)
    missed = np.linalg.norm((back - (start - 0.5))[:, 0], axis=1)
    good = (seen[:, 0] == 1) & (again[:, 0] == 1) & (missed <= min(RETURN_ERROR, float(np.median(missed)) + 1e-6))
    if good.sum() < MIN_POINTS:
        return None
    begin, end = (start - 0.5)[good, 0].astype(np.float64), there[good, 0].astype(np.float64)
    dx, dy = np.median(end - begin, axis=0)
    return box.moved(float(dx), float(dy)).grown(_growth(begin, end))


def _growth(begin: NDArray[np.float64], end: NDArray[np.float64]) -> float:
    """Median ratio of the distances between points, limited to a change of a tenth from one frame to the next."""
    i, j = np.triu_indices(len(begin), 1)
    apart = np.linalg.norm(begin[i] - begin[j], axis=1)
    ratios = np.linalg.norm(end[i] - end[j], axis=1)[apart > 1] / apart[apart > 1]
    return float(np.clip(np.median(ratios), 0.9, 1.1)) if ratios.size else 1.0


def _matches(picture: RGB8, patch: Patch, box: Box, reach: float) -> Iterator[tuple[Box, float]]:
    """The position that correlates best with a patch at the box's size, and the best one that does not overlap it."""
    cv2 = require("cv2")
    width, height = max(4, round(box.width)), max(4, round(box.height))
    (x, y), pad = box.center, 1 + reach
    left, top = math.floor(x - width * pad), math.floor(y - height * pad)
    area, (left, top) = _cut(picture, left, top, math.ceil(x + width * pad), math.ceil(y + height * pad))
    if area.shape[0] < height or area.shape[1] < width:
        return
    method = cv2.INTER_AREA if width < PATCH else cv2.INTER_LINEAR
    shown = cv2.resize(patch, (width, height), interpolation=method)
    scores = cv2.matchTemplate(area.astype(np.float32), shown, cv2.TM_CCOEFF_NORMED)
    for _ in range(2):
        _, score, _, (at_x, at_y) = cv2.minMaxLoc(scores)
        if not (math.isfinite(score) and score > 0):
            return
        centre_x, centre_y = left + at_x + width / 2, top + at_y + height / 2
        across, down = box.width / 2, box.height / 2
        yield Box(centre_x - across, centre_y - down, centre_x + across, centre_y + down), float(score)
        near_y = slice(max(0, at_y - height // 2), at_y + height // 2 + 1)
        scores[near_y, max(0, at_x - width // 2) : at_x + width // 2 + 1] = -1


def _patch(picture: RGB8, box: Box) -> Patch:
    """The contents of a box, (PATCH, PATCH, 3) float32; beyond the picture, its border repeats."""
    cv2 = require("cv2")
    width, height = max(2, round(box.width)), max(2, round(box.height))
    x, y = box.center
    shown = cv2.getRectSubPix(picture, (width, height), (x - 0.5, y - 0.5))
    method = cv2.INTER_AREA if max(width, height) > PATCH else cv2.INTER_LINEAR
    patch: Patch = cv2.resize(shown, (PATCH, PATCH), interpolation=method).astype(np.float32)
    return patch


def correlation(one: Patch, other: Patch) -> float:
    """Normalised cross-correlation of two patches, -1 to 1; 0 if one is flat."""
    a, b = (patch - patch.mean(axis=(0, 1)) for patch in (one, other))
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float((a * b).sum()) / norms if norms > 1 else 0.0


def _cut(picture: RGB8, x1: int, y1: int, x2: int, y2: int) -> tuple[RGB8, tuple[int, int]]:
    """The part of a picture inside these corners, and its top left corner."""
    x1, y1 = max(0, x1), max(0, y1)
    return picture[y1 : max(y1, y2), x1 : max(x1, x2)], (x1, y1)


def _shown(box: Box, picture: Any) -> bool:
    """Whether at least half of a box lies inside the picture."""
    inside = box.clipped(Size(picture.shape[1], picture.shape[0]))
    return inside is not None and inside.area >= box.area / 2
