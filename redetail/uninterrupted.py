"""Steps that Ctrl-C must not divide: taking a name, making a temporary file, removing one."""

from __future__ import annotations

import signal
from collections.abc import Callable
from threading import current_thread, main_thread
from types import FrameType
from typing import Any, TypeVar

_Result = TypeVar("_Result")

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))
"""Those that stop a program on this system: Windows has no SIGHUP, and SIGBREAK in its place."""


def uninterrupted(action: Callable[[], _Result]) -> _Result:
    """What ``action`` returns or raises. Signals that stop the program wait until it has ended.

    They interrupt the main thread alone: in another one this merely calls the action.
    """
    if current_thread() is not main_thread():
        return action()
    waiting: list[int] = []
    handlers: dict[int, Any] = {}

    def wait(number: int, _: FrameType | None) -> None:
        waiting.append(number)

    try:
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if handler is not None:  # None: set by other than Python, which could not set it again
                handlers[number] = handler
                signal.signal(number, wait)
        return action()
    finally:
        _restore(handlers)
        for number in waiting:
            signal.raise_signal(number)


def _restore(handlers: dict[int, Any]) -> None:
    """Set handlers again, those of the last signals first, even if the handler of one is called meanwhile."""
    try:
        while handlers:
            number = next(reversed(handlers))
            signal.signal(number, handlers[number])
            del handlers[number]
    finally:
        if handlers:
            _restore(handlers)
