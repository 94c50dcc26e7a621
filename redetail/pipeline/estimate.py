"""Estimates what a run will take, before it starts: memory, work space and time."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from redetail.engines.base import CropSource, Engine, Request
from redetail.pipeline.memory import MemoryBudget
from redetail.pipeline.plan import Plan
from redetail.pipeline.stretches import Budgets
from redetail.pipeline.tasks import plan_tasks
from redetail.pipeline.workspace import estimated_bytes
from redetail.progress import CancelToken
from redetail.settings import Settings

_FRAMES, _SIDE = 8, 64  # number and side of the crops that the engine is timed with
_STEPS = 3  # at most; any further steps take equally long


@dataclass(frozen=True, slots=True)
class Estimate:
    """``memory``: the most bytes that the process will hold; ``work_space``: the most bytes on disk; ``seconds``: the
    time for detailing, without finding subjects and writing (None: not known)."""

    memory: int
    work_space: int
    seconds: float | None = None


def estimated(plan: Plan, budget: MemoryBudget, engine: Engine, cancel: CancelToken | None = None) -> Estimate:
    """The estimate for a plan; if the engine's time is proportional to pixels, small requests are timed."""
    budgets = plan.budgets or Budgets.of(engine.capabilities)
    space = estimated_bytes(plan_tasks(plan, Path()))
    return Estimate(budget.estimate(plan.all_crops, budgets), space, _seconds(plan, engine, cancel))


def _seconds(plan: Plan, engine: Engine, cancel: CancelToken | None) -> float | None:
    if not engine.capabilities.cost.even:
        return None
    pixels: dict[Settings, int] = {}
    for crop in plan.all_crops:
        size = crop.padding.padded(crop.working)
        frames = sum(map(len, crop.stretches))
        pixels[crop.settings] = pixels.get(crop.settings, 0) + frames * size.width * size.height
    return sum(count * _seconds_per_pixel(engine, settings, cancel) for settings, count in pixels.items())


def _seconds_per_pixel(engine: Engine, settings: Settings, cancel: CancelToken | None) -> float:
    """Measured with small requests of one step and of a few; a first request, which sets up the device, is not
    counted."""
    few = min(settings.steps, _STEPS)
    _timed(engine, replace(settings, steps=1), cancel)
    one = _timed(engine, replace(settings, steps=1), cancel)
    if few == 1:
        return one
    each = (_timed(engine, replace(settings, steps=few), cancel) - one) / (few - 1)
    return one + max(each, 0.0) * (settings.steps - 1)


def _timed(engine: Engine, settings: Settings, cancel: CancelToken | None) -> float:
    """Seconds that the engine takes for each pixel of small crops."""
    multiple = engine.capabilities.size_multiple
    side = -(-_SIDE // multiple) * multiple
    crops = np.random.default_rng(0).random((_FRAMES, side, side, 3), np.float32)
    request = Request(
        crops=CropSource.of(crops),
        mask=lambda start, stop: np.ones((stop - start, side, side), np.float32),
        write=lambda start, pixels: None,
        settings=settings,
        cancel=cancel,
    )
    started = time.perf_counter()
    engine.run(request)
    return (time.perf_counter() - started) / crops[..., 0].size
