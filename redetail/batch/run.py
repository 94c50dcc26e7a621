"""Runs a batch: with one engine in this process, or with one in each worker of a cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from redetail import api
from redetail.batch.clip import ClipProgress, ClipRun, Started
from redetail.batch.inputs import BatchClip
from redetail.batch.outcomes import Outcome, State
from redetail.batch.workers import spread
from redetail.cluster import Cluster, RayExecutor
from redetail.engines.base import Engine
from redetail.job import Job
from redetail.pipeline.work import Work
from redetail.progress import CancelToken


def run_batch(
    job: Job,
    clips: Sequence[BatchClip],
    *,
    overwrite: bool = False,
    work: Work | None = None,
    cluster: Cluster | None = None,
    started: Started = lambda clip, worker: None,
    progress: ClipProgress = lambda clip, report: None,
    cancel: CancelToken | None = None,
) -> Iterator[Outcome]:
    """Do the job for every clip and yield what became of each, in order; on a ``cluster``, as they finish.

    ``job``: what is the same for all clips; its source and outputs are not used. The engine is loaded once, or once in
    each worker, and only if there is something to do. A clip whose output exists counts as done, unless ``overwrite``
    is set. A stopped clip is continued, and a clip that fails does not stop the others. ``started`` is called when work
    on a clip starts, and again if its worker was lost. On a cluster, each worker does whole clips; if there are fewer
    clips than workers, all workers share each clip, stretch by stretch. Raises :class:`~redetail.errors.RedetailError`
    if the engine cannot be loaded, and :class:`~redetail.errors.Cancelled`.
    """
    shared = ClipRun(job, work or Work())
    job.check()
    left: list[BatchClip] = []
    engine: Engine | None = None
    for clip in clips:
        if os.path.exists(clip.output) and not overwrite and not shared.resumes_writing(clip):
            yield Outcome(clip=clip, state=State.SKIPPED)
        elif cluster is not None:
            left.append(clip)
        else:
            engine = engine or api.load_for(job)
            started(clip, "")
            yield shared(clip, engine, partial(progress, clip), cancel)
    if cluster is not None and left:
        yield from _on_cluster(shared, left, cluster, started, progress, cancel)


def _on_cluster(
    shared: ClipRun,
    clips: Sequence[BatchClip],
    cluster: Cluster,
    started: Started,
    progress: ClipProgress,
    cancel: CancelToken | None,
) -> Iterator[Outcome]:
    with api.pool_for(shared.job, cluster) as pool:
        if len(clips) >= pool.workers:
            yield from spread(pool, shared, clips, started, progress, cancel)
            return
        engine, workers = pool.engine, f"{pool.workers} workers"
        for clip in clips:
            started(clip, workers)
            outcome = shared(clip, engine, partial(progress, clip), cancel, RayExecutor(pool))
            yield replace(outcome, worker=workers)
