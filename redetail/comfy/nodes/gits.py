"""GITS as a scheduler function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from redetail.comfy.schema import Inputs, Node, number
from redetail.sampling.published import gits_sigmas


@dataclass(frozen=True)
class GitsSchedule:
    """A SCHEDULER_FUNC: (model, sampler name, steps) -> sigmas, from high to 0, of which only ``steps`` matters.

    ``denoise`` below 1 keeps the last round(steps * denoise) steps (halves to even), and none at 0. Samplers that drop
    the penultimate sigma of named schedules take these as they are.
    """

    coefficient: float
    denoise: float = 1.0

    def __call__(self, model: Any, sampler_name: str, steps: int) -> Tensor:
        """The sigmas, float32 (steps + 1,)."""
        if self.denoise <= 0:
            return torch.empty(0)
        kept = steps if self.denoise >= 1 else round(steps * self.denoise)
        return torch.tensor(gits_sigmas(steps, self.coefficient)[-(kept + 1) :])


class GITSSchedulerFuncProvider(Node):
    """The GITS schedule for a detailer."""

    ID = "GITSSchedulerFuncProvider"
    NAME = "GITSScheduler Func Provider"
    CATEGORY = "ImpactPack/sampling"
    DESCRIPTION = "Gives a detailer the GITS schedule, which needs few steps and is made for Stable Diffusion 1.5."
    SEARCH_ALIASES = ["gits schedule", "scheduler function"]
    RETURN_TYPES = ("SCHEDULER_FUNC",)
    OUTPUT_TOOLTIPS = ("The schedule, for the scheduler_func_opt input of a detailer.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "coeff": number(
                    1.2, 0.8, 1.5, "Coefficient of the published schedule to use, from 0.80 to 1.50.", step=0.05
                ),
                "denoise": number(
                    1.0, 0.0, 1.0, "Share of the steps to keep, counted from the end; 0 keeps none.", step=0.01
                ),
            }
        }

    @staticmethod
    def doit(coeff: float, denoise: float) -> tuple[GitsSchedule]:
        """The schedule; raises UnknownNameError for a coefficient that was not published."""
        coefficient = round(coeff, 2)
        gits_sigmas(2, coefficient)  # a wrong coefficient fails here and not within the detailer
        return (GitsSchedule(coefficient, denoise),)


NODES: tuple[type[Node], ...] = (GITSSchedulerFuncProvider,)
