"""Ctrl-C: the first one lets the current step finish, the second one stops at once."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from redetail.progress import CancelToken

MESSAGE = "Stopping after this step; Ctrl-C again stops at once.\n"


@contextmanager
def stop_on_signal() -> Iterator[CancelToken]:
    """A token that Ctrl-C (SIGINT) or SIGTERM cancels; what was set for these signals before is restored at the end.

    A second signal raises KeyboardInterrupt, so that temporary files are still removed; a third one ends the
    process wherever it is.
    """
    token = CancelToken()

    def first(number: int, _: FrameType | None) -> None:
        token.cancel()
        sys.stderr.write(MESSAGE)
        signal.signal(number, second)

    def second(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, first) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield token
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
