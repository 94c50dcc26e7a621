"""Frames that are already in memory."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from redetail.errors import InputError
from redetail.region import Size
from redetail.video.base import RGB, Frame, VideoInfo
from redetail.video.glimpse import Glimpse
from redetail.video.timing import even_index


class ArraySource:
    """Frames of an array; satisfies ``FrameSource``. The time base is one frame."""

    def __init__(self, frames: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.floating], rate: Fraction) -> None:
        self._frames = _checked(frames)
        self._info = VideoInfo(
            size=Size(frames.shape[2], frames.shape[1]),
            rate=rate,
            time_base=1 / rate,
            frames=len(frames),
            bit_depth=16 if frames.dtype == np.uint16 else 8,
        )

    @property
    def info(self) -> VideoInfo:
        """What is known about the frames."""
        return self._info

    @property
    def faults(self) -> tuple[str, ...]:
        """Nothing: frames in memory are complete."""
        return ()

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Frames ``start`` to ``stop`` (excluded)."""
        for index in self.indices(start, stop):
            yield Frame(index, index, _as_pixels(self._frames[index], index), 1)

    def glimpses(self, start: int = 0, stop: int | None = None) -> Iterator[Glimpse]:
        """The same frames, with thumbnails."""
        return map(Glimpse.of, self.frames(start, stop))

    def indices(self, start: int = 0, stop: int | None = None) -> Iterator[int]:
        """The indices of these frames."""
        yield from range(*slice(start, stop).indices(len(self._frames)))

    def index_at(self, seconds: Fraction) -> int:
        """The first frame at ``seconds`` or later; the number of frames if none is."""
        return even_index(seconds, self.info.rate, self.info.frames)


def _checked(frames: NDArray[np.generic]) -> NDArray[np.generic]:
    if frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise InputError(
            "Frames must be an array of shape (frames, height, width, 3) with at least one frame, not an array of "
            f"shape {frames.shape}."
        )
    if frames.dtype not in (np.uint8, np.uint16) and not np.issubdtype(frames.dtype, np.floating):
        raise InputError(
            f"Frames must be uint8 (0..255), uint16 (0..65535) or floating point (0..1), not {frames.dtype}."
        )
    return frames


def _as_pixels(frame: NDArray[np.generic], index: int) -> RGB:
    """The frame as uint8 or uint16; floating point 0..1 is rounded to 8 bits."""
    if frame.dtype == np.uint8 or frame.dtype == np.uint16:
        return frame  # type: ignore[return-value]
    values = frame.astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError(
            f"Frame {index} contains values that are not finite (NaN or infinity); give values from 0 to 1."
        )
    low, high = float(values.min()), float(values.max())
    if low < -0.01 or high > 1.01:
        raise InputError(f"Frame {index} has floating-point values from {low:g} to {high:g}; scale them to 0..1.")
    return (values.clip(0, 1) * 255).round().astype(np.uint8)
