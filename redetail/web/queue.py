"""The queue of a server, in which runs wait for the processor or the graphics card and use it one at a time."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from redetail.errors import InputError, RedetailError, SettingsError
from redetail.files import cannot_write
from redetail.web.runs import RESUMABLE, Kind, Run, RunStore, State

_LOG = logging.getLogger(__name__)
MOST_WAITING = 100
"""Runs that may wait; more are refused."""
_TICK = 0.25
_LANES: Mapping[Kind, str] = MappingProxyType({Kind.FIND: "find"})
_MAIN = "main"
_FIRST = (Kind.PREVIEW,)
"""Kinds that a person waits for, so they start before others of their lane."""


class Process(Protocol):
    """A process that this server started."""

    def poll(self) -> int | None:
        """Its exit code; None while it is running."""
        ...


class RunQueue:
    """Starts runs in order, ``at_once`` at a time; searches for subjects run alongside, since they use little.

    Its methods may be called from any thread. ``launch`` starts the process of a run.
    """

    def __init__(self, store: RunStore, launch: Callable[[Run], Process] | None = None, at_once: int = 1) -> None:
        self._store, self._launch = store, launch or launch_worker
        self._room = {_MAIN: at_once, "find": 1}
        self._lock = threading.RLock()
        self._runs = {run.name: run for run in store.read_all()}
        self._processes: dict[str, Process] = {}
        self._closed = threading.Event()

    def start(self) -> None:
        """Supervise the runs on a thread until :meth:`close`."""
        threading.Thread(target=self._watch, name="run queue", daemon=True).start()

    def close(self) -> None:
        """Start no more runs; current ones continue in their own processes."""
        self._closed.set()

    def runs(self) -> list[Run]:
        """All runs, the newest first."""
        with self._lock:
            return list(reversed(self._runs.values()))

    def get(self, name: object) -> Run:
        """The run of that name; raises :class:`~redetail.errors.InputError` if there is none."""
        with self._lock:
            run = self._runs.get(name) if isinstance(name, str) else None
        if run is None:
            raise InputError("There is no such run; choose one from the list.")
        return run

    def outputs(self) -> frozenset[Path]:
        """The outputs of all runs, written or not."""
        return frozenset(run.output for run in self.runs() if run.output is not None)

    def add(self, make: Callable[[Path], Run]) -> Run:
        """Queue the run that ``make`` returns for a new folder.

        Raises :class:`~redetail.errors.SettingsError` if too many wait, and whatever ``make`` raises.
        """
        with self._lock:
            if sum(run.state is State.WAITING for run in self._runs.values()) >= MOST_WAITING:
                raise SettingsError(f"{MOST_WAITING} runs are already waiting; wait until some are done, or stop some.")
            folder = self._store.new_folder()
            try:
                run = self._store.write(make(folder))
            except BaseException:
                self._remove_folder(folder)
                raise
            self._runs[run.name] = run
        self.tick()
        return run

    def position(self, run: Run) -> int:
        """How many runs come before a waiting one."""
        with self._lock:
            waiting = self._waiting(_lane(run))
            return waiting.index(run) if run in waiting else 0

    def stop(self, name: object) -> Run:
        """Stop a run: one that waits does not start, one that runs finishes its step; asked twice, it stops at once."""
        with self._lock:
            run = self.get(name)
            if run.state is State.WAITING:
                return self._keep(replace(run, state=State.STOPPED, message="Removed from the queue."))
            if run.state is State.RUNNING:
                try:
                    with run.stop_request.open("ab") as file:
                        file.write(b"1")
                except OSError as error:
                    raise cannot_write(run.stop_request, error) from error
            return run

    def resume(self, name: object) -> Run:
        """Queue a run that was stopped or failed; raises :class:`~redetail.errors.InputError` for any other."""
        with self._lock:
            run = self.get(name)
            if run.state not in RESUMABLE:
                raise InputError(f"The run {run.title} is {run.state}; only stopped or failed runs can be resumed.")
            run = self._keep(replace(run, state=State.WAITING, message=""))
        self.tick()
        return run

    def remove(self, name: object) -> None:
        """Delete a run that is not running; raises :class:`~redetail.errors.InputError` for one that is."""
        with self._lock:
            run = self.get(name)
            if run.state is State.RUNNING:
                raise InputError(f"The run {run.title} is running; stop it first.")
            self._store.remove(run)
            del self._runs[run.name]

    def tick(self) -> None:
        """Record which runs ended, and start waiting ones if there is room."""
        with self._lock:
            for run in list(self._runs.values()):
                if run.state is State.RUNNING and self._has_ended(run):
                    self._runs[run.name] = self._store.refreshed(run)
                    self._processes.pop(run.name, None)
            for lane, room in self._room.items():
                busy = sum(run.state is State.RUNNING and _lane(run) == lane for run in self._runs.values())
                for run in self._waiting(lane)[: max(0, room - busy)]:
                    self._begin(run)

    def _waiting(self, lane: str) -> list[Run]:
        waiting = [run for run in self._runs.values() if run.state is State.WAITING and _lane(run) == lane]
        return sorted(waiting, key=lambda run: (run.kind not in _FIRST, run.name))

    def _begin(self, run: Run) -> None:
        run = self._keep(replace(run, state=State.RUNNING, attempt=run.attempt + 1))
        try:
            run.stop_request.unlink(missing_ok=True)
            self._processes[run.name] = self._launch(run)
        except OSError as error:
            self._keep(
                replace(
                    run,
                    state=State.FAILED,
                    message=(f"The process for this run could not be started ({error}); resume the run."),
                )
            )

    def _has_ended(self, run: Run) -> bool:
        """Whether the process of a run is gone; for one that an earlier server started, its lock tells."""
        process = self._processes.get(run.name)
        return process is None or process.poll() is not None

    def _keep(self, run: Run) -> Run:
        self._runs[run.name] = self._store.write(run)
        return run

    def _remove_folder(self, folder: Path) -> None:
        with suppress(RedetailError):
            self._store.remove(Run(folder=folder, kind=Kind.FIND, title="", commands=(), again=(), source=folder))

    def _watch(self) -> None:
        while not self._closed.wait(_TICK):
            try:
                self.tick()
            except Exception:  # noqa: BLE001 - a full disk must not end the queue
                _LOG.warning("An error occurred in the queue of runs; the queue continues.", exc_info=True)


def launch_worker(run: Run) -> Process:
    """Start the process of a run, which outlives this one and does not receive its Ctrl-C."""
    command = [sys.executable, "-m", "redetail.web.worker", str(run.folder), str(run.attempt)]
    separate = {"start_new_session": True} if sys.platform != "win32" else {"creationflags": 0x200}  # its own group
    with (run.folder / "process.txt").open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **separate)


def _lane(run: Run) -> str:
    return _LANES.get(run.kind, _MAIN)
