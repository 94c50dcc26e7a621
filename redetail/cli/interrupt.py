"""Ctrl-C and other signals to stop: the first one lets the current step finish, the second one stops at once."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from redetail.progress import CancelToken
from redetail.uninterrupted import SIGNALS

MESSAGE = "Stopping after this step; press Ctrl-C again to stop at once.\n"


def end_quietly() -> None:
    """Let a signal before or after the work end this process at once, without a Python traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def stop_on_signal() -> Iterator[CancelToken]:
    """A token that Ctrl-C (SIGINT), SIGTERM or SIGHUP cancels; earlier handlers are restored at the end.

    Work starts when the token is first checked. Before that there is no step to finish, so the first signal stops at
    once, even while a job or a list of segments is being read from a silent pipe. A second signal raises
    KeyboardInterrupt, so that temporary files are still removed. A signal during this removal is ignored; the next one
    ends the process immediately.
    """
    token = CancelToken()

    def handle(handler: Any) -> None:
        for each in SIGNALS:
            signal.signal(each, handler)

    def first(number: int, _: FrameType | None) -> None:
        token.cancel()
        if not token.checked:
            interrupt()
        handle(second)
        with suppress(RuntimeError, OSError):  # the signal came in the middle of a message
            sys.stderr.write(MESSAGE)

    def second(number: int, _: FrameType | None) -> None:
        if token.stopped:
            handle(signal.SIG_DFL)
        else:
            interrupt()

    def interrupt() -> NoReturn:
        handle(lambda *_: handle(signal.SIG_DFL))
        raise KeyboardInterrupt

    before = {number: signal.signal(number, first) for number in SIGNALS}
    try:
        yield token
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
