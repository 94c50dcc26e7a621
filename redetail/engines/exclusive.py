"""One request at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from redetail.progress import CancelToken

_SECONDS = 0.05  # between two checks of the cancel token of a waiting request


@contextmanager
def exclusive(lock: threading.Lock, cancel: CancelToken | None = None) -> Iterator[None]:
    """Hold ``lock``; raises :class:`~redetail.errors.Cancelled` if a stop is requested during the wait."""
    while not lock.acquire(timeout=_SECONDS):
        if cancel is not None:
            cancel.check()
    try:
        yield
    finally:
        lock.release()
