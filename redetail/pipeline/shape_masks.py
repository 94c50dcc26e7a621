"""Makes masks of a moving subject from shapes that move with its box: fills gaps and smooths over time."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from redetail.detection.shapes import GRID, Picture, square_of
from redetail.optional import require
from redetail.region import Box, Region

WEIGHTS = (1.0, 4.0, 6.0, 4.0, 1.0)
"""Weights of the five neighbouring shapes whose mean becomes a mask, since a segmenter's outline varies between
frames."""


class PackedShapes:
    """Shapes (GRID, GRID) 0..1 of consecutive frames, compressed; None for frames without a shape."""

    def __init__(self, seen: Sequence[bytes | None] = ()) -> None:
        self._seen = list(seen)

    def add(self, shape: Picture | None) -> None:
        """Add the shape of the next frame."""
        levels = None if shape is None else np.rint(shape * 255).astype(np.uint8).tobytes()
        self._seen.append(None if levels is None else zlib.compress(levels, 1))

    def __len__(self) -> int:
        return len(self._seen)

    @property
    def share_seen(self) -> float:
        """Share of the frames with a shape, 0..1."""
        return sum(one is not None for one in self._seen) / max(1, len(self._seen))

    def filled(self) -> PackedShapes:
        """The same shapes, with gaps filled by the nearest shape in time; at least one frame must have a shape."""
        known = np.flatnonzero([one is not None for one in self._seen])
        nearest = known[np.abs(known[None] - np.arange(len(self))[:, None]).argmin(axis=1)]
        return PackedShapes([self._seen[index] for index in nearest])

    def mean(self, index: int) -> Picture:
        """The shape in a frame, averaged with those of its neighbours; no shape may be missing."""
        total, weight = np.zeros((GRID, GRID), np.float32), 0.0
        for offset, share in enumerate(WEIGHTS, index - len(WEIGHTS) // 2):
            if 0 <= offset < len(self):
                total += share * self._levels(offset)
                weight += share
        return total / np.float32(255 * weight)

    def between(self, start: int, stop: int) -> PackedShapes:
        """The shapes of frames ``start`` to ``stop``."""
        return PackedShapes(self._seen[start:stop])

    def _levels(self, index: int) -> NDArray[np.uint8]:
        packed = self._seen[index]
        assert packed is not None, "filled() leaves no gap"
        return np.frombuffer(zlib.decompress(packed), np.uint8).reshape(GRID, GRID)


class ShapeMasks(Sequence[NDArray[np.uint8]]):
    """Masks (h, w) uint8 of a region's window, made from the shapes around its box when they are read."""

    def __init__(self, region: Region, shapes: PackedShapes, reach: float, frames: range | None = None) -> None:
        self._region, self._shapes, self._reach = region, shapes, reach
        self._frames = range(len(region)) if frames is None else frames

    def __len__(self) -> int:
        return len(self._frames)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...

    @overload
    def __getitem__(self, index: slice) -> ShapeMasks: ...

    def __getitem__(self, index: int | slice) -> NDArray[np.uint8] | ShapeMasks:
        if isinstance(index, slice):
            return ShapeMasks(self._region, self._shapes, self._reach, self._frames[index])
        frame = self._frames[index]
        window = self._region.window(frame)
        return _placed(self._shapes.mean(frame), self._region.box(frame), self._reach, window)


def _placed(shape: Picture, box: Box, reach: float, window: Box) -> NDArray[np.uint8]:
    """A shape scaled bilinearly to the pixels of a window; it is blurred first if it is made smaller."""
    cv2 = require("cv2")
    square = square_of(box, reach)
    if square.side < GRID:  # blurred over the area that a pixel of the frame covers
        shape = cv2.GaussianBlur(shape, (0, 0), 0.5 * GRID / square.side)
    scale = square.side / GRID
    left, top = square.x - square.side / 2 - window.x1, square.y - square.side / 2 - window.y1
    # Here the centres of pixels have half-integer coordinates; in OpenCV they have integer ones.
    matrix = np.array([[scale, 0, left + (scale - 1) / 2], [0, scale, top + (scale - 1) / 2]])
    size = round(window.width), round(window.height)
    mask = cv2.warpAffine(shape, matrix, size, flags=cv2.INTER_LINEAR)
    levels: NDArray[np.uint8] = np.rint(np.clip(mask, 0, 1) * 255).astype(np.uint8)
    return levels
