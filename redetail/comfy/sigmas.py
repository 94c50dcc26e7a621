"""A schedule that a person types or names, as a SCHEDULER_FUNC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from redetail.comfy.sampling import SchedulerFunction, schedule
from redetail.sampling.typed import resampled
from redetail.settings import Settings


def fixed_schedule(sigmas: Sequence[float]) -> SchedulerFunction:
    """These sigmas for as many steps as they have; for others a curve through them, linear in the logarithm."""

    def sigmas_for(model: Any, sampler: str, steps: int) -> Tensor:
        return torch.tensor(resampled(sigmas, steps), dtype=torch.float32)

    return sigmas_for


def named_schedule(name: str) -> SchedulerFunction:
    """The schedule of that name, for whatever model and sampler it is asked."""

    def sigmas_for(model: Any, sampler: str, steps: int) -> Tensor:
        return torch.tensor(schedule(model, Settings(sampler=sampler, scheduler=name), steps, None))

    return sigmas_for
