"""Typed and named schedules for detailers."""

import pytest

from redetail.comfy.nodes.scheduler import RedetailScheduler
from redetail.comfy.sigmas import fixed_schedule


def test_what_cannot_be_read_is_refused_before_anything_runs() -> None:
    assert RedetailScheduler.VALIDATE_INPUTS("14, x, 0") == (
        "The list of sigmas has 'x' at position 2; give only numbers that are 0 or more, as in 14.6, 7.1, 2.5, 0."
    )


def test_an_empty_text_and_a_good_one_are_valid() -> None:
    assert RedetailScheduler.VALIDATE_INPUTS("  ") is True
    assert RedetailScheduler.VALIDATE_INPUTS("2, 1, 0") is True


def test_as_many_steps_as_typed_are_used_as_they_are() -> None:
    assert fixed_schedule([14.6, 7.1, 2.5, 0])(None, "euler", 3).tolist() == pytest.approx([14.6, 7.1, 2.5, 0])
