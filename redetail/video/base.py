"""Frame sources and sinks: everything that the pipeline knows about video.

A source can be read more than once: each pass decodes it again, so that no pass has to keep frames. A sink's file gets
its final name only after the sink is closed without an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from redetail.region import Size

if TYPE_CHECKING:
    from redetail.video.glimpse import Glimpse

RGB = NDArray[np.uint8] | NDArray[np.uint16]
"""(H, W, 3) upright picture: uint8 0..255, or uint16 0..65535 for sources with more than 8 bits."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture.

    ``pts`` is in units of the source's time base and increases from frame to frame (None: one step of the average rate
    after the previous frame). ``duration`` is how long the frame is shown, in the same unit, if it is known. ``native``
    is the decoded frame that the pixels come from; a sink writes its samples wherever the pixels did not change.
    """

    index: int
    pts: int | None
    pixels: RGB
    duration: int | None = None
    native: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Color:
    """How a stream declares its colours, as code points of ITU-T H.273; 2 if it declares nothing.

    ``matrix`` is 0 for RGB, 1 for BT.709, 5 and 6 for BT.601, 9 for BT.2020; ``range`` is 1 for limited, 2 for full, 0
    if undeclared.
    """

    matrix: int = 2
    primaries: int = 2
    transfer: int = 2
    range: int = 0


@dataclass(frozen=True, slots=True)
class Hdr:
    """HDR10 metadata; a part that is not declared is empty.

    ``display``: x and y of red, green, blue and white on the mastering display, then its darkest and brightest
    luminance in cd/m2; ``levels``: the brightest pixel and the brightest frame average, in cd/m2.
    """

    display: tuple[Fraction, ...]
    levels: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoInfo:
    """What is known about a source before it is decoded. ``size`` is upright, with rotation applied.

    ``frames`` is an estimate for progress bars (0: unknown); ``rate`` is the average in frames per second. ``notices``
    are messages for the user about what cannot be kept (alpha, for example). ``chroma`` is the source's chroma sampling
    ("420", "422", "444", or "rgb" if there is no matrix); ``pixel_format`` is FFmpeg's name of the format that holds
    the upright samples unchanged (empty if that is RGB with ``bit_depth`` bits); ``siting`` says where the decoder
    places shared chroma samples ("left", "center", "top", "bottom"; empty: not known); ``bits_per_pixel`` is the bit
    rate per pixel, converted to what H.264 would need (0: not known); ``hdr`` is the HDR10 metadata; ``pixel_aspect``
    is the width of an upright pixel divided by its height; ``path`` is the file or folder that the frames come from
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
    """Frames that can be read any number of times."""

    @property
    def info(self) -> VideoInfo:
        """What is known before the frames are decoded."""
        ...

    @property
    def faults(self) -> tuple[str, ...]:
        """Messages about what was found missing or damaged so far; none for an intact source."""
        ...

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Frames start (included) to stop (excluded) in display order; each call starts from the beginning."""
        ...

    def glimpses(self, start: int = 0, stop: int | None = None) -> Iterator[Glimpse]:
        """The same frames, for readers that need the pixels of only a few of them."""
        ...

    def indices(self, start: int = 0, stop: int | None = None) -> Iterator[int]:
        """The index of each frame that :meth:`frames` would give, without the cost of its pixels."""
        ...

    def index_at(self, seconds: Fraction) -> int:
        """The first frame that is shown at or after ``seconds`` from the start; the number of frames if there is
        none."""
        ...


class FrameSink(Protocol):
    """Takes frames in order; used as a context manager. If the context ends with an error, what was written is
    removed."""

    @property
    def notices(self) -> tuple[str, ...]:
        """Messages for the user about what the output cannot hold. Complete once the sink is open."""
        ...

    @property
    def faults(self) -> tuple[str, ...]:
        """Messages about damage in the source's other streams. Complete once the sink is closed."""
        ...

    def write(self, frame: Frame) -> None:
        """Append a frame of the source's size and depth, with its source's pts."""
        ...

    def finish(self) -> None:
        """Complete the file on disk, still under its hidden name.

        Leaving the context without an error does this too, and then gives the file its final name.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
