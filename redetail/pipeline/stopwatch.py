"""Seconds spent in each pass."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class PassTime:
    """How long a pass over ``frames`` took."""

    seconds: float
    frames: int

    @property
    def frames_per_second(self) -> float:
        """The speed of the pass; 0 if no time was measured."""
        return self.frames / self.seconds if self.seconds else 0.0

    def to_document(self) -> dict[str, float]:
        """The document that docs/report.md describes."""
        return {"seconds": round(self.seconds, 3), "frames_per_second": round(self.frames_per_second, 2)}


class Stopwatch:
    """Seconds spent in each pass, by name; passes can be nested, and time counts only for the innermost pass."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._running: list[str] = []
        self._since = 0.0

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time spent in the context to the pass ``name``."""
        self._count()
        self._running.append(name)
        self.seconds.setdefault(name, 0.0)
        try:
            yield
        finally:
            self._count()
            self._running.pop()

    def passes(self, frames: int) -> dict[str, PassTime]:
        """The time of each pass over this many frames."""
        return {name: PassTime(seconds, frames) for name, seconds in self.seconds.items()}

    def _count(self) -> None:
        """Add the time since the last change to the pass that is running."""
        now = time.perf_counter()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now
