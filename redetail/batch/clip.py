"""One clip of a batch: an error becomes the clip's outcome, and does not stop the other clips."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from redetail import api
from redetail._version import __version__
from redetail.batch.inputs import BatchClip
from redetail.batch.outcomes import Outcome, State
from redetail.engines.base import Engine
from redetail.errors import Cancelled, RedetailError
from redetail.files import cannot_write
from redetail.job import Job
from redetail.pipeline.executor import Executor
from redetail.pipeline.result import Result
from redetail.pipeline.work import Work
from redetail.progress import CancelToken, Progress, ProgressCallback

_LOG = logging.getLogger(__name__)
Started = Callable[[BatchClip, str], None]
"""Called with a clip on which work starts, and the name of its worker (empty: this process)."""
ClipProgress = Callable[[BatchClip, Progress], None]


@dataclass(frozen=True)
class ClipRun:
    """Runs the clips of a batch one after another; all share the ``job``, and how ``work`` is kept."""

    job: Job
    work: Work

    def __call__(
        self,
        clip: BatchClip,
        engine: Engine,
        progress: ProgressCallback,
        cancel: CancelToken | None,
        executor: Executor | None = None,
    ) -> Outcome:
        """Process one clip; an error becomes its outcome."""
        started = time.monotonic()
        failed = partial(Outcome, clip=clip, state=State.FAILED)
        try:
            result = self._detailed(clip, engine, progress, cancel, executor)
        except Cancelled:
            raise
        except RedetailError as error:
            return failed(message=str(error), seconds=time.monotonic() - started)
        except Exception as error:  # noqa: BLE001 - a bug in one clip must not stop a night's work
            _LOG.warning("A bug in redetail stopped the work on %s; report it.", clip.source, exc_info=True)
            message = f"This is a bug in redetail {__version__} ({type(error).__name__}: {error}); report it."
            return failed(message=message, seconds=time.monotonic() - started)
        plan = result.report.plan
        state = State.DAMAGED if result.faults else State.DONE if plan.all_crops else State.NOBODY
        return Outcome(
            clip=clip,
            state=state,
            frames=len(plan),
            subjects=len(plan.crops),
            seconds=time.monotonic() - started,
            notices=result.notices,
        )

    def resumes_writing(self, clip: BatchClip) -> bool:
        """Whether a stopped run, which now continues, had started to write the clip's output."""
        return self._work_of(clip).may_replace(clip.output)

    def _detailed(
        self,
        clip: BatchClip,
        engine: Engine,
        progress: ProgressCallback,
        cancel: CancelToken | None,
        executor: Executor | None,
    ) -> Result:
        own = replace(self.job, source=clip.source, output=clip.output, compare=None, report=None, save_hints=None)
        make_folder(clip.output.parent)
        work = self._work_of(clip)
        return api.run_loaded(own, engine, work=work, executor=executor, progress=progress, cancel=cancel)

    def _work_of(self, clip: BatchClip) -> Work:
        return replace(self.work, resume=os.path.exists(self.work.folder_of(clip.output)))


def make_folder(folder: Path) -> None:
    """Make a folder of outputs; raises :class:`~redetail.errors.OutputError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
