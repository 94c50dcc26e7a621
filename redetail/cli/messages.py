"""What a command prints in addition to its result: each note once, and with --debug everything that is logged."""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from redetail.cli.display import plain

_LONG_WORD = re.compile(r"\S{300,}")


class Notes(logging.Handler):
    """Prints the warnings of one run as notes on standard error, each once, and above any progress bars.

    Messages that are logged as information are printed without the word "Note".
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Write what a user can act on."""
        text = record.getMessage()
        if record.levelno < logging.ERROR and text not in self._said:
            self._said.add(text)
            kind = "Note: " if record.levelno >= logging.WARNING else ""
            sys.stderr.write(plain(f"{kind}{shortened(text)}\n"))


@contextmanager
def messages(log: logging.Logger, *, debug: bool, verbose: bool = False) -> Iterator[None]:
    """Set up logging for one command, and restore it afterwards. ``debug`` shows everything; otherwise notes and errors
    are shown, and with ``verbose`` also what redetail logs as information."""
    root, level = logging.getLogger(), logging.DEBUG if debug else logging.ERROR
    shown = logging.INFO if verbose else logging.WARNING
    everything = logging.StreamHandler()
    everything.setLevel(level)
    everything.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    notes = Notes()
    notes.setLevel(logging.CRITICAL + 1 if debug else shown)
    before = root.level, log.level
    root.addHandler(everything)
    log.addHandler(notes)
    root.setLevel(level)
    log.setLevel(logging.DEBUG if debug else shown)
    try:
        with warnings.catch_warnings():
            if not debug:
                warnings.simplefilter("ignore")
            yield
    finally:
        root.removeHandler(everything)
        log.removeHandler(notes)
        root.setLevel(before[0])
        log.setLevel(before[1])


def shortened(text: str) -> str:
    """Text in which only both ends are left of words, such as file names, that would fill the screen."""
    return _LONG_WORD.sub(lambda word: f"{word[0][:120]}...{word[0][-60:]}", text)
