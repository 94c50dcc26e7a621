"""Frame sources and sinks: everything that the pipeline knows about video.

A source can be read more than once (each pass decodes again, so that no pass has to keep frames), and a sink's file
gets its final name only after it was closed without an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from redetail.region import Size

RGB = NDArray[np.uint8] | NDArray[np.uint16]
"""(H, W, 3) upright picture: uint8 0..255, or uint16 0..65535 for sources of more than 8 bits."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture.

    ``pts`` counts in the source's time base and increases from frame to frame (None: one step of the average rate after
    the frame before). ``duration`` is how long it stays, in the same unit, where that is known. ``native`` is the
    decoded frame that the pixels come from, which a sink passes on wherever the pixels did not change.
    """

    index: int
    pts: int | None
    pixels: RGB
    duration: int | None = None
    native: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Color:
    """How a stream declares its colours: code points of ITU-T H.273, 2 where it declares nothing.

    ``matrix`` 0 is RGB, 1 BT.709, 5 and 6 BT.601, 9 BT.2020; ``range`` is 1 for limited, 2 for full, 0 if undeclared.
    """

    matrix: int = 2
    primaries: int = 2
    transfer: int = 2
    range: int = 0


@dataclass(frozen=True, slots=True)
class Hdr:
    """HDR10 metadata; a part that is not declared is empty.

    ``display``: x and y of red, green, blue and white of the mastering display, then its darkest and its brightest
    luminance in cd/m2; ``levels``: the brightest pixel and the brightest average of a frame, in cd/m2.
    """

    display: tuple[Fraction, ...]
    levels: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoInfo:
    """What is known of a source before it is decoded. ``size`` is upright, with rotation applied.

    ``frames`` is an estimate for progress bars (0: unknown); ``rate`` is the average in frames a second.
    ``notices`` are sentences for the user about what cannot be kept (alpha, for example). ``chroma`` is the
    sampling of the source's colours ("420", "422", "444", or "rgb" where there is no matrix), ``pixel_format`` what
    holds its upright samples without a change (FFmpeg's name; empty where that is RGB of ``bit_depth`` bits),
    ``siting`` where its decoder takes shared chroma to lie ("left", "center", "top", "bottom", or empty: not known),
    ``bits_per_pixel`` how finely it is coded (as H.264 would be; 0: not known), ``hdr`` its HDR10 metadata,
    ``pixel_aspect`` the width of an upright pixel over its height, ``path`` the file or folder the frames come from
    (None: arrays).
    """

    size: Size
    rate: Fraction
    time_base: Fraction
    frames: int
    bit_depth: int
    has_audio: bool = False
    notices: tuple[str, ...] = ()
    color: Color = field(default_factory=Color)
    chroma: str = "rgb"
    pixel_format: str = ""
    siting: str = ""
    bits_per_pixel: float = 0.0
    hdr: Hdr | None = None
    pixel_aspect: Fraction = Fraction(1)
    path: Path | None = None


class FrameSource(Protocol):
    """Frames that can be read again and again."""

    @property
    def info(self) -> VideoInfo:
        """What is known before decoding."""
        ...

    @property
    def faults(self) -> tuple[str, ...]:
        """Sentences about what the passes so far found missing or damaged; an intact source has none."""
        ...

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Frames start (included) to stop (excluded) in display order; each call starts over."""
        ...

    def indices(self, start: int = 0, stop: int | None = None) -> Iterator[int]:
        """The index of each frame that :meth:`frames` would give, without the cost of their pixels."""
        ...

    def index_at(self, seconds: Fraction) -> int:
        """The first frame that is shown ``seconds`` after the first one or later; the number of frames if none is."""
        ...


class FrameSink(Protocol):
    """Takes frames in order; used as a context manager. Leaving it on an error removes what was written."""

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences for the user about what the output cannot hold. Complete once the sink is open."""
        ...

    @property
    def faults(self) -> tuple[str, ...]:
        """Sentences about damage in the source's other streams. Complete once the sink is closed."""
        ...

    def write(self, frame: Frame) -> None:
        """Append a frame of the source's size and depth, with its source's pts."""
        ...

    def finish(self) -> None:
        """Complete what was written under its hidden name, on disk.

        Leaving the context without an error does this too, and then gives the file its name.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
