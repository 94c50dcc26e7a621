"""Executors decide where tasks run; no other part of redetail knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from redetail.engines.base import Engine
from redetail.pipeline.tasks import Outcome, Task
from redetail.progress import CancelToken

Report = Callable[[Task, float], None]
"""Called with a running task and the share of it that is done, 0..1."""


class Executor(Protocol):
    """Runs tasks on its own engine, or on several."""

    @property
    def in_flight(self) -> int:
        """The most tasks that it holds at a time."""
        ...

    def run(self, tasks: Iterable[Task], report: Report, cancel: CancelToken | None = None) -> Iterator[Outcome]:
        """Run every task and yield its outcome, in the order in which they finish.

        ``tasks`` prepares a task when it is asked for the next one, and a task's source crops stay on disk until its
        outcome has been yielded. So an executor asks for a task only when it can start it soon, and holds at most
        ``in_flight`` tasks. An error in a task is raised here; tasks that finished before it keep their results.
        """
        ...


@dataclass(frozen=True)
class SerialExecutor:
    """Runs one task after another, in this process."""

    engine: Engine
    in_flight: int = field(default=1, init=False)

    def run(self, tasks: Iterable[Task], report: Report, cancel: CancelToken | None = None) -> Iterator[Outcome]:
        """Run every task in the order given; see :meth:`Executor.run`."""
        for task in tasks:
            yield task.run(self.engine, partial(report, task), cancel)
