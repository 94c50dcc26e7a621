"""Feeds tasks: one pass over the clip writes source crops, and a task can run once its last frame is read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

from redetail.errors import InputError
from redetail.imaging import resample
from redetail.pipeline.hints import HintFrames
from redetail.pipeline.tasks import Task
from redetail.pipeline.workspace import Workspace
from redetail.video import Frame


def feed(
    tasks: Sequence[Task], frames: Iterable[Frame], workspace: Workspace, hints: Mapping[str, HintFrames]
) -> Iterator[Task]:
    """Yield every task, in order of time, when its source crops and those of its ``hints`` are in the workspace.

    The clip is read no further than the next task needs, so source crops of later stretches take no space yet. Raises
    :class:`~redetail.errors.InputError` if ``frames`` end before the tasks do.
    """
    waiting, opened = deque(sorted(tasks, key=lambda task: task.start)), list[Task]()
    seen = 0
    for frame in frames:
        seen = frame.index + 1
        while waiting and waiting[0].start <= frame.index:
            workspace.start(waiting[0])
            opened.append(waiting.popleft())
        _write_crops(opened, frame)
        for name, hint in hints.items():
            _write_hints(opened, name, hint, frame.index)
        complete = [task for task in opened if task.stop == seen]
        opened = [task for task in opened if task.stop != seen]
        yield from sorted(complete, key=lambda task: task.region)
    if opened or waiting:
        last = max(task.stop for task in tasks)
        raise InputError(
            f"The clip ended after {seen} frames, but the regions need {last} frames; check the regions, "
            "and do not change the clip during the run."
        )


def _write_crops(tasks: Iterable[Task], frame: Frame) -> None:
    crops = {}  # by region, since stretches share frames
    for task in tasks:
        if task.region not in crops:
            window = task.crop.region.window(frame.index - task.start)
            crops[task.region] = resample.crop(frame.pixels, window, task.crop.working)
        task.source.write(frame.index - task.start, crops[task.region][None])


def _write_hints(tasks: Iterable[Task], name: str, hints: HintFrames, index: int) -> None:
    for task in tasks:
        crop = hints.crop(index, task.crop.region.window(index - task.start), task.crop.working)
        task.hint_sources[name].write(index - task.start, crop[None])
