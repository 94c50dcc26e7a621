"""``redetail batch``: many clips, shown as a table on a terminal and as lines elsewhere."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO

from redetail.batch import BatchClip, Outcome, State, batch_clips, run_batch, sources_of, write_summary
from redetail.cli.display import LINE_EVERY, can_draw, tell, title
from redetail.cli.request import cluster_of, common_job_of, work_of
from redetail.documents import counted
from redetail.errors import OutputError
from redetail.events import EventWriter, MessageStream
from redetail.files import expanded, made_folder
from redetail.progress import CancelToken, Progress, duration

COMPLETE, INCOMPLETE = 0, 3
_GOOD = (State.DONE, State.NOBODY, State.SKIPPED)
_COLOURS = {State.FAILED: "red", State.DAMAGED: "yellow", State.NOBODY: "yellow", State.DONE: "green"}


def batch(options: argparse.Namespace, cancel: CancelToken) -> int:
    """``redetail batch``."""
    job, work, cluster = common_job_of(options), work_of(options), cluster_of(options)
    folder = expanded(options.output)
    clips = batch_clips(sources_of(options.inputs), folder, options.name)
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise OutputError(f"{folder} is a file, but the outputs need a folder; choose another name.")
    outcomes = {clip: Outcome(clip=clip, state=State.WAITING) for clip in clips}
    with made_folder(folder), _display(clips, options.quiet) as display:
        try:
            for outcome in run_batch(
                job, clips, overwrite=options.overwrite, work=work, cluster=cluster, started=display.start,
                progress=display.advance, cancel=cancel,
            ):  # fmt: skip
                outcomes[outcome.clip] = outcome
                display.finish(outcome)
                write_summary(list(outcomes.values()), folder)  # after each clip, in case of a kill
        finally:
            written = _summarised(outcomes.values(), folder)
    if not options.quiet:
        tell(batch_summary(list(outcomes.values()), written))
    return COMPLETE if all(one.state in _GOOD for one in outcomes.values()) else INCOMPLETE


def batch_summary(outcomes: Sequence[Outcome], written: Sequence[Path]) -> str:
    """The number of clips in each state, the names of those that need attention, and the files of the summary."""
    lines = [f"{len(outcomes)} clips"]
    for state in State:
        some = [one for one in outcomes if one.state is state]
        if some:
            lines.append(f"  {state}: {len(some)}")
        if state in (State.NOBODY, State.DAMAGED, State.FAILED):
            lines += [f"    {one.clip.source}{f': {one.message}' if one.message else ''}" for one in some]
    lines += [f"  summary: {path}" for path in written]
    return "\n".join(lines) + "\n"


class _Display(Protocol):
    """Shows a batch while it runs."""

    def start(self, clip: BatchClip, worker: str) -> None: ...

    def advance(self, clip: BatchClip, report: Progress) -> None: ...

    def finish(self, outcome: Outcome) -> None: ...


class BatchLines:
    """A line for each finished clip, and occasionally one for each current clip."""

    def __init__(self, clips: Sequence[BatchClip], stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._numbers = {clip: number for number, clip in enumerate(clips, 1)}
        self._written = dict.fromkeys(clips, clock())
        self._workers: dict[BatchClip, str] = {}

    def start(self, clip: BatchClip, worker: str) -> None:
        """Work on a clip starts."""
        self._workers[clip], self._written[clip] = worker, self._clock()

    def advance(self, clip: BatchClip, report: Progress) -> None:
        """A pass over a current clip is so far."""
        if self._clock() - self._written[clip] >= LINE_EVERY:
            self._write(clip, _position(report) + _on(self._workers[clip]))

    def finish(self, outcome: Outcome) -> None:
        """A clip came to an end."""
        self._write(outcome.clip, _result(outcome))

    def _write(self, clip: BatchClip, text: str) -> None:
        self._stream.write(f"[{self._numbers[clip]}/{len(self._numbers)}] {clip.source.name}: {text}\n")
        self._stream.flush()
        self._written[clip] = self._clock()


class BatchTable:
    """A table, drawn by rich, of the current clips and those around the last of them, as many as fit the terminal."""

    def __init__(self, clips: Sequence[BatchClip], live: Any) -> None:
        self._clips, self._live = clips, live
        self._numbers = {clip: number for number, clip in enumerate(clips)}
        self._texts = dict.fromkeys(clips, "")
        self._states: dict[BatchClip, State] = {}
        self._workers: dict[BatchClip, str] = {}
        self._current = clips[0]
        self._draw()

    def start(self, clip: BatchClip, worker: str) -> None:
        """Work on a clip starts."""
        self._current, self._workers[clip] = clip, worker
        self._show(clip, f"starting{_on(worker)}")

    def advance(self, clip: BatchClip, report: Progress) -> None:
        """A pass over a current clip is so far."""
        self._show(clip, _position(report) + _on(self._workers[clip]))

    def finish(self, outcome: Outcome) -> None:
        """A clip came to an end."""
        self._current = outcome.clip
        self._workers.pop(outcome.clip, None)
        self._states[outcome.clip] = outcome.state
        self._show(outcome.clip, _result(outcome))

    def _show(self, clip: BatchClip, text: str) -> None:
        self._texts[clip] = text
        self._draw()

    def _draw(self) -> None:
        from rich.table import Table
        from rich.text import Text

        done = len(self._states)
        table = Table(title=f"{done} of {len(self._clips)} clips", title_justify="left")
        table.add_column("clip", overflow="ellipsis", no_wrap=True)
        table.add_column("state", overflow="ellipsis", no_wrap=True)
        for clip in self._visible():
            state = self._states.get(clip)
            style = "" if state is None else _COLOURS.get(state, "dim")
            table.add_row(Text(clip.source.name), Text(self._texts[clip], style=style))
        self._live.update(table)

    def _visible(self) -> Sequence[BatchClip]:
        room = max(3, self._live.console.height - 6)
        current = self._numbers[self._current]
        nearest = sorted(self._clips, key=lambda one: (one not in self._workers, abs(self._numbers[one] - current)))
        return sorted(nearest[:room], key=self._numbers.__getitem__)


class BatchEvents:
    """An event when work on a clip starts and when it ends, and the progress in between."""

    def __init__(self, clips: Sequence[BatchClip], events: EventWriter) -> None:
        self._events, self._clips = events, list(clips)

    def start(self, clip: BatchClip, worker: str) -> None:
        """Work on a clip starts."""
        self._write(clip, "started", "", worker)

    def advance(self, clip: BatchClip, report: Progress) -> None:
        """A pass over a current clip is so far."""
        self._events.progress(report, self._clips.index(clip) + 1)

    def finish(self, outcome: Outcome) -> None:
        """A clip came to an end."""
        self._write(outcome.clip, outcome.state.value, outcome.message, outcome.worker)

    def _write(self, clip: BatchClip, state: str, message: str, worker: str) -> None:
        number, names = self._clips.index(clip) + 1, {"source": str(clip.source), "output": str(clip.output)}
        self._events.write(
            "clip", number=number, of=len(self._clips), **names, state=state, message=message, worker=worker
        )


class _Silent:
    """Shows nothing."""

    def start(self, clip: BatchClip, worker: str) -> None:
        """Nothing."""

    def advance(self, clip: BatchClip, report: Progress) -> None:
        """Nothing."""

    def finish(self, outcome: Outcome) -> None:
        """Nothing."""


@contextmanager
def _display(clips: Sequence[BatchClip], quiet: bool) -> Iterator[_Display]:
    if isinstance(sys.stderr, MessageStream):
        yield BatchEvents(clips, sys.stderr.events)
    elif quiet:
        yield _Silent()
    elif can_draw(sys.stderr):
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(file=sys.stderr), refresh_per_second=4) as live:
            yield BatchTable(clips, live)
    else:
        yield BatchLines(clips, sys.stderr)


def _position(report: Progress) -> str:
    if not report.total:
        return title(report.stage)
    return f"{title(report.stage)} {100 * report.done / report.total:.0f}%"


def _on(worker: str) -> str:
    return f" ({worker})" if worker else ""


def _result(outcome: Outcome) -> str:
    if outcome.state is State.FAILED:
        return f"{outcome.state}: {outcome.message}"
    if not outcome.frames:
        return str(outcome.state)
    subjects, frames = counted(outcome.subjects, "subject"), counted(outcome.frames, "frame")
    return f"{outcome.state}, {subjects}, {frames} in {duration(outcome.seconds)}{_on(outcome.worker)}"


def _summarised(outcomes: Iterable[Outcome], folder: Path) -> tuple[Path, ...]:
    """Write the summary, unless the batch was refused before the first clip."""
    known = list(outcomes)
    return write_summary(known, folder) if any(one.state is not State.WAITING for one in known) else ()
