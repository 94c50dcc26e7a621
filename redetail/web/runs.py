"""Runs on disk: a folder for each, from which a restarted server sees what became of it."""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from redetail.errors import InputError, OutputError
from redetail.events import read_events
from redetail.files import cannot_write, write_text
from redetail.web.locks import is_held

VERSION = 1
"""Of the layout of a run's folder; raised when a reader of the older one would misread the new one."""
_RECORD, _EXIT = "run.json", "exit.json"
_NAME = re.compile(r"\d{6}-[0-9a-f]{8}")
_LONGEST = 64 * 1024
"""Bytes at the end of the events of a run that are read: progress is at the end."""

COMPLETE, INCOMPLETE, STOPPED = 0, 3, 130


class Kind(StrEnum):
    """What a run does."""

    FIND = "find"
    PREVIEW = "preview"
    DETAIL = "detail"
    BATCH = "batch"


class State(StrEnum):
    """Where a run is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    INCOMPLETE = "done, source damaged"
    FAILED = "failed"
    STOPPED = "stopped"


FINISHED = (State.DONE, State.INCOMPLETE)
RESUMABLE = (State.STOPPED, State.FAILED)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run: commands that are run one after the other in ``folder``.

    ``title``: its name for people; ``commands``: arguments of ``redetail``; ``again``: the same, to continue where it
    stopped; ``source`` and ``output``: of one clip, or the folder of a batch; ``attempt``: how often it was started;
    ``message``: why it failed.
    """

    folder: Path
    kind: Kind
    title: str
    commands: tuple[tuple[str, ...], ...]
    again: tuple[tuple[str, ...], ...]
    source: Path
    output: Path | None = None
    state: State = State.WAITING
    attempt: int = 0
    message: str = ""

    @property
    def name(self) -> str:
        """Its unique name on this server."""
        return self.folder.name

    @property
    def events(self) -> Path:
        """Where its process writes events."""
        return self.folder / "events.jsonl"

    @property
    def lock(self) -> Path:
        """Held by its process while that is running."""
        return self.folder / "lock"

    @property
    def stop_request(self) -> Path:
        """Its process stops when this file exists."""
        return self.folder / "stop"

    @property
    def current(self) -> tuple[tuple[str, ...], ...]:
        """The commands of this attempt."""
        return self.commands if self.attempt <= 1 else self.again

    def to_document(self) -> dict[str, Any]:
        """Ready for JSON."""
        document = {name: value for name, value in asdict(self).items() if name != "folder"}
        paths = {"source": str(self.source), "output": None if self.output is None else str(self.output)}
        return {"run_version": VERSION, **document, **paths}

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """The run in a folder; raises :class:`~redetail.errors.InputError` if its record is damaged."""
        try:
            document = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
            if document.pop("run_version") != VERSION:
                raise ValueError("another version")
            given = {
                **document,
                "kind": Kind(document["kind"]),
                "state": State(document["state"]),
                "commands": _commands(document["commands"]),
                "again": _commands(document["again"]),
                "source": Path(document["source"]),
                "output": None if document["output"] is None else Path(document["output"]),
            }
            return cls(folder=folder, **given)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"The record of the run {folder} is damaged ({error}); delete the folder.") from error


@dataclass(frozen=True, kw_only=True)
class Status:
    """How far a run is, from the events of its process.

    ``share`` is that of the current pass, 0 to 1 (None: not known), ``left`` the seconds until its end.
    """

    stage: str = ""
    done: float = 0
    total: float = 0
    unit: str = ""
    left: float | None = None
    clip: str = ""
    notes: tuple[str, ...] = ()
    error: str = ""

    @property
    def share(self) -> float | None:
        return min(1.0, self.done / self.total) if self.total else None


class RunStore:
    """The runs of a folder, by name; names are in the order in which the runs were made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from error

    def new_folder(self) -> Path:
        """An empty folder for a run, under the next number."""
        numbers = [int(path.name[:6]) for path in self._folders()]
        try:
            folder = self.folder / f"{max(numbers, default=0) + 1:06d}-{secrets.token_hex(4)}"
            folder.mkdir()
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        return folder

    def read_all(self) -> list[Run]:
        """All runs in order, with their current state even if their server has ended. Damaged ones are left out."""
        runs = []
        for folder in self._folders():
            try:
                runs.append(self.refreshed(Run.from_folder(folder)))
            except InputError:
                continue
        return runs

    def write(self, run: Run) -> Run:
        """Keep a run's record; raises :class:`~redetail.errors.OutputError`."""
        write_text(run.folder / _RECORD, json.dumps(run.to_document(), indent=1) + "\n")
        return run

    def refreshed(self, run: Run) -> Run:
        """The run with its current state, since its process may have ended."""
        if run.state is not State.RUNNING or is_held(run.lock):
            return run
        return self.write(replace(run, **_ended(run)))

    def remove(self, run: Run) -> None:
        """Delete a run's folder; what it wrote elsewhere stays."""
        shutil.rmtree(run.folder, ignore_errors=True)
        if run.folder.exists():
            raise OutputError(f"The run {run.name} could not be removed; close programs that use {run.folder}.")

    def _folders(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir())


def write_exit(folder: Path, attempt: int, code: int) -> None:
    """Keep how the process of a run ended."""
    write_text(folder / _EXIT, json.dumps({"attempt": attempt, "code": code}) + "\n")


def status_of(run: Run) -> Status:
    """How far a run is."""
    try:
        with run.events.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _LONGEST))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return Status()
    return status_from(list(read_events(lines)))


def status_from(events: Sequence[Mapping[str, Any]]) -> Status:
    """The same from events; those before the last start belong to an earlier attempt or command."""
    starts = [index for index, event in enumerate(events) if event["event"] == "start"]
    status = _Gathered()
    for event in events[starts[-1] if starts else 0 :]:
        status.take(event)
    return status.status


@dataclass
class _Gathered:
    """Collects what events say, one after the other."""

    status: Status = field(default_factory=Status)

    def take(self, event: Mapping[str, Any]) -> None:
        kind = event["event"]
        if kind == "progress":
            wanted = ("stage", "done", "total", "unit", "left")
            self.status = replace(self.status, **{name: event[name] for name in wanted if name in event})
        elif kind == "clip" and event.get("state") == "started":
            clip = f"clip {event.get('number')} of {event.get('of')}, {Path(str(event.get('source'))).name}"
            self.status = replace(self.status, clip=clip)
        elif kind == "message" and event.get("level") == "note":
            self.status = replace(self.status, notes=(*self.status.notes, str(event.get("text")))[-20:])
        elif kind == "message" and event.get("level") == "error":
            self.status = replace(self.status, error=str(event.get("text")))


def _ended(run: Run) -> dict[str, Any]:
    """The changes to a run whose process is gone."""
    code = _exit_code(run)
    if code is None:
        return {
            "state": State.STOPPED,
            "message": "The process of this run ended before the work was done; resume the run.",
        }
    if code == STOPPED:
        return {"state": State.STOPPED, "message": ""}
    if code == COMPLETE:
        return {"state": State.DONE, "message": ""}
    if code == INCOMPLETE and run.kind is not Kind.BATCH:
        return {"state": State.INCOMPLETE, "message": ""}
    unknown = "Some clips failed; see the summary." if code == INCOMPLETE else "The run ended without a message."
    return {"state": State.FAILED, "message": status_of(run).error or unknown}


def _exit_code(run: Run) -> int | None:
    try:
        document = json.loads((run.folder / _EXIT).read_text(encoding="utf-8"))
        return int(document["code"]) if document["attempt"] == run.attempt else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _commands(given: Any) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(str(argument) for argument in command) for command in given)
