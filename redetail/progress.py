"""How long work reports where it is, and how it is stopped.

Every interface (command line, web page, node) draws progress in its own way: the library only calls back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from redetail.errors import Cancelled


@dataclass(frozen=True, slots=True)
class Progress:
    """One report: ``done`` of ``total`` ``unit`` of the named pass are finished (total 0: not known)."""

    stage: str
    done: float
    total: float
    unit: str = "frames"


ProgressCallback = Callable[[Progress], None]


def no_progress(_: Progress) -> None:
    """The callback that draws nothing."""


class CancelToken:
    """A flag that another thread or a signal handler sets; long work calls :meth:`check` at every step."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the work to stop at its next check."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked to stop."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise :class:`~redetail.errors.Cancelled` if somebody asked to stop."""
        if self._event.is_set():
            raise Cancelled("Stopped on request.")
