"""Frame sources and sinks: what the pipeline knows of video.

A source can be read more than once (each pass decodes again, so that no pass has to keep frames), and a sink
appears under its final name only when it was closed without an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from redetail.region import Size

RGB = NDArray[np.uint8] | NDArray[np.uint16]
"""(H, W, 3) upright picture: uint8 0..255, or uint16 0..65535 for sources of more than 8 bits."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture. ``pts`` counts in the source's time base (None where the container has none)."""

    index: int
    pts: int | None
    pixels: RGB


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoInfo:
    """What is known of a source before it is decoded. ``size`` is upright: rotation is already honoured.

    ``frames`` is an estimate for progress bars (0: unknown); ``rate`` is the average in frames a second.
    ``notices`` are sentences for the user: what of the source cannot be kept (alpha, for one).
    """

    size: Size
    rate: Fraction
    time_base: Fraction
    frames: int
    bit_depth: int
    has_audio: bool = False
    notices: tuple[str, ...] = ()


class FrameSource(Protocol):
    """Frames that can be read again and again."""

    @property
    def info(self) -> VideoInfo:
        """What is known before decoding."""
        ...

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Frames start (included) to stop (excluded) in display order; each call begins anew."""
        ...


class FrameSink(Protocol):
    """Takes frames in order; used as a context manager. Leaving it on an error removes what was written."""

    def write(self, frame: Frame) -> None:
        """Append a frame of the source's size and depth, with its source's pts."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
