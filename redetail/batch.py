"""Many clips, one after the other, with one engine: which clips, where their outputs go, and what became of each."""

from __future__ import annotations

import csv
import glob
import io
import json
import logging
import os
import re
import string
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from redetail import api
from redetail._version import __version__
from redetail.engines.base import Engine
from redetail.errors import Cancelled, InputError, OutputError, RedetailError, SettingsError
from redetail.files import cannot_write, check_given, expanded, natural_key, reason, resolved, write_text
from redetail.job import Job
from redetail.pipeline.work import Work
from redetail.progress import CancelToken, ProgressCallback, no_progress
from redetail.video.options import CONTAINERS

_LOG = logging.getLogger(__name__)
_FORMAT = "redetail batch"
SUMMARY = "redetail-batch"
NAME = "{stem}{suffix}"
"""The pattern of names of outputs: as the sources are called."""
VIDEOS = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts", ".wmv", ".flv", ".3gp"),
    *(".ogv", ".mxf", ".gif", ".apng"),
)
"""Suffixes of what a folder of clips is searched for."""
_LARGEST_LIST = 16 * 2**20
FIELDS = ("stem", "suffix", "parent", "number")


class State(StrEnum):
    """What became of a clip."""

    DONE = "done"
    NOBODY = "nobody found"
    DAMAGED = "done, source damaged"
    SKIPPED = "done before"
    FAILED = "failed"
    WAITING = "waiting"


@dataclass(frozen=True)
class BatchClip:
    """One clip of a batch: what is read, and what is written."""

    source: Path
    output: Path


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a clip; ``message`` says why it failed, ``notices`` are sentences of its run."""

    clip: BatchClip
    state: State
    frames: int = 0
    subjects: int = 0
    seconds: float = 0.0
    message: str = ""
    notices: tuple[str, ...] = ()

    def to_document(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "source": str(self.clip.source),
            "output": str(self.clip.output),
            "state": self.state.value,
            "frames": self.frames,
            "subjects": self.subjects,
            "seconds": round(self.seconds, 2),
            "message": self.message,
            "notices": list(self.notices),
        }


def sources_of(inputs: Iterable[str | Path]) -> list[Path]:
    """The clips that inputs mean, each once, in order.

    An input is a file, a folder of videos (or, where it holds none, of the images of one clip), a pattern such as
    ``clips/*.mp4``, or ``@LIST``, a text file with an input on each line. Raises :class:`~redetail.errors.InputError`
    where one means nothing.
    """
    found = [path for given in inputs for path in _meant(str(given))]
    once = {os.path.realpath(path): path for path in reversed(found)}
    return [path for path in found if once.pop(os.path.realpath(path), None) is not None]


def batch_clips(sources: Sequence[Path], folder: Path, pattern: str = NAME) -> list[BatchClip]:
    """Each source with its output in ``folder``.

    ``pattern``: the output's name, with ``{stem}`` and ``{suffix}`` of the source's (.mkv for what cannot be written),
    the name of its ``{parent}`` folder, and its ``{number}`` from 1. Raises
    :class:`~redetail.errors.SettingsError` for a pattern that cannot be used or gives two clips the same name, and
    :class:`~redetail.errors.OutputError` where an output is an input.
    """
    clips = [BatchClip(one, folder / _named(pattern, one, number)) for number, one in enumerate(sources, 1)]
    read = {os.path.normcase(os.path.realpath(path)) for path in sources}
    written: dict[str, Path] = {}
    for clip in clips:
        real = os.path.normcase(os.path.realpath(clip.output))
        if real in written:
            raise SettingsError(
                f"{written[real]} and {clip.source} would both be written to {clip.output}; tell them apart with "
                "{parent} or {number} in the name pattern."
            )
        if real in read:
            raise OutputError(f"The output {clip.output} is an input of this batch; choose another folder or pattern.")
        written[real] = clip.source
    return clips


def run_batch(
    job: Job,
    clips: Sequence[BatchClip],
    *,
    overwrite: bool = False,
    work: Work | None = None,
    started: Callable[[BatchClip], None] = lambda clip: None,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Iterator[Outcome]:
    """Do the job for every clip and yield what became of each, in order.

    ``job``: what is the same for all; its source and outputs are not used. Its engine is loaded once, and only where
    there is something to do. A clip whose output exists is done, unless ``overwrite``. One that was stopped goes on,
    and one that fails does not stop the others. ``started`` is called when work on a clip starts.
    Raises :class:`~redetail.errors.RedetailError` where the engine cannot be loaded, and
    :class:`~redetail.errors.Cancelled`.
    """
    work = work or Work()
    engine: Engine | None = None
    job.check()
    for clip in clips:
        own = replace(work, resume=_stopped(work, clip))
        if os.path.exists(clip.output) and not overwrite and not own.may_replace(clip.output):
            yield Outcome(clip=clip, state=State.SKIPPED)
            continue
        engine = engine or api.load_for(job)
        started(clip)
        yield _outcome(job, clip, engine, own, progress, cancel)


def write_summary(outcomes: Sequence[Outcome], folder: Path) -> tuple[Path, Path]:
    """Write the summary of a batch into ``folder``, as JSON and as CSV, and return their names.

    Raises :class:`~redetail.errors.OutputError`.
    """
    rows = [outcome.to_document() for outcome in outcomes]
    counts = {state.value: sum(one.state is state for one in outcomes) for state in State}
    document = {"format": _FORMAT, "version": 1, "redetail": __version__, "counts": counts, "clips": rows}
    paths = folder / f"{SUMMARY}.json", folder / f"{SUMMARY}.csv"
    write_text(paths[0], json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    table = io.StringIO()
    columns = [name for name in rows[0] if name != "notices"] if rows else ["source"]
    writer = csv.DictWriter(table, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(paths[1], table.getvalue())
    return paths


def _outcome(
    job: Job, clip: BatchClip, engine: Engine, work: Work, progress: ProgressCallback, cancel: CancelToken | None
) -> Outcome:
    """Do one clip; what goes wrong with it is its outcome."""
    started = time.monotonic()
    own = replace(job, source=clip.source, output=clip.output, compare=None, report=None, save_hints=None)
    try:
        _make_folder(clip.output.parent)
        result = api.run_loaded(own, engine, work=work, progress=progress, cancel=cancel)
    except Cancelled:
        raise
    except RedetailError as error:
        return Outcome(clip=clip, state=State.FAILED, message=str(error), seconds=time.monotonic() - started)
    except Exception as error:  # noqa: BLE001 - a bug that one clip meets must not stop a night's work
        _LOG.warning("%s met a bug in redetail; please report it.", clip.source, exc_info=True)
        message = f"This is a bug in redetail {__version__} ({type(error).__name__}: {error})."
        return Outcome(clip=clip, state=State.FAILED, message=message, seconds=time.monotonic() - started)
    plan = result.report.plan
    state = State.DAMAGED if result.faults else State.DONE if plan.crops else State.NOBODY
    return Outcome(
        clip=clip,
        state=state,
        frames=len(plan),
        subjects=len(plan.crops),
        seconds=time.monotonic() - started,
        notices=result.notices,
    )


def _stopped(work: Work, clip: BatchClip) -> bool:
    return os.path.exists(work.folder_of(clip.output))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


def _meant(given: str, folder: Path = Path(), lists: tuple[Path, ...] = ()) -> list[Path]:
    """The clips that one input means; names in a list are relative to the list's ``folder``, and it lies in other
    ``lists``."""
    if given.startswith("@") and not os.path.exists(given):
        return _listed(folder / expanded(given[1:]), lists)
    path = folder / expanded(given)
    check_given(path)
    if os.path.isdir(path):
        try:
            videos = [one for one in path.iterdir() if one.suffix.lower() in VIDEOS and one.name[0] != "."]
        except OSError as error:
            raise InputError(f"The folder {path} cannot be read ({reason(error)}); change its permissions.") from error
        return sorted(videos, key=natural_key) or [path]
    if os.path.exists(path) or not glob.has_magic(str(path)):
        return [path]  # what is wrong with a file is found when its turn comes
    matching = [Path(name) for name in glob.glob(str(path), recursive=True)]
    if not matching:
        raise InputError(f"No file is called {given}; check the pattern.")
    return sorted(matching, key=lambda one: (one.parent, natural_key(one)))


def _listed(path: Path, lists: tuple[Path, ...]) -> list[Path]:
    check_given(path)
    real = resolved(path)
    if real in lists:
        raise InputError(f"The list {path} includes itself; remove that line.")
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # a pipe or a device may never end
            raise ValueError("it is not a file on disk")
        if path.stat().st_size > _LARGEST_LIST:
            raise ValueError(f"it has more than {_LARGEST_LIST // 2**20} MB")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(
            f"The list {path} cannot be read ({reason(error)}); give a text file with a clip on each line."
        ) from error
    named = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return [clip for line in named for clip in _meant(line, path.parent, (*lists, real))]


def _named(pattern: str, source: Path, number: int) -> Path:
    """The name of a source's output, relative to the folder of the batch."""
    whole = Path(os.path.abspath(source))
    suffix = "" if os.path.isdir(source) else source.suffix
    if suffix and suffix.lower() not in (*CONTAINERS, ".png", ".webp"):
        suffix = ".mkv"  # which holds all that the others do
    stem = whole.name if os.path.isdir(source) else whole.stem
    fields = {"stem": stem, "suffix": suffix, "parent": whole.parent.name, "number": number}
    try:
        parsed = [(name, form or "") for _, name, form, _ in string.Formatter().parse(pattern) if name is not None]
        used = {name for name, _ in parsed}
        if any("{" in form or re.search(r"\d{3}", form) for _, form in parsed):
            raise ValueError("a field may be 99 characters wide")
        if not used <= set(FIELDS):
            raise ValueError(f"it has {', '.join(FIELDS)}, not {', '.join(sorted(used - set(FIELDS)))}")
        name = Path(pattern.format(**fields))
    except (ValueError, LookupError) as error:
        raise SettingsError(f"The name pattern {pattern!r} cannot be used ({error}); see docs/batch.md.") from error
    if not name.name or name.is_absolute() or ".." in name.parts:
        raise SettingsError(f"The name pattern {pattern!r} leads out of the output folder; give a name in it.")
    return name
