"""Runs tasks on a cluster: through the workspace if a worker sees it, else through Ray's object store."""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from redetail.cluster.pool import EnginePool, Job, Worker
from redetail.cluster.sending import Files
from redetail.engines.base import Engine
from redetail.errors import ClusterError
from redetail.files import write_bytes
from redetail.pipeline.blas import ONE_THREAD
from redetail.pipeline.executor import Report
from redetail.pipeline.tasks import Outcome, Task
from redetail.progress import CancelToken

_APPEARS = 60.0  # seconds after which a file is visible on every network file system, however it caches
_KINDS = ("sources", "results", "hints")


@dataclass(frozen=True)
class RayExecutor:
    """Runs tasks on the engines of a pool."""

    pool: EnginePool

    @property
    def in_flight(self) -> int:
        """Two tasks for each worker."""
        return self.pool.in_flight

    def run(self, tasks: Iterable[Task], report: Report, cancel: CancelToken | None = None) -> Iterator[Outcome]:
        """Run every task; see :meth:`redetail.pipeline.executor.Executor.run`.

        Tasks of a lost worker run on another one, so a result can be written twice, with the same bytes.
        """
        running: dict[tuple[int, int], Task] = {}

        def job(task: Task) -> Job[_Done]:
            running[task.region, task.number] = task
            return Job(partial(self._call, task), partial(report, task))

        for done in self.pool.run(map(job, tasks), cancel):
            _store(done)
            report(running.pop(done.outcome.key), 1.0)
            yield done.outcome

    def _call(self, task: Task, worker: Worker) -> _RunTask:
        # A worker has another working folder, and a worker that was given up may still write.
        task = replace(task, folder=task.folder.absolute(), attempt=f"-{uuid.uuid4().hex[:8]}")
        return _RunTask(task, None if self.pool.sees(worker, task.folder) else _sources(task))


@dataclass(frozen=True)
class _Done:
    """A task that is done: its result is in the workspace, or in ``files``."""

    task: Task
    outcome: Outcome
    files: Files | None


@dataclass(frozen=True)
class _RunTask:
    """Runs a task on a worker: in the workspace (``files`` is None), or in a separate folder with these files."""

    task: Task
    files: Files | None

    def __call__(self, engine: Engine, report: Callable[[float], None], cancel: CancelToken) -> _Done:
        with ONE_THREAD.held():
            return self._here(engine, report, cancel) if self.files is None else self._apart(engine, report, cancel)

    def _here(self, engine: Engine, report: Callable[[float], None], cancel: CancelToken) -> _Done:
        return _Done(self.task, self.task.run(engine, report, cancel), None)

    def _apart(self, engine: Engine, report: Callable[[float], None], cancel: CancelToken) -> _Done:
        with tempfile.TemporaryDirectory(prefix="redetail-") as name:
            folder = Path(name)
            for kind in _KINDS:
                (folder / kind).mkdir()
            for path, data in (self.files or {}).items():
                (folder / path).write_bytes(data)
            own = replace(self.task, folder=folder, durable=False)
            outcome = own.run(engine, report, cancel)
            made = (own.result.path, *(folder / "hints").iterdir())
            return _Done(self.task, outcome, {str(path.relative_to(folder)): path.read_bytes() for path in made})


def _sources(task: Task) -> Files:
    stores = (task.source, *task.hint_sources.values())
    return {str(store.path.relative_to(task.folder)): store.path.read_bytes() for store in stores}


def _store(done: _Done) -> None:
    """Put the files that a worker sent into the workspace, or wait until those that it wrote there are visible here."""
    for path, data in (done.files or {}).items():
        write_bytes(done.task.folder / path, data)
    result, end = done.task.result.path, time.monotonic() + _APPEARS
    while not result.exists():
        if time.monotonic() > end:
            raise ClusterError(
                f"A worker wrote {result}, but this machine cannot see that file; check that the folder is shared."
            )
        time.sleep(0.1)
