"""How a long run reports its progress, and how it is stopped.

Each interface (command line, web page, nodes) draws progress in its own way; the library only calls back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from redetail.errors import Cancelled

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """One report: ``done`` of ``total`` (0: not known) are finished in the pass ``stage``, counted in ``unit``."""

    stage: str
    done: float
    total: float
    unit: str = "frames"


ProgressCallback = Callable[[Progress], None]


def duration(seconds: float) -> str:
    """Seconds in a form for people: ``7.0 s``, ``42 s``, ``3 min 5 s``, ``1 h 2 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(whole / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def no_progress(_: Progress) -> None:
    """The callback that draws nothing."""


class CancelToken:
    """A flag that another thread or a signal handler sets; a long run calls :meth:`check` at every step."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.checked = False
        """Whether a run that can be stopped between its steps has started."""
        self.stopped = False
        """Whether that run was told to stop and so is cleaning up."""

    def cancel(self) -> None:
        """Ask the run to stop at its next check."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether a stop was requested."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise :class:`~redetail.errors.Cancelled` if a stop was requested."""
        self.checked = True
        if self._event.is_set():
            self.stopped = True
            raise Cancelled("Stopped on request.")


def with_progress(
    items: Iterable[T],
    total: int,
    stage: str,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Iterator[T]:
    """Yield the same items, reporting progress and checking for cancellation at each; ``total`` may be an estimate."""
    progress(Progress(stage, 0, total))
    done = 0
    for item in items:
        if cancel is not None:
            cancel.check()
        yield item
        done += 1
        progress(Progress(stage, done, max(total, done)))
    progress(Progress(stage, done, done))
