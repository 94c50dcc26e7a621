"""Makes standard output and error safe to write to when they are closed, full, without a reader, or in another
encoding."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, TextIO

from redetail.cli.display import STDERR, STDOUT, mute


class Lenient:
    """A stream that is written to as long as that works; after an error, output is discarded."""

    def __init__(self, stream: TextIO, descriptor: int) -> None:
        self._stream, self._descriptor = stream, descriptor

    def write(self, text: str) -> int:
        """Write at once, so that an error shows here and not when the process ends."""
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # no space, no reader, closed
            self._mute()
        return len(text)

    def flush(self) -> None:
        """Do nothing, since nothing is held back."""
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _mute(self) -> None:
        with suppress(OSError):
            mute(self._descriptor)
        with suppress(OSError, ValueError):
            self._stream.flush()  # what the buffer still holds


def make_lenient() -> None:
    """Replace both streams of this process; characters that their encoding lacks are escaped."""
    _occupy()
    for name, descriptor in (("stdout", STDOUT), ("stderr", STDERR)):
        stream = getattr(sys, name)
        if stream is None:  # closed before the process started
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - it lasts as long as the process
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, Lenient(stream, descriptor))


def _occupy() -> None:
    """Open closed standard descriptors to the null device. Otherwise the next file that is opened would get one of
    their numbers, and what libraries write to standard error would go into it."""
    for descriptor in (0, STDOUT, STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
