"""Limits BLAS to one thread while passes run, for any number of runs in one process.

The passes have only small matrix products. On a busy machine, a BLAS that splits them over threads waits for the
slowest thread (measured: 60 times slower next to one other busy process). Torch keeps its own threads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


class SharedLimit:
    """The limit that all passes of the process share: the first pass to start sets it, the last pass to end lifts it.

    If each pass restored the number of threads that it found, two overlapping runs could leave the limit behind.
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
