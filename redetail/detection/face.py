"""Faces, found with YuNet (Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", 2023).

YuNet finds faces of about 10 to 300 pixels and is most certain near 50. Hands and hair fool it at one scale but seldom
at several. So a frame is searched twice, at a working size and at a small size (for faces that fill the picture), and
every candidate is looked at again in the full-resolution frame at fixed face sizes. Its confidence and box are the
means over all views. On real clips this lowered the scores of hands from up to 0.72 to at most 0.52, and left faces at
0.8 to 0.93.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.detection.base import RGB, to_uint8
from redetail.errors import ModelError, SettingsError
from redetail.optional import require
from redetail.region import Box, Detection, Size

WEIGHTS = Path(__file__).parents[1] / "bundled" / "yunet" / "face_detection_yunet_2023mar.onnx"
CANDIDATE_THRESHOLD = 0.3
"""Score from which a candidate is worth a second look."""
VIEW_SIDE = 160
"""Side of the patch of a second look, in pixels."""
VIEW_FACES = (48, 64)
"""Face sizes, in pixels of that patch, at which a candidate is looked at again."""
OVERLAP = 0.4
"""Intersection over union from which two boxes are the same face."""
LESS_SURE = 0.15
"""How far a face's confidence may fall below the expected value in a frame that is not searched."""
MAX_CANDIDATES = 32
MAX_ASPECT = 3.0

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class _Face:
    """Where the network sees a face, how sure it is, and the landmarks (5, 2) of the face."""

    box: Box
    score: float
    landmarks: Points

    def scaled(self, kx: float, ky: float) -> _Face:
        return _Face(self.box.scaled(kx, ky), self.score, self.landmarks * np.array([kx, ky]))

    def moved(self, x: float, y: float) -> _Face:
        box = Box(self.box.x1 + x, self.box.y1 + y, self.box.x2 + x, self.box.y2 + y)
        return _Face(box, self.score, self.landmarks + np.array([x, y]))


class FaceDetector:
    """Faces in a frame.

    ``threshold``: least confidence (0..1) that is reported. ``min_size``: faces whose shorter side is smaller, in frame
    pixels, are left out. ``working_size``: longest side at which a frame is searched, in pixels; a smaller value is
    faster, a larger one finds smaller faces in large frames. Do not share a detector between threads.
    """

    label = "face"

    def __init__(self, *, threshold: float = 0.25, min_size: float = 16.0, working_size: int = 768) -> None:
        if not 0 <= threshold <= 1:
            raise SettingsError(f"The detection threshold is {threshold}; it must be between 0 and 1.")
        if not (min_size >= 0 and math.isfinite(min_size)):
            raise SettingsError(f"The minimum face size is {min_size}; it must be 0 pixels or more.")
        if not 64 <= working_size <= 8192:
            raise SettingsError(f"The working size is {working_size}; it must be between 64 and 8192 pixels.")
        self.threshold, self.min_size, self.working_size = threshold, min_size, working_size
        self._cv2 = require("cv2")
        self._networks: dict[tuple[int, int], Any] = {}

    def detect(self, frame: RGB) -> list[Detection]:
        """All faces of an RGB frame (H, W, 3) uint8 or uint16, most confident first; see :class:`~.base.Detector`."""
        rgb = np.ascontiguousarray(to_uint8(frame))
        seen = [self._look_again(rgb, candidate) for candidate in self._candidates(rgb)]
        size = Size(rgb.shape[1], rgb.shape[0])
        found = []
        for face in _without_duplicates(seen):
            inside = face.box.clipped(size)
            if face.score >= self.threshold and inside and min(inside.width, inside.height) >= self.min_size:
                found.append(Detection(inside, face.score, landmarks=_pairs(face.landmarks)))
        return found

    def refine(self, frame: RGB, expected: Sequence[Detection]) -> list[Detection] | None:
        """These faces where they are expected, found only by views around them; see :class:`~.cadence.Refines`."""
        rgb, size = np.ascontiguousarray(to_uint8(frame)), Size(frame.shape[1], frame.shape[0])
        found: list[Detection] = []
        for one in expected:
            place = _Face(one.box, one.confidence, np.array(one.landmarks or np.zeros((5, 2))))
            views = [self._view(rgb, place, face) for face in VIEW_FACES]
            if not all(view.score for view in views):
                return None
            face = _mean(views)
            inside = face.box.clipped(size)
            if inside is None or face.score < one.confidence - LESS_SURE:
                return None
            found.append(Detection(inside, face.score, landmarks=_pairs(face.landmarks)))
        return found

    def _candidates(self, rgb: NDArray[np.uint8]) -> list[_Face]:
        """Everything that looks like a face at the working size or at a third of it."""
        longest = max(rgb.shape[:2])
        found: list[_Face] = []
        for scale in {min(1.0, side / longest) for side in (self.working_size, self.working_size / 3)}:
            small, kx, ky = self._shrunk(rgb, scale)
            found += [face.scaled(1 / kx, 1 / ky) for face in self._run(small)]
        large_enough = [face for face in found if min(face.box.width, face.box.height) >= 0.7 * self.min_size]
        return _without_duplicates(large_enough)[:MAX_CANDIDATES]

    def _shrunk(self, rgb: NDArray[np.uint8], scale: float) -> tuple[NDArray[np.uint8], float, float]:
        """The picture scaled, and the exact ratios of its rounded sides."""
        if scale >= 1:
            return rgb, 1.0, 1.0
        height, width = rgb.shape[:2]
        new = max(1, round(width * scale)), max(1, round(height * scale))
        small = self._cv2.resize(rgb, new, interpolation=self._cv2.INTER_AREA)
        return small, new[0] / width, new[1] / height

    def _look_again(self, rgb: NDArray[np.uint8], candidate: _Face) -> _Face:
        """The candidate's mean position and mean confidence over all views; a view that misses it counts as 0."""
        return _mean([candidate, *(self._view(rgb, candidate, face) for face in VIEW_FACES)])

    def _view(self, rgb: NDArray[np.uint8], candidate: _Face, face: int) -> _Face:
        """The candidate's best match in a view in which it has ``face`` pixels; score 0 if there is none."""
        box = candidate.box
        scale = face / math.sqrt(max(box.area, 1.0))
        side = max(1, round(VIEW_SIDE / scale))
        left, top = (round(center - side / 2) for center in box.center)
        patch = _padded_patch(rgb, left, top, side)
        method = self._cv2.INTER_AREA if side > VIEW_SIDE else self._cv2.INTER_LINEAR
        patch = self._cv2.resize(patch, (VIEW_SIDE, VIEW_SIDE), interpolation=method)
        back = side / VIEW_SIDE
        found = [seen.scaled(back, back).moved(left, top) for seen in self._run(patch)]
        matches = [seen for seen in found if seen.box.iou(box) >= OVERLAP]
        nothing = _Face(box, 0.0, candidate.landmarks)
        return max(matches, key=lambda match: match.score, default=nothing)

    def _run(self, rgb: NDArray[np.uint8]) -> list[_Face]:
        """Run YuNet on a picture at its own size, padded to whole cells of the network; OpenCV's own padding of very
        small pictures gives results that differ from run to run."""
        bgr = self._cv2.cvtColor(_padded(rgb), self._cv2.COLOR_RGB2BGR)
        height, width = bgr.shape[:2]
        if (width, height) not in self._networks:
            if len(self._networks) > 8:  # in a folder of images, every frame can have a new size
                self._networks.clear()
            self._networks[width, height] = self._network(width, height)
        try:
            _, rows = self._networks[width, height].detect(bgr)
        except self._cv2.error as error:
            raise ModelError(f"The face detector failed on a picture of {width}x{height} pixels: {error}") from error
        return [] if rows is None else _sane(rows, 2.0 * max(width, height))

    def _network(self, width: int, height: int) -> Any:
        try:
            return self._cv2.FaceDetectorYN.create(str(WEIGHTS), "", (width, height), CANDIDATE_THRESHOLD, 0.3, 1000)
        except self._cv2.error as error:
            raise ModelError(f"The face detector's weights {WEIGHTS} cannot be read; reinstall redetail.") from error


def _mean(views: Sequence[_Face]) -> _Face:
    """Mean position (weighted by score) and mean score of several views, at least one of which must have a score."""
    weights = np.array([view.score for view in views])
    corners = np.average([view.box.as_tuple() for view in views], axis=0, weights=weights)
    landmarks = np.average([view.landmarks for view in views], axis=0, weights=weights)
    return _Face(Box(*map(float, corners)), float(weights.mean()), landmarks)


def _sane(rows: NDArray[np.float32], limit: float) -> list[_Face]:
    """Faces from rows of x, y, w, h, ten landmark coordinates and a score. Faces of astronomic size, with NaN, or with
    a shape that no head has are dropped; the network returns such faces on flat and on tiny pictures."""
    places, sides = rows[:, :14], rows[:, 2:4]
    usable = np.isfinite(places).all(axis=1) & (np.abs(places) < limit).all(axis=1) & (sides > 0).all(axis=1)
    usable &= sides.max(axis=1) <= MAX_ASPECT * np.abs(sides.min(axis=1))
    return [_face(row) for row in rows[usable].astype(np.float64)]


def _face(row: Points) -> _Face:
    x, y, width, height = row[:4].tolist()
    return _Face(Box(x, y, x + width, y + height), float(row[14]), row[4:14].reshape(5, 2))


def _pairs(landmarks: Points) -> tuple[tuple[float, float], ...]:
    return tuple((x, y) for x, y in landmarks.tolist())


def _padded(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture padded with black to the right and below, so that its sides are multiples of 32 and at least 64."""
    height, width = (max(64, -(-side // 32) * 32) for side in rgb.shape[:2])
    if (height, width) == rgb.shape[:2]:
        return rgb
    padded = np.zeros((height, width, 3), np.uint8)
    padded[: rgb.shape[0], : rgb.shape[1]] = rgb
    return padded


def _padded_patch(picture: NDArray[np.uint8], left: int, top: int, side: int) -> NDArray[np.uint8]:
    """The patch (side, side, 3) from the given corner on, black beyond the picture's edge."""
    height, width = picture.shape[:2]
    patch = np.zeros((side, side, 3), np.uint8)
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    if x1 < x2 and y1 < y2:
        patch[y1 - top : y2 - top, x1 - left : x2 - left] = picture[y1:y2, x1:x2]
    return patch


def _without_duplicates(found: list[_Face]) -> list[_Face]:
    """The faces, most certain first, without those that overlap a more certain one."""
    kept: list[_Face] = []
    for face in sorted(found, key=lambda face: -face.score):
        if all(face.box.iou(other.box) < OVERLAP for other in kept):
            kept.append(face)
    return kept
