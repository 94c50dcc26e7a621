"""Applies the rotation and mirroring that a container requests (the display matrix) to pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from redetail.region import Size
from redetail.video.base import RGB

_Picture = TypeVar("_Picture", NDArray[np.uint8], NDArray[np.uint16], RGB)


@dataclass(frozen=True, slots=True)
class Orientation:
    """Quarter turns counter-clockwise (0..3), after a left-right mirroring if ``mirrored``."""

    turns: int = 0
    mirrored: bool = False

    def upright(self, pixels: _Picture) -> _Picture:
        """The picture as it is meant to be seen, contiguous."""
        if self.mirrored:
            pixels = pixels[:, ::-1]
        turned: _Picture = np.ascontiguousarray(np.rot90(pixels, self.turns))  # type: ignore[assignment]
        return turned

    def size(self, width: int, height: int) -> Size:
        """Size of the upright picture."""
        return Size(height, width) if self.turns % 2 else Size(width, height)


def orientation_of(frame: VideoFrame) -> tuple[Orientation, bool]:
    """How to turn a decoded frame, and whether that is exact (angles between quarter turns are ignored)."""
    matrix = _display_matrix(frame)
    if matrix is None:
        return Orientation(round(frame.rotation / 90) % 4), frame.rotation % 90 == 0
    a, b, c, d = (float(value) for value in (matrix[0], matrix[1], matrix[3], matrix[4]))
    # Stored point (x, y) is shown at (a x + c y, b x + d y): a negative determinant is a mirroring.
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    angle = float(np.degrees(np.arctan2(-b, a)))  # y grows downwards, so counter-clockwise is minus b
    turns = round(angle / 90)
    return Orientation(turns % 4, mirrored), abs(angle - 90 * turns) < 1


def _display_matrix(frame: VideoFrame) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]] | None:
    """The nine fixed-point numbers, or None if there are none (or PyAV does not know a neighbour's type)."""
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        return None
    return None if data is None else np.frombuffer(bytes(data), np.int32)  # type: ignore[call-overload]
