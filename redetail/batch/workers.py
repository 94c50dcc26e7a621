"""Processes whole clips on the workers of a cluster: in folders that a worker sees, or in files sent there and back."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from redetail import claims
from redetail.batch.clip import ClipProgress, ClipRun, Started, make_folder
from redetail.batch.inputs import BatchClip
from redetail.batch.outcomes import Outcome, State
from redetail.cluster.pool import EnginePool, Job, Worker
from redetail.cluster.sending import Files, packed, unpack
from redetail.engines.base import Engine
from redetail.errors import ClusterError, RedetailError
from redetail.pipeline.work import Work
from redetail.progress import CancelToken, Progress


def spread(
    pool: EnginePool,
    shared: ClipRun,
    clips: Sequence[BatchClip],
    started: Started,
    progress: ClipProgress,
    cancel: CancelToken | None,
) -> Iterator[Outcome]:
    """Process clips on the workers of a pool, one at a time on each, and yield the outcome of each as it finishes."""
    failed: list[Outcome] = []

    def jobs() -> Iterator[Job[_Done]]:
        for clip in clips:
            try:
                make_folder(clip.output.parent)
            except RedetailError as error:
                failed.append(_failed(clip, error))
            else:
                yield Job(partial(sent, clip), partial(progress, clip), partial(_given_up, clip))

    def sent(clip: BatchClip, worker: Worker) -> _RunClip:
        started(clip, worker.name)
        return _RunClip(shared, clip, worker.name, None if _seen(pool, worker, shared.work, clip) else _read(clip))

    for done in pool.run(jobs(), cancel, each=1):
        yield _received(done, shared.work)
    yield from failed


@dataclass(frozen=True)
class _Done:
    """A clip that is done: its output is in place, or in ``files``."""

    outcome: Outcome
    files: Files | None = None


@dataclass(frozen=True)
class _RunClip:
    """Processes a clip on a worker: in its own folder (``files`` is None), or in a separate folder with these files."""

    shared: ClipRun
    clip: BatchClip
    worker: str
    files: Files | None

    def __call__(self, engine: Engine, report: Callable[[Progress], None], cancel: CancelToken) -> _Done:
        done = self._here(engine, report, cancel) if self.files is None else self._apart(engine, report, cancel)
        return replace(done, outcome=replace(done.outcome, worker=self.worker))

    def _here(self, engine: Engine, report: Callable[[Progress], None], cancel: CancelToken) -> _Done:
        return _Done(self.shared(self.clip, engine, report, cancel))

    def _apart(self, engine: Engine, report: Callable[[Progress], None], cancel: CancelToken) -> _Done:
        with tempfile.TemporaryDirectory(prefix="redetail-") as name:
            own = BatchClip(
                Path(name) / "source" / self.clip.source.name, Path(name) / "output" / self.clip.output.name
            )
            own.source.parent.mkdir()
            unpack(self.files or {}, own.source)
            run = replace(self.shared, work=Work(limit=self.shared.work.limit))
            outcome = run(own, engine, report, cancel)
            return _Done(_renamed(outcome, self.clip), packed(own.output))


def _seen(pool: EnginePool, worker: Worker, work: Work, clip: BatchClip) -> bool:
    """Whether a worker sees the clip, and the folders of its output and work."""
    folders = [clip.output.parent, *([] if work.folder is None else [work.folder])]
    return pool.has(worker, clip.source) and all(pool.sees(worker, folder) for folder in folders)


def _renamed(outcome: Outcome, clip: BatchClip) -> Outcome:
    """The outcome with the clip's own names instead of those that it had on the worker."""

    def named(text: str) -> str:
        text = text.replace(str(outcome.clip.source), str(clip.source))
        return text.replace(str(outcome.clip.output), str(clip.output))

    return replace(outcome, clip=clip, message=named(outcome.message), notices=tuple(map(named, outcome.notices)))


def _received(done: _Done, work: Work) -> Outcome:
    """Put the files that a worker sent in place, and remove what a stopped run of the clip left."""
    clip = done.outcome.clip
    if done.files:
        try:
            unpack(done.files, clip.output)
        except RedetailError as error:
            return replace(done.outcome, state=State.FAILED, message=str(error))
        claims.remove([work.folder_of(clip.output)])
    return done.outcome


def _given_up(clip: BatchClip, error: ClusterError) -> _Done:
    return _Done(_failed(clip, error))


def _failed(clip: BatchClip, error: RedetailError) -> Outcome:
    return Outcome(clip=clip, state=State.FAILED, message=str(error))


def _read(clip: BatchClip) -> Files:
    """The clip's files, without those that cannot be read; the run reports these."""
    try:
        return packed(clip.source)
    except OSError:
        return {}
