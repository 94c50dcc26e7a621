"""Executors decide where tasks run; nothing else knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from redetail.engines.base import Engine
from redetail.pipeline.tasks import Outcome, Task
from redetail.progress import CancelToken

Report = Callable[[Task, float], None]
"""Takes how much of a running task is done, 0..1."""


class Executor(Protocol):
    """Runs tasks on its own engine, or on several."""

    @property
    def in_flight(self) -> int:
        """How many tasks it holds at most at a time."""
        ...

    def run(self, tasks: Iterable[Task], report: Report, cancel: CancelToken | None = None) -> Iterator[Outcome]:
        """Run every task and yield its outcome, in the order in which they finish.

        ``tasks`` produces a task when it is asked for the next one, and a task's source crops stay on disk until its
        outcome was yielded. So an executor asks for one only when it can start it soon, and holds at most
        ``in_flight``. What a task raises is raised here; tasks that finished before keep their results.
        """
        ...


@dataclass(frozen=True)
class SerialExecutor:
    """One task after the other, in this process."""

    engine: Engine
    in_flight: int = field(default=1, init=False)

    def run(self, tasks: Iterable[Task], report: Report, cancel: CancelToken | None = None) -> Iterator[Outcome]:
        """Run every task in the order given; see :meth:`Executor.run`."""
        for task in tasks:
            yield task.run(self.engine, partial(report, task), cancel)
