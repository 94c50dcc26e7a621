"""Seconds spent in each pass."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Seconds spent in each pass, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time spent in the context to the pass ``name``."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun

    def as_dict(self, frames: int) -> dict[str, dict[str, float]]:
        """Seconds and frames a second of each pass."""
        return {
            name: {"seconds": round(spent, 3), "frames_per_second": round(frames / spent, 2) if spent else 0.0}
            for name, spent in self.seconds.items()
        }
