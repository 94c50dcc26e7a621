"""Schedules for detailers."""

from __future__ import annotations

from typing import Literal

from redetail.comfy.sampling import SchedulerFunction, comfy_schedulers
from redetail.comfy.schema import Inputs, Node, choice, text
from redetail.comfy.sigmas import fixed_schedule, named_schedule
from redetail.errors import SettingsError
from redetail.sampling.typed import parsed_sigmas


class RedetailScheduler(Node):
    """A schedule by name or typed as sigmas."""

    ID = "RedetailScheduler"
    NAME = "Redetail Scheduler"
    CATEGORY = "Redetail"
    DESCRIPTION = (
        "A schedule for the scheduler_func_opt input of a detailer: a named schedule, or sigmas that you type. If "
        "the detailer asks for exactly as many steps as your sigmas make, it gets the sigmas unchanged; for any "
        "other number of steps, the sigmas are interpolated."
    )
    SEARCH_ALIASES = ["sigmas", "scheduler func", "custom schedule", "manual sigmas"]
    RETURN_TYPES = ("SCHEDULER_FUNC",)
    RETURN_NAMES = ("scheduler_func",)
    OUTPUT_TOOLTIPS = ("The schedule, for the scheduler_func_opt input of a detailer.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "scheduler": choice(comfy_schedulers(), "The schedule to use if the sigmas input is empty."),
                "sigmas": text(
                    "",
                    "Noise levels from high to low, separated by commas; if empty, the schedule named above is used. "
                    "A detailer whose denoise is below 1 asks for more steps (its steps divided by its denoise) and "
                    "uses only the last part of the schedule.",
                    multiline=True,
                    placeholder="14.6, 7.1, 3.9, 2.2, 1.1, 0.4, 0",
                ),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, sigmas: str) -> Literal[True] | str:
        """What is wrong with the text, before anything runs."""
        try:
            if sigmas.strip():
                parsed_sigmas(sigmas)
        except SettingsError as error:
            return str(error)
        return True

    @staticmethod
    def doit(scheduler: str, sigmas: str = "") -> tuple[SchedulerFunction]:
        """The schedule as a function."""
        return (fixed_schedule(parsed_sigmas(sigmas)) if sigmas.strip() else named_schedule(scheduler),)


NODES: tuple[type[Node], ...] = (RedetailScheduler,)
