"""Small plans and clips, and executors that do what a cluster may do: any order, any process, any interruption."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from random import Random

import numpy as np

from redetail.engines.base import Engine
from redetail.geometry.crop import Padding
from redetail.pipeline.executor import Report
from redetail.pipeline.plan import CropPlan, Plan
from redetail.pipeline.run import Run
from redetail.pipeline.stretches import split
from redetail.pipeline.tasks import Outcome, Task
from redetail.progress import CancelToken
from redetail.region import Region, Size
from redetail.settings import Settings
from redetail.video import array_source

WORKING = Size(36, 28)
FRAME = Size(60, 40)
SETTINGS = Settings(steps=2, denoise=1, mask_feather=0, color_match=False)


def region(frames=5, start=1, label="face 1", x=3.0):
    """A window of 18x14 pixels that drifts to the right over ``frames`` frames."""
    path = np.stack([np.linspace(x, x + 6, frames), np.linspace(4, 5, frames)], axis=1)
    boxes = np.concatenate([path + 4, path + np.array([14, 10])], axis=1)
    return Region(label, 0.9, start, Size(18, 14), path, boxes)


def crop_plan(frames=5, *, most=600, window=None, working=WORKING, settings=SETTINGS, track=1, **where):
    """A region of that many frames, in stretches of at most ``most``."""
    stretches = tuple(split(frames, most, window, 4))
    return CropPlan(region(frames, **where), working, Padding.to_multiple(working, 8), settings, track, stretches)


def plan_of(*crops):
    first = min(crop.region.start for crop in crops)
    return Plan(first, max(crop.region.stop for crop in crops), FRAME, crops, settings=SETTINGS)


def clip(frames=60, height=40, width=60):
    """Frames that differ, smooth enough to be scaled."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = [np.sin(5 * x + index) + np.cos(4 * y) for index in range(frames)]
    return np.rint((np.stack([waves] * 3, -1) / 4 + 0.5) * 255).astype(np.uint8)


def pixels(engine, plan, *, frames=60, workspace=None, executor=None, **options):
    """The enhanced crops of every region of a plan over :func:`clip`."""
    run = Run(array_source(clip(frames)), engine, SETTINGS, **options)
    with run.enhanced(plan, workspace, executor) as joined:
        return [crops.read(0, len(crops)) for crops in joined]


@dataclass(frozen=True)
class ShuffledExecutor:
    """Runs tasks in a random order, each as another process would get it: pickled."""

    engine: Engine
    seed: int = 0
    in_flight: int = 1000

    def run(self, tasks: Iterable[Task], report: Report, cancel: CancelToken | None = None) -> Iterator[Outcome]:
        choose, source = Random(self.seed), iter(tasks)
        held = list(islice(source, self.in_flight))
        while held:
            task = held.pop(choose.randrange(len(held)))
            sent: Task = pickle.loads(pickle.dumps(task))
            yield sent.run(self.engine, lambda share, task=task: report(task, share), cancel)
            held += islice(source, 1)


@dataclass(frozen=True)
class PoolExecutor:
    """Runs tasks in separate processes, each of which loads its own engine."""

    load: Callable[[], Engine]
    in_flight: int = 2

    def run(self, tasks: Iterable[Task], report: Report, cancel: CancelToken | None = None) -> Iterator[Outcome]:
        source = iter(tasks)
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            running = {pool.submit(run_loaded, self.load, task) for task in islice(source, self.in_flight)}
            while running:
                done: set[Future[Outcome]]
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
                running |= {pool.submit(run_loaded, self.load, task) for task in islice(source, len(done))}


def run_loaded(load: Callable[[], Engine], task: Task) -> Outcome:
    return task.run(load(), lambda share: None)
