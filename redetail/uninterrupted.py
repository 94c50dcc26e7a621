"""Steps that Ctrl-C must not divide: taking a name, making a temporary file, removing one."""

from __future__ import annotations

import signal
from collections.abc import Callable
from threading import current_thread, main_thread
from types import FrameType
from typing import Any, TypeVar

_Result = TypeVar("_Result")

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))
"""The signals that stop a program on this system: Windows has SIGBREAK instead of SIGHUP."""


def uninterrupted(action: Callable[[], _Result]) -> _Result:
    """What ``action`` returns or raises. Signals that stop the program wait until it has ended.

    Signals interrupt only the main thread; in another thread, this function only calls the action.
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
            if handler is not None:  # None: not set by Python, which therefore cannot restore it
                handlers[number] = handler
                signal.signal(number, wait)
        return action()
    finally:
        _restore(handlers)
        for number in waiting:
            signal.raise_signal(number)


def _restore(handlers: dict[int, Any]) -> None:
    """Restore handlers, those of the last signals first, even if one of them is called meanwhile."""
    try:
        while handlers:
            number = next(reversed(handlers))
            signal.signal(number, handlers[number])
            del handlers[number]
    finally:
        if handlers:
            _restore(handlers)
