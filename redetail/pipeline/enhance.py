"""Pass 2: enhance. Tasks run as the clip is read; results stay in the workspace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from redetail.pipeline.executor import Executor
from redetail.pipeline.joints import JoinedCrops
from redetail.pipeline.plan import Plan
from redetail.pipeline.tasks import Task
from redetail.pipeline.workspace import Workspace
from redetail.progress import CancelToken, Progress, ProgressCallback


def enhance(
    fed: Iterable[Task], executor: Executor, workspace: Workspace, tally: Tally, cancel: CancelToken | None = None
) -> None:
    """Run tasks as they are ``fed``, and remove the source crops of each task once it is done."""
    running: dict[tuple[int, int], Task] = {}

    def noted() -> Iterator[Task]:
        for task in fed:
            running[task.key] = task
            yield task

    for outcome in executor.run(noted(), tally, cancel):
        task = running.pop(outcome.key)
        workspace.finish(task)
        tally.finish(task)


def joined(plan: Plan, tasks: Iterable[Task]) -> list[JoinedCrops]:
    """The enhanced crops of every region of a plan whose tasks are done, those of the background last."""
    results = {task.key: task.result for task in tasks}
    return [
        JoinedCrops(crop.stretches, [results[region, number] for number in range(len(crop.stretches))])
        for region, crop in enumerate(plan.all_crops)
    ]


class Tally:
    """Progress of many tasks as frames of one pass, no matter which of them run at the same time."""

    def __init__(self, progress: ProgressCallback, tasks: Iterable[Task]) -> None:
        self._progress, self._total = progress, sum(task.stretch.added for task in tasks)
        self._done: dict[tuple[int, int], float] = {}
        self._reported = -1.0

    def __call__(self, task: Task, share: float) -> None:
        """Record the share of a running task that is done, 0..1."""
        self._done[task.key] = task.stretch.added * share
        done = sum(self._done.values())
        if done > self._reported:
            self._reported = done
            self._progress(Progress("detail", done, self._total))

    def finish(self, task: Task) -> None:
        """Record that a task is done."""
        self(task, 1.0)
