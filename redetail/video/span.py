"""``Span``: a part of a clip between two positions, given as seconds, clock time or a frame's number."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeVar

from redetail.documents import shown
from redetail.errors import InputError, SettingsError
from redetail.video.base import Frame, FrameSource, VideoInfo
from redetail.video.glimpse import Glimpse

_T = TypeVar("_T", Frame, Glimpse, int)
Position = float | int | str
FURTHEST = 10**9
"""Most seconds (thirty years) or frames."""
NEAREST = 1e-9
"""Positions up to this many seconds count as the beginning."""
LONGEST = 40
"""Most characters of a position."""
_CLOCK = re.compile(r"(?:(?P<hours>\d+):)?(?P<minutes>\d+):(?P<seconds>\d+(?:\.\d*)?)")


@dataclass(frozen=True)
class _Mark:
    """A position: seconds after the first frame, or a frame's index."""

    seconds: Fraction | None
    frame: int | None

    def index(self, source: FrameSource) -> int:
        """The frame's index in a source; the number of frames or more if there is no such frame."""
        return self.frame if self.frame is not None else source.index_at(self.seconds or Fraction(0))

    def estimate(self, rate: Fraction) -> int:
        """The frame's index if all frames were equally long."""
        return self.frame if self.frame is not None else math.ceil((self.seconds or 0) * rate)


@dataclass(frozen=True)
class Span:
    """A part of a clip, from ``start`` up to but not including ``end``; None is the clip's own start or end.

    Positions are times after the first frame (``2.5``, ``"2.5"`` or ``"1:02:03.5"``), or frames counted from 0
    (``"120f"``). Raises :class:`~redetail.errors.SettingsError` for anything else, and if the end is not after the
    start.
    """

    start: Position | None = None
    end: Position | None = None
    _first: _Mark = field(init=False, repr=False, compare=False)
    _last: _Mark | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_first", _mark("start", 0 if self.start is None else self.start))
        object.__setattr__(self, "_last", None if self.end is None else _mark("end", self.end))
        if self._last is not None and self._ends_first(self._last):
            raise SettingsError(f"The end ({self.end}) must come after the start ({self.start or 0}).")

    @property
    def whole(self) -> bool:
        """Whether it is the whole clip."""
        return self._last is None and not self._first.frame and not self._first.seconds

    def estimated_frames(self, info: VideoInfo) -> int:
        """About how many frames the part has, for progress bars; 0 if not known."""
        last = info.frames
        if self._last is not None:
            end = self._last.estimate(info.rate)
            last = min(end, last) if last else end
        return max(0, last - self._first.estimate(info.rate))

    def select(self, source: FrameSource) -> Iterator[Frame]:
        """The frames of the part, by their own timestamps; raises InputError if there are none."""
        return self._filled(source.frames(*self._ends(source)))

    def glimpses(self, source: FrameSource) -> Iterator[Glimpse]:
        """The same frames, for readers that need the pixels of only a few of them."""
        return self._filled(source.glimpses(*self._ends(source)))

    def indices(self, source: FrameSource) -> Iterator[int]:
        """The index of each of these frames, without the cost of their pixels."""
        return self._filled(source.indices(*self._ends(source)))

    def _ends(self, source: FrameSource) -> tuple[int, int | None]:
        return self._first.index(source), None if self._last is None else self._last.index(source)

    def _filled(self, frames: Iterator[_T]) -> Iterator[_T]:
        """The same frames; raises InputError if there are none."""
        first = next(frames, None)
        if first is None:
            end = "the clip's end" if self.end is None else f"end {self.end}"
            raise InputError(
                f"There is no frame between start {self.start or 0} and {end}; choose a range inside the clip."
            )
        yield first
        yield from frames

    def _ends_first(self, end: _Mark) -> bool:
        if end.frame is not None and self._first.frame is not None:
            return end.frame <= self._first.frame
        if end.seconds is not None and self._first.seconds is not None:
            return end.seconds <= self._first.seconds
        return end.frame == 0


def index_of(name: str, position: Position, source: FrameSource) -> int:
    """Index of the first frame at or after a position; the message about an invalid position starts with ``name``."""
    return _mark(name, position).index(source)


def check_position(name: str, position: Position) -> None:
    """Raise :class:`~redetail.errors.SettingsError` for anything but a position."""
    _mark(name, position)


def _mark(name: str, position: Position) -> _Mark:
    mark = None if isinstance(position, int) and abs(position) > FURTHEST else _parsed(str(position).strip())
    if mark is None or max(mark.seconds or 0, mark.frame or 0) > FURTHEST:
        raise SettingsError(
            f"{name} is {shown(position)}; give seconds (2.5), a "
            "clock time (1:02:03.5) or a frame (120f), counted from the beginning."
        )
    return mark


def _parsed(text: str) -> _Mark | None:
    """The position that a text gives; None if it is not one."""
    if len(text) > LONGEST:
        return None
    if re.fullmatch(r"\d+f", text):
        return _Mark(None, int(text[:-1]))
    clock = _CLOCK.fullmatch(text)
    if clock:
        minutes = int(clock["hours"] or 0) * 60 + int(clock["minutes"])
        return _Mark(minutes * 60 + Fraction(clock["seconds"].rstrip(".")), None)
    try:
        value = float(text)
    except ValueError:
        return None
    if not 0 <= value <= FURTHEST:
        return None
    # Exactly 0.4, not the nearest binary number above it; a fraction for 1e-99999999 would fill the memory.
    return _Mark(Fraction(text) if value > NEAREST else Fraction(0), None)
