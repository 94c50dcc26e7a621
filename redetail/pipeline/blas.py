"""BLAS held to one thread while passes run, in any number of runs of one process.

Matrix products of the passes are small. On a busy machine a BLAS that splits them over threads waits for the slowest
one (measured: 60 times slower beside one other busy process); torch keeps its own threads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


class SharedLimit:
    """The number of threads belongs to the process: the first pass that runs sets it, the last one gives it back.

    If each pass restored what it found, two runs that overlap would leave the other's limit behind.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held = 0
        self._limits: threadpool_limits | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """One thread for BLAS until the context ends, in all threads."""
        with self._lock:
            self._held += 1
            if self._limits is None:
                self._limits = threadpool_limits(1, "blas")
        try:
            yield
        finally:
            with self._lock:
                self._held -= 1
                if not self._held and self._limits is not None:
                    self._limits.restore_original_limits()
                    self._limits = None


ONE_THREAD = SharedLimit()
