"""Work on many pictures at once, in the order of the pictures."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_order(function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int) -> Iterator[_Result]:
    """``function`` of every item, in order; ``threads`` items are worked on at once, started before they are asked for.

    For functions that spend their time where Python's lock is not held, as OpenCV's and NumPy's do. No more than
    ``threads`` results wait to be taken, so that memory does not grow with the number of items. With one thread each
    item is worked on when it is asked for. What a call raises is raised here, in its place, and the rest is given up,
    as it is when the iterator is closed.
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
