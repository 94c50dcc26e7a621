"""Decoded pictures that stay in memory, so that a short clip is decoded only once, however often it is read."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing

from av import VideoFrame

from redetail.machine import give_back_memory

Passed = tuple[int, int | None, VideoFrame, int | None]
"""Index, timestamp, picture and duration of a frame."""


class KeptPictures:
    """The pictures of one pass over a file, if that pass was read to its end and they take at most ``limit`` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pictures: list[Passed] = []
        self._start = 0
        self._stop: int | None = None

    def within(self, start: int, stop: int | None) -> list[Passed] | None:
        """Frames ``start`` to ``stop`` (None: to the end of the clip); None if they were not all kept."""
        ends_later = self._stop is not None and (stop is None or stop > self._stop)
        if not self._pictures or start < self._start or ends_later:
            return None
        return [one for one in self._pictures if start <= one[0] and (stop is None or one[0] < stop)]

    def keep(self, passing: Generator[Passed, None, None], start: int, stop: int | None) -> Iterator[Passed]:
        """The same frames, kept as they pass."""
        kept, left = list[Passed](), self._limit
        with closing(passing):
            for one in passing:
                left -= sum(plane.buffer_size for plane in one[2].planes)
                if left >= 0:
                    kept.append(one)
                elif kept:
                    kept.clear()
                    give_back_memory()  # many small blocks, which the C library would keep
                yield one
        if left >= 0:
            self._pictures, self._start, self._stop = kept, start, stop
        else:
            self._limit = 0  # another pass would fill the memory only to find that out again
