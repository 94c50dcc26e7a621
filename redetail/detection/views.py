"""Parts of a frame for a network with a small square input: tiles, and squares that are turned upright."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redetail.optional import require
from redetail.region import Size

Points = NDArray[np.float64]
OVERLAP = 0.25
"""Least share of its side that a tile shares with its neighbour; anything smaller lies completely in one of them."""


@dataclass(frozen=True)
class Square:
    """A square of a frame: its centre and side in pixels, turned clockwise by ``angle`` (radians)."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    def to_frame(self, points: Points, view: int) -> Points:
        """Points (N, 2) in the square's picture, whose sides have ``view`` pixels, as points in the frame."""
        centred = (points - view / 2) * (self.side / view)
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        placed: Points = centred @ np.array([[cos, sin], [-sin, cos]]) + np.array([self.x, self.y])
        return placed

    def picture(self, rgb: NDArray[np.uint8], view: int) -> NDArray[np.float32]:
        """What the square shows, (view, view, 3) float32 0..1; black outside the frame.

        If the square has more pixels than the view, they are averaged first to avoid aliasing.
        """
        cv2 = require("cv2")
        corners = self.to_frame(np.array([[0.0, 0.0], [view, 0.0], [0.0, view], [view, view]]), view)
        x1, y1 = np.floor(corners.min(axis=0)).astype(int)
        x2, y2 = np.ceil(corners.max(axis=0)).astype(int)
        left, top = max(0, x1), max(0, y1)
        part = rgb[top : max(0, y2), left : max(0, x2)]
        if not part.size:
            return np.zeros((view, view, 3), np.float32)
        shrink = max(1.0, self.side / view)
        if shrink > 1:
            size = max(1, round(part.shape[1] / shrink)), max(1, round(part.shape[0] / shrink))
            kx, ky = size[0] / part.shape[1], size[1] / part.shape[0]
            part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        else:
            kx = ky = 1.0
        # Here pixel centres have half-integer coordinates; in OpenCV they have integer ones.
        anchors = np.array([[0.5, 0.5], [view - 0.5, 0.5], [0.5, view - 0.5]])
        source = (self.to_frame(anchors, view) - np.array([left, top])) * np.array([kx, ky]) - 0.5
        matrix = cv2.getAffineTransform((anchors - 0.5).astype(np.float32), source.astype(np.float32))
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        seen: NDArray[np.uint8] = cv2.warpAffine(part, matrix, (view, view), flags=flags)
        return seen.astype(np.float32) / np.float32(255)


def tiled(size: Size, levels: Sequence[int]) -> Iterator[Square]:
    """Square tiles that cover a frame. Each level is the number of tiles along the longer side; along the other side
    there are as many as needed. Neighbours overlap by at least :data:`OVERLAP` of their side."""
    for count in levels:
        side = max(size.width, size.height) / (count - (count - 1) * OVERLAP)
        for y in _centres(size.height, side):
            for x in _centres(size.width, side):
                yield Square(x, y, side)


def _centres(length: int, side: float) -> list[float]:
    if side >= length:
        return [length / 2]
    count = math.ceil((length - side * OVERLAP) / (side * (1 - OVERLAP)) - 1e-9)
    return [float(at) for at in np.linspace(side / 2, length - side / 2, count)]
