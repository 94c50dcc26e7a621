"""Progress as lines of JSON: what ``--progress json`` writes and other programs read (docs/progress.md)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

from redetail._version import __version__
from redetail.progress import Progress

VERSION = 1
"""Version of the layout of the lines; it goes up when a reader of the old layout would misread the new one."""
EVERY = 0.2
"""Least seconds between two reports of a pass; the first and the last report are always written."""

LEVELS = ("redetail: ", "error"), ("Note: ", "note")
"""Prefixes of the lines that say why a command failed, and of those that say what users should know about its
result."""


class EventWriter:
    """Writes events to a stream, one object per line, and drops progress reports that come too often."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._started: dict[tuple[str, int | None], float] = {}
        self._written: dict[tuple[str, int | None], float] = {}

    def write(self, event: str, **values: Any) -> None:
        """Write one event; characters beyond ASCII are escaped, so that any encoding can carry them."""
        self._stream.write(json.dumps({"event": event, **values}, allow_nan=False) + "\n")
        self._stream.flush()

    def start(self, command: str) -> None:
        """A command starts."""
        self.write("start", version=VERSION, redetail=__version__, command=command)

    def progress(self, report: Progress, clip: int | None = None) -> None:
        """Take one report; several passes can run at the same time, and so can ``clip`` 1, 2, ... of a batch."""
        now, complete, key = self._clock(), 0 < report.total <= report.done, (report.stage, clip)
        first = key not in self._started
        if not (first or complete) and now - self._written[key] < EVERY:
            return
        spent = now - self._started.setdefault(key, now)
        self._written[key] = now
        left = spent * (report.total - report.done) / report.done if report.total and report.done else None
        self.write(
            "progress",
            stage=report.stage,
            done=report.done,
            total=report.total,
            unit=report.unit,
            seconds=round(spent, 2),
            left=None if left is None else round(max(0.0, left), 2),
            **({} if clip is None else {"clip": clip}),
        )
        if complete:
            del self._started[key]  # the next report is for another subject or clip


class MessageStream:
    """A text stream that writes every line as an event, so that all of standard error is lines of JSON."""

    def __init__(self, events: EventWriter) -> None:
        self.events = events
        self._line = ""

    def write(self, text: str) -> int:
        """Hold text back until its line is complete."""
        *lines, self._line = (self._line + text).split("\n")
        for line in filter(str.strip, lines):
            level, said = next(
                ((name, line[len(mark) :]) for mark, name in LEVELS if line.startswith(mark)), ("info", line)
            )
            self.events.write("message", level=level, text=said)
        return len(text)

    def flush(self) -> None:
        """Do nothing: lines are written when they are complete."""

    def isatty(self) -> bool:
        """Always false, so that nothing is drawn on it."""
        return False


def _levelled(line: str) -> tuple[str, str]:
    """The level of a message, and its text."""
    return next(((level, line[len(mark) :]) for mark, level in LEVELS if line.startswith(mark)), ("info", line))


def read_events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The events among lines of text; output of libraries in between, and a line that was cut short, are skipped."""
    for line in lines:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            yield event
