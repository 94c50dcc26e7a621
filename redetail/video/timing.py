"""Makes timestamps that an output can hold: whole ticks, each later than the previous one."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TypeVar

_log = logging.getLogger(__name__)
DEFAULT_RATE = Fraction(24)
_Item = TypeVar("_Item")


def step_of(rate: Fraction, time_base: Fraction) -> int:
    """Ticks of one frame at the average rate, at least 1."""
    return max(1, round(1 / (rate * time_base)))


def even_index(seconds: Fraction, rate: Fraction, frames: int) -> int:
    """The first of ``frames`` evenly spaced frames that is shown at or after ``seconds``; ``frames`` if there is
    none."""
    return min(frames, max(0, math.ceil(seconds * rate)))


def with_next(items: Iterable[_Item]) -> Iterator[tuple[_Item, _Item | None]]:
    """Each item together with the one after it (None after the last)."""
    iterator = iter(items)
    held = next(iterator, None)
    while held is not None:
        following = next(iterator, None)
        yield held, following
        held = following


class Clock:
    """Passes timestamps on unchanged; if one is missing or not later than the last, it continues by one step.

    ``step``: ticks of a frame. Damaged and very old containers need this; an intact one is never changed.
    """

    def __init__(self, step: int, name: str) -> None:
        self._step, self._name = step, name
        self._last: int | None = None
        self._warned = False

    def __call__(self, pts: int | None) -> int:
        """The timestamp of the next frame, in ticks."""
        if pts is None or (self._last is not None and pts <= self._last):
            self._warn()
            pts = 0 if self._last is None else self._last + self._step
        self._last = pts
        return pts

    def _warn(self) -> None:
        if not self._warned:
            _log.warning("Missing or repeated timestamps of %s were replaced.", self._name)
        self._warned = True


def timecode(frame: int, rate: Fraction) -> str:
    """The time of a frame in a clip with evenly spaced frames, as players show it: 1:02.50."""
    seconds = float(frame / rate)
    return f"{int(seconds // 60)}:{seconds % 60:05.2f}"
