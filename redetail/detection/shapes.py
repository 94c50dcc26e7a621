"""The shape of a subject inside its box: the oval of a face, a head with hair and ears, a hand, a whole person.

A shape is a picture 0..1 of :data:`GRID` pixels per side, showing a square around the box; see :func:`square_of`.
Shapes are bound to the box, so those of neighbouring frames can be averaged however the subject moves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from redetail.detection.hands import HandLandmarks, around_hand
from redetail.detection.litert import FOLDER, LiteNetwork
from redetail.detection.people import VISIBLE, part_at
from redetail.detection.silhouette import Silhouette
from redetail.detection.views import Points, Square
from redetail.optional import require
from redetail.region import Box

GRID = 128
"""Side of a shape's picture."""
PRESENT = 0.5
"""Presence, 0..1, from which landmarks count as those of a face or a hand."""
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""Landmarks of MediaPipe's face mesh on the outline of the face, in order."""
LEFT_EYE, RIGHT_EYE = 33, 263
"""Outer corners of the eyes; the one further left in the picture comes first."""
FACE_SCALE = 1.5
"""Side of the square in which the landmark network sees a face best, as a multiple of the face's longer side."""
HEAD_ACROSS, HEAD_UP, HEAD_DOWN = 1.1, 1.05, 0.72
"""How far a head reaches from the middle of the face to the sides, up and down, as multiples of the face's height."""
CHIN_ACROSS = 0.65
"""How far a head reaches to the sides at the chin, where the shoulders begin."""
OVAL_MARGIN = 1.12
"""Size of a face as a multiple of the outline of the landmarks, which end below the hair and inside a beard."""
HEAD_EDGE = 0.15
"""Share of these distances over which a head fades out where the silhouette continues, at the neck."""
HAND_MARGIN = 1.25
"""Size of a hand as a multiple of the hull of its landmarks, which lie inside the fingers."""
QUARTER_TURNS = (0.0, math.pi / 2, math.pi, -math.pi / 2)

Picture = NDArray[np.float32]
RGB8 = NDArray[np.uint8]


class Shape(Protocol):
    """Finds the shape of one subject, frame by frame in order.

    ``reach``: side of the square around the box, as a multiple of the box's longer side.
    """

    reach: float

    def look(self, rgb: RGB8, box: Box) -> Picture | None:
        """The shape of the subject in the box, (GRID, GRID) 0..1; None if it is not seen."""
        ...


def ellipse(box: Box, reach: float) -> Picture:
    """The ellipse in a box, as a shape, for faces seen from the side, whose outline cannot be found."""
    x, y = np.meshgrid(*(np.arange(4 * GRID) + 0.5 - 2 * GRID,) * 2)
    radii = (2 * GRID / reach) * np.array([box.width, box.height]) / max(box.width, box.height)
    inside = np.hypot(x / radii[0], y / radii[1]) <= 1
    shape: Picture = inside.reshape(GRID, 4, GRID, 4).mean(axis=(1, 3), dtype=np.float32)
    return shape


def square_of(box: Box, reach: float) -> Square:
    """The square that a shape's picture shows: ``reach`` times the longer side of the box, around its middle."""
    return Square(*box.center, max(box.width, box.height) * reach)


class OvalShape:
    """The outline of a face, from 468 landmarks (Kartynnik et al., 2019)."""

    reach = 2.0

    def __init__(self) -> None:
        self._network = LiteNetwork(FOLDER / "face_landmark.tflite")

    def look(self, rgb: RGB8, box: Box) -> Picture | None:
        """See :class:`Shape`; the face is looked at upright first, then turned so that the eyes are level."""
        points, _ = self._landmarks(rgb, square_of(box, FACE_SCALE))
        (left_x, left_y), (right_x, right_y) = points[LEFT_EYE], points[RIGHT_EYE]
        angle = math.atan2(right_y - left_y, right_x - left_x)
        low, high = points.min(axis=0), points.max(axis=0)
        (x, y), side = (low + high) / 2, FACE_SCALE * float((high - low).max())
        points, present = self._landmarks(rgb, Square(float(x), float(y), side, angle))
        outline = _grown(points[list(OVAL)], OVAL_MARGIN)
        overlap = Box(*map(float, (*outline.min(axis=0), *outline.max(axis=0)))).iou(box)
        return _filled(outline, square_of(box, self.reach)) if present >= PRESENT and overlap >= 0.3 else None

    def _landmarks(self, rgb: RGB8, square: Square) -> tuple[Points, float]:
        side = self._network.side
        seen = self._network.run(square.picture(rgb, side))
        points = next(one for one in seen.values() if one.size > 1).reshape(-1, 3)[:, :2].astype(np.float64)
        present = float(next(one for one in seen.values() if one.size == 1).item())
        return square.to_frame(points, side), 1 / (1 + math.exp(-max(-60.0, present)))


class HandShape:
    """The convex hull of a hand's landmarks, slightly enlarged."""

    reach = 1.5

    def __init__(self) -> None:
        self._hands = HandLandmarks()
        self._square: Square | None = None

    def look(self, rgb: RGB8, box: Box) -> Picture | None:
        """See :class:`Shape`; the hand is searched for where it was in the previous frame, else in every
        orientation."""
        seen = None if self._square is None else self._hands.look(rgb, self._square)
        if seen is None or seen[1] < PRESENT or not _covers(seen[0], box):
            around = square_of(box, 1.6)
            turned = (Square(around.x, around.y, around.side, angle) for angle in QUARTER_TURNS)
            first = max((self._hands.look(rgb, square) for square in turned), key=lambda one: one[1])
            seen = self._hands.look(rgb, around_hand(first[0]))
        points, present = seen
        if present < PRESENT or not _covers(points, box):
            self._square = None
            return None
        self._square = around_hand(points)
        hull = require("cv2").convexHull(points.astype(np.float32))[:, 0].astype(np.float64)
        return _filled(_grown(hull, HAND_MARGIN), square_of(box, self.reach))


class PersonShape:
    """The silhouette of the person in the box."""

    reach = 1.2

    def __init__(self) -> None:
        self._silhouette = Silhouette()

    def look(self, rgb: RGB8, box: Box) -> Picture | None:
        """See :class:`Shape`."""
        square = square_of(box, self.reach)
        shown = self._silhouette.look(rgb, square)
        return _person(shown, _inside(box, square, shown.shape[0]))


class HeadShape:
    """What the silhouette of a person shows around the face: hair, ears, and a little of the neck."""

    reach = 3.0

    def __init__(self) -> None:
        self._silhouette = Silhouette()

    def look(self, rgb: RGB8, box: Box) -> Picture | None:
        """See :class:`Shape`; the box is that of the face."""
        square = square_of(box, self.reach)
        shown = self._silhouette.look(rgb, square)
        face = _inside(box, square, shown.shape[0])
        person = _person(shown, face)
        return None if person is None else person * _around_face(_inside(box, square, GRID))


SHAPES: Mapping[str, type[Shape]] = MappingProxyType(
    {"oval": OvalShape, "head": HeadShape, "hand": HandShape, "person": PersonShape}
)
"""Shapes that are searched for in the frames, by the names of ``mask_shape``."""


def _inside(box: Box, square: Square, side: int) -> Box:
    """A box of the frame in the square's picture of ``side`` pixels."""
    scale = side / square.side
    return box.moved(square.side / 2 - square.x, square.side / 2 - square.y).scaled(scale, scale)


def _person(shown: Picture, place: Box) -> Picture | None:
    """The part of the soft silhouette that is connected to the subject's position, as a shape; None if it is empty."""
    cv2 = require("cv2")
    part = part_at(shown >= VISIBLE, place)
    if part is None:
        return None
    around = cv2.dilate(part.astype(np.uint8), np.ones((5, 5), np.uint8))
    alone: Picture = cv2.resize(shown * around, (GRID, GRID), interpolation=cv2.INTER_AREA)
    return alone


def _around_face(face: Box) -> Picture:
    """(GRID, GRID) 0..1: an ellipse of a head's size around a face, which fades out below the chin."""
    (x, y), height = face.center, max(face.height, face.width)
    at = np.arange(GRID, dtype=np.float32) + 0.5
    wide = np.interp(at, [y, face.y2], [HEAD_ACROSS * height, CHIN_ACROSS * height])
    across = (at - x)[None, :] / wide[:, None]
    down = (at - y) / np.where(at < y, HEAD_UP * height, HEAD_DOWN * height)
    apart = np.hypot(across, down[:, None])
    shape: Picture = np.clip((1 - apart) / HEAD_EDGE, 0, 1).astype(np.float32)
    return shape


def _filled(outline: Points, square: Square) -> Picture:
    """The inside of an outline (N, 2) in pixels of the frame, as a shape of the square."""
    cv2 = require("cv2")
    fine = 4 * GRID
    points = (outline - np.array([square.x, square.y])) * (fine / square.side) + fine / 2
    drawn = np.zeros((fine, fine), np.uint8)
    cv2.fillPoly(drawn, [np.rint(np.clip(points, -fine, 2 * fine)).astype(np.int32)], 255)
    shape: Picture = cv2.resize(drawn, (GRID, GRID), interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
    return shape


def _grown(outline: Points, factor: float) -> Points:
    middle = (outline.min(axis=0) + outline.max(axis=0)) / 2
    grown: Points = middle + (outline - middle) * factor
    return grown


def _covers(points: Points, box: Box) -> bool:
    """Whether landmarks lie where the subject is."""
    return Box(*map(float, (*points.min(axis=0), *points.max(axis=0)))).iou(box) >= 0.3
