"""Processes several pictures at once, in their order, and lets the steps of a pass overlap."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from threading import Lock
from typing import Any, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

WAITING = 2
"""Items that wait between two overlapping steps: few, since a frame can take 30 MB, but enough to keep both busy."""
_MOST_THREADS = 4


def picture_threads() -> int:
    """How many pictures are worth processing at once."""
    return max(1, min(_MOST_THREADS, os.cpu_count() or 1))


def ahead(items: Iterable[_Item], waiting: int = WAITING) -> Iterator[_Item]:
    """The same items, each made in another thread while the previous one is processed; at most ``waiting`` are ready.

    An error from making an item is raised in its place. When this iterator is closed, that of the items is closed, too.
    """
    source, end = iter(items), object()
    # Ctrl-C while a thread starts leaves one that the pool does not know, so shutting down does not wait for it.
    making = Lock()

    def make() -> Any:
        with making:
            return next(source, end)

    with ThreadPoolExecutor(1, "redetail-ahead") as pool:
        try:
            made: deque[Future[Any]] = deque(pool.submit(make) for _ in range(waiting))
            while (item := made.popleft().result()) is not end:
                made.append(pool.submit(make))
                yield item
        finally:
            pool.shutdown(cancel_futures=True)
            close = getattr(source, "close", None)
            if close is not None:
                with making:
                    close()


@contextmanager
def behind(function: Callable[[_Item], object], waiting: int = WAITING) -> Iterator[Callable[[_Item], None]]:
    """The same function, called in another thread while the caller continues; ``waiting`` items at most wait for it.

    Calls are made in order, one at a time. An error in one is raised by a later call or at the end, and the calls after
    it are not made; after an error in the caller, waiting calls are dropped.
    """
    with ThreadPoolExecutor(1, "redetail-behind") as pool:
        calls: deque[Future[None]] = deque()
        over, calling = False, Lock()  # as in `ahead`: the pool may not know its thread

        def call(item: _Item) -> None:
            nonlocal over
            with calling:
                if over:
                    return
                try:
                    function(item)
                except BaseException:
                    over = True
                    raise

        def later(item: _Item) -> None:
            while calls and (len(calls) >= waiting or calls[0].done()):
                calls.popleft().result()
            calls.append(pool.submit(call, item))

        try:
            yield later
            while calls:
                calls.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
            with calling:
                over = True


def in_order(function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int) -> Iterator[_Result]:
    """The results of ``function`` for every item, in order; up to ``threads`` items are processed at once, in advance.

    This is for functions that mostly run without Python's global lock, such as those of OpenCV and NumPy. At most
    ``threads`` results wait to be taken, so that memory does not grow with the number of items. With one thread, each
    item is processed when it is requested. An error in a call is raised in its place, and the remaining items are
    dropped, as they are when the iterator is closed.
    """
    if threads < 2:
        yield from map(function, items)
        return
    waiting = iter(items)
    with ThreadPoolExecutor(threads, "redetail-pictures") as pool:
        try:
            started: deque[Future[_Result]] = deque(pool.submit(function, item) for item in islice(waiting, threads))
            while started:
                result = started.popleft().result()
                started.extend(pool.submit(function, item) for item in islice(waiting, 1))
                yield result
        finally:
            pool.shutdown(cancel_futures=True)
