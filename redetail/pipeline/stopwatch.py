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
        """0 where no time was measured."""
        return self.frames / self.seconds if self.seconds else 0.0

    def to_document(self) -> dict[str, float]:
        """As docs/report.md describes it."""
        return {"seconds": round(self.seconds, 3), "frames_per_second": round(self.frames_per_second, 2)}


class Stopwatch:
    """Seconds spent in each pass, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time spent in the context to the pass ``name``."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def passes(self, frames: int) -> dict[str, PassTime]:
        """The time of each pass over so many frames."""
        return {name: PassTime(seconds, frames) for name, seconds in self.seconds.items()}
