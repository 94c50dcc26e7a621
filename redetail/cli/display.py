"""Progress on standard error: bars with the remaining time on a terminal, occasional lines elsewhere."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from redetail.events import MessageStream
from redetail.progress import Progress, ProgressCallback, duration, no_progress

TITLES = {
    "detect": "Finding subjects",
    "crop": "Cropping",
    "detail": "Detailing",
    "write": "Writing",
    "draw": "Drawing",
    "evaluate": "Comparing",
}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
STDOUT, STDERR = 1, 2
LINE_EVERY = 15.0
"""Seconds between two lines if no bar can be drawn: rare enough for a log file."""


@contextmanager
def progress_display(quiet: bool, stream: TextIO | None = None) -> Iterator[ProgressCallback]:
    """A callback that draws every pass on ``stream`` (standard error) as well as it can, or not at all if ``quiet``."""
    stream = stream or sys.stderr
    if isinstance(stream, MessageStream):
        yield stream.events.progress
    elif quiet:
        yield no_progress
    elif can_draw(stream):
        with _bars(stream) as callback:
            yield callback
    else:
        yield Lines(stream)


@dataclass
class _Pass:
    """When a pass started and was last reported, and whether it is complete."""

    started: float
    written: float
    complete: bool = False


class Lines:
    """Writes a line when a pass starts, occasionally while it runs, and when it is complete."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._passes: dict[str, _Pass] = {}

    def __call__(self, report: Progress) -> None:
        """Take one report; passes may run at the same time."""
        now, complete = self._clock(), 0 < report.total <= report.done
        run = self._passes.get(report.stage)
        if run is None or (run.complete and not complete):
            run = self._passes[report.stage] = _Pass(now, now)
            self._write(report, f"{int(report.total)} {report.unit} to do" if report.total else "started")
        if complete and not run.complete:
            self._write(report, f"{int(report.done)} {report.unit} in {duration(now - run.started)}")
        elif not complete and now - run.written >= LINE_EVERY:
            run.written = now
            self._write(report, self._between(report, now - run.started))
        run.complete = complete

    def _between(self, report: Progress, spent: float) -> str:
        if not report.total or not report.done:
            return f"{int(report.done)} {report.unit}"
        left = spent * (report.total - report.done) / report.done
        return f"{int(report.done)} of {int(report.total)} {report.unit}, about {duration(left)} left"

    def _write(self, report: Progress, text: str) -> None:
        self._stream.write(f"{title(report.stage)}: {text}\n")
        self._stream.flush()


def plain(text: str) -> str:
    """Text without terminal control characters, since names of files and labels can contain anything."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def tell(text: str) -> None:
    """Write a result to standard output. A reader that stops early (``| head``) is not a failure."""
    try:
        sys.stdout.write(plain(text))
        sys.stdout.flush()
    except BrokenPipeError:
        mute(STDOUT)


def mute(*descriptors: int) -> None:
    """Discard whatever is still written to these descriptors, so that closing them cannot fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def title(stage: str) -> str:
    """What a pass is called on the screen."""
    return TITLES.get(stage, stage.capitalize())


def short(value: object) -> str:
    """A value in a form for people: 512 instead of 512.0, on and off, and the largest seed by its name."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if value == 2**64 - 1:
        return "2^64-1"
    return f"{value:g}" if isinstance(value, float) else str(value)


def can_draw(stream: TextIO) -> bool:
    """Whether there is a terminal, and rich to draw on it."""
    from importlib.util import find_spec

    return stream.isatty() and find_spec("rich") is not None


@contextmanager
def _bars(stream: TextIO) -> Iterator[ProgressCallback]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(file=stream)) as bars:
        tasks: dict[str, TaskID] = {}
        complete: set[str] = set()

        def draw(report: Progress) -> None:
            again = report.stage in complete and report.done < report.total  # the next subject's turn
            if report.stage not in tasks or again:
                tasks[report.stage] = bars.add_task(title(report.stage), total=None, unit=report.unit)
                complete.discard(report.stage)
            if 0 < report.total <= report.done:
                complete.add(report.stage)
            bars.update(tasks[report.stage], completed=report.done, total=report.total or None)

        yield draw
