"""A pool of engines, one in each worker of a cluster. It hands out calls; those of a lost worker go to another one."""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from redetail.claims import hidden_name
from redetail.cluster.connection import Cluster, Share, connected, share_of
from redetail.cluster.remote_engine import RemoteEngine
from redetail.cluster.sending import stamp
from redetail.cluster.worker import Asked, Call, EngineWorker, version
from redetail.engines.base import Engine
from redetail.errors import ClusterError, SettingsError
from redetail.files import write_bytes
from redetail.progress import CancelToken

R = TypeVar("R")
_LOG = logging.getLogger(__name__)
_EVERY = 0.25  # seconds between two looks at progress and cancellation
_PATIENCE = 30.0  # seconds without a worker after which a note is shown
_GRACE = 5.0  # seconds for a worker to finish its current step when everything stops
_TRIES = 3  # for each call, and for loading an engine: a call that always takes its worker down ends the run
EACH = 2  # calls that a worker holds: the current one and the next one
_BESIDE = "beside"  # the group of methods that can run during a call


class _LostError(Exception):
    """A worker is gone."""


def _raised(error: ClusterError) -> Any:
    raise error


@dataclass(frozen=True)
class Job(Generic[R]):
    """A piece of work: ``call`` returns what a worker is sent; ``progress`` takes what the call reports.

    ``give_up``: takes the error and returns the result for a call that took down several workers; the default raises
    it.
    """

    call: Callable[[Worker], Call[R]]
    progress: Callable[[Any], None] = lambda report: None
    give_up: Callable[[ClusterError], R] = _raised


@dataclass(eq=False)
class _Held:
    number: int
    job: Job[Any]
    tries: int = 0


@dataclass(eq=False)
class Worker:
    """One worker as the pool sees it; ``name``: host and process, once the worker is ready; ``held``: its calls, in the
    order in which it runs them."""

    actor: Any
    loading: Any
    ready: bool = False
    name: str = ""
    reports: Any = None
    held: dict[Any, _Held] = field(default_factory=dict)
    seen: dict[Path, bool] = field(default_factory=dict)


class EnginePool:
    """Engines on a cluster, made by ``load``, which is pickled; a context manager that releases them at its end.

    ``device``: where the engines compute, as for :func:`redetail.load_engine`. The pool connects when the first engine
    is needed. Errors in ``load`` and in calls are raised here; raises :class:`~redetail.errors.ClusterError` if workers
    are lost repeatedly.
    """

    def __init__(self, cluster: Cluster, load: Callable[[], Engine], device: str | None = None) -> None:
        if device is not None and ":" in device:
            raise SettingsError(
                f"device is {device}, but on a cluster, Ray chooses the GPU for each worker; set device to cuda "
                "instead."
            )
        self._cluster, self._load, self._device = cluster, load, device
        self._stack, self._numbers = ExitStack(), count()
        self._workers: list[Worker] = []
        self._failed = 0  # workers that were lost in a row while they loaded
        self._tokens: dict[Path, tuple[Path, str]] = {}
        self._looked = 0.0
        self._connected: tuple[ModuleType, Share] | None = None
        self._engine: RemoteEngine | None = None

    def __enter__(self) -> EnginePool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers, and Ray if it was started for the pool."""
        for worker in list(self._workers):
            self._drop(worker)
        for token, _ in self._tokens.values():
            token.unlink(missing_ok=True)
        self._tokens.clear()
        self._stack.close()
        self._connected = None

    @property
    def workers(self) -> int:
        """The most workers that there can be."""
        return self._share.workers

    @property
    def in_flight(self) -> int:
        """The most calls that the pool holds."""
        return EACH * self.workers

    @property
    def engine(self) -> RemoteEngine:
        """An engine that asks the first worker; it is loaded when this returns."""
        if self._engine is None:
            self._engine = RemoteEngine(self.ask)
        return self._engine

    def ask(self, function: Callable[..., R], *arguments: Any) -> R:
        """Call ``function`` with a worker's engine and ``arguments``, and return the result; everything is pickled."""
        (answer,) = self.run([Job(lambda worker: Asked(function, arguments))])
        return answer

    def run(self, jobs: Iterable[Job[R]], cancel: CancelToken | None = None, *, each: int = EACH) -> Iterator[R]:
        """Do every job and yield the results of their calls as they finish; the next job is requested when a worker can
        take it. ``each``: the most jobs that a worker holds, including the running one."""
        source, again, started = iter(jobs), deque[_Held](), time.monotonic()
        try:
            while True:
                left = self._hand_out(source, again, each)
                if not left and not again and not any(worker.held for worker in self._workers):
                    return
                yield from self._finished(again)
                self._show_progress()
                started = self._noted_wait(started)
                if cancel is not None:
                    cancel.check()
        except BaseException:
            self._stop()
            raise

    def sees(self, worker: Worker, folder: Path) -> bool:
        """Whether the worker's machine sees a folder of this one: a file with a secret is written and read there."""
        if folder not in worker.seen:
            if folder not in self._tokens:
                secret = uuid.uuid4().hex
                token = hidden_name(folder.absolute() / "shared", secret[:8], "part")
                write_bytes(token, secret.encode())
                self._tokens[folder] = token, secret
            token, secret = self._tokens[folder]
            worker.seen[folder] = self._get(_beside(worker.actor.sees).remote(str(token), secret), False)
        return worker.seen[folder]

    def has(self, worker: Worker, path: Path) -> bool:
        """Whether the worker's machine has this file, or this folder of files, under the same name."""
        return bool(self._get(_beside(worker.actor.has).remote(path, stamp(path)), False))

    def _hand_out(self, source: Iterator[Job[Any]], again: deque[_Held], each: int) -> bool:
        """Give work to workers that can take it; False once no work is left."""
        if not self._workers:
            self._start()
        while worker := self._free(each):
            if again:
                held = again.popleft()
            elif (job := next(source, None)) is not None:
                held = _Held(next(self._numbers), job)
            else:
                return False
            self._give(worker, held)
        self._grow()
        return True

    def _free(self, each: int) -> Worker | None:
        """The worker with the least work, unless all have enough; no worker gets a second job while others load."""
        ready = [worker for worker in self._workers if worker.ready]
        most = each if len(ready) == self.workers else 1
        return min((one for one in ready if len(one.held) < most), key=lambda one: len(one.held), default=None)

    def _grow(self) -> None:
        """Double the number of workers if all that are ready are busy."""
        ready = [worker for worker in self._workers if worker.ready]
        for _ in range(min(2 * len(ready), self.workers) - len(self._workers)):
            self._start()

    def _give(self, worker: Worker, held: _Held) -> None:
        reference = worker.actor.call.remote(held.number, held.job.call(worker))
        worker.held[reference] = held

    def _finished(self, again: deque[_Held]) -> Iterator[Any]:
        """The results of the calls that have ended; calls of lost workers are added to ``again``."""
        for worker in list(self._workers):
            waited = list(worker.held) if worker.ready else [worker.loading]
            if waited:
                done, _ = self._ray.wait(waited, num_returns=len(waited), timeout=0)
                yield from self._taken(worker, done, again)
        pending = [one for worker in self._workers for one in (worker.held if worker.ready else [worker.loading])]
        if pending:
            self._ray.wait(pending, num_returns=1, timeout=_EVERY)

    def _taken(self, worker: Worker, done: list[Any], again: deque[_Held]) -> Iterator[Any]:
        for reference in done:
            try:
                answer = self._get(reference)
            except _LostError:
                yield from self._lose(worker, again)
                return
            if not worker.ready:
                worker.name, worker.ready, self._failed = answer, True, 0
            else:
                del worker.held[reference]
                yield answer

    def _lose(self, worker: Worker, again: deque[_Held]) -> Iterator[Any]:
        """Handle a lost worker: its calls go to others, but a call that took down several workers is given up."""
        self._drop(worker)
        self._failed += not worker.ready
        if self._failed >= _TRIES:
            raise ClusterError(
                f"{_TRIES} workers of the cluster died while loading the model; see Ray's logs, and check that their "
                "machines have enough memory and the same version of redetail."
            )
        lost = list(worker.held.values())
        if lost:
            lost[0].tries += 1  # the one that ran
            if lost[0].tries >= _TRIES:
                yield lost.pop(0).job.give_up(
                    ClusterError(
                        f"{_TRIES} workers of the cluster died on the same piece of work; see Ray's logs, and check "
                        "that the machines of the workers have enough memory."
                    )
                )
        if lost or worker.ready:
            _LOG.warning("A worker of the cluster was lost; another one will redo its unfinished work.")
        again.extend(lost)

    def _show_progress(self) -> None:
        """Read the answers about progress that have come, and ask again; a lost worker does not answer."""
        if time.monotonic() - self._looked < _EVERY:
            return
        self._looked = time.monotonic()
        for worker in self._workers:
            if worker.reports is not None and self._ray.wait([worker.reports], timeout=0)[0]:
                reports: dict[int, Any] = self._get(worker.reports, {})
                for held in worker.held.values():
                    if held.number in reports:
                        held.job.progress(reports[held.number])
                worker.reports = None
            if worker.reports is None and worker.held:
                worker.reports = _beside(worker.actor.reports).remote()

    def _noted_wait(self, since: float) -> float:
        """The time since which no worker has been ready; after a while, a note says so."""
        now = time.monotonic()
        if any(worker.ready for worker in self._workers):
            return now
        if since <= now < since + _PATIENCE:
            return since
        if since < now:
            _LOG.warning("Waiting for a worker: either the cluster has no free machine, or the model is still loading.")
        return float("inf")

    def _start(self) -> None:
        """Start a worker; it can take work once its engine is loaded."""
        share = self._share
        limits = {"max_restarts": 0, "max_task_retries": 0, "concurrency_groups": {_BESIDE: 1}}
        actor = self._ray.remote(**share.options(), **limits)(EngineWorker).remote()
        loading = actor.load.remote(version(), self._load, None if share.gpus else share.cores, os.getcwd())
        self._workers.append(Worker(actor, loading))

    def _stop(self) -> None:
        """Let running calls end; workers whose calls do not end are killed."""
        held = [reference for worker in self._workers for reference in worker.held]
        if held:
            stopping = [_beside(worker.actor.stop).remote() for worker in self._workers if worker.held]
            self._ray.wait([*held, *stopping], num_returns=len(held) + len(stopping), timeout=_GRACE)
        for worker in list(self._workers):
            if worker.held and self._ray.wait(list(worker.held), num_returns=len(worker.held), timeout=0)[1]:
                self._drop(worker)
            elif worker.held:
                worker.held.clear()
                worker.actor.go_on.remote()

    def _drop(self, worker: Worker) -> None:
        if worker in self._workers:
            self._workers.remove(worker)
            self._ray.kill(worker.actor)

    def _get(self, reference: Any, *default: Any) -> Any:
        """What a call returned or raised; for a lost worker the default, or :class:`_LostError`."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:
            if isinstance(error.cause, errors.RayError):
                raise _LostError from error
            raise error.cause from error
        except errors.RayError as error:
            if default:
                return default[0]
            raise _LostError from error

    @property
    def _ray(self) -> ModuleType:
        return self._started()[0]

    @property
    def _share(self) -> Share:
        return self._started()[1]

    def _started(self) -> tuple[ModuleType, Share]:
        if self._connected is None:
            ray = self._stack.enter_context(connected(self._cluster))
            self._connected = ray, share_of(ray, self._cluster, self._device)
        return self._connected


def _beside(method: Any) -> Any:
    """A method of a worker that does not wait for the worker's current call."""
    return method.options(concurrency_group=_BESIDE)
