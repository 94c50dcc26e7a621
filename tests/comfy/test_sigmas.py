"""Typed schedules."""

import pytest

from redetail.comfy.nodes.scheduler import RedetailScheduler
from redetail.comfy.sigmas import fixed_schedule, parsed_sigmas, resampled
from redetail.errors import SettingsError


@pytest.mark.parametrize("text", ["14.6, 7.1, 0", "14.6 7.1 0", "[14.6; 7.1;0.0,]\n", " 1.46e1\n7.1\n0 "])
def test_numbers_may_be_separated_in_any_usual_way(text: str) -> None:
    assert parsed_sigmas(text) == [14.6, 7.1, 0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("14, x, 0", "'x' at place 2"),
        ("14, -1", "'-1' at place 2"),
        ("14, nan", "'nan' at place 2"),
        ("inf, 1", "'inf' at place 1"),
        ("14", "1 numbers"),
        ("3, 3, 0", "3 at place 2, after 3"),
        ("0, 3", "3 at place 2, after 0"),
        ("__import__('os')", "at place 1"),
    ],
)
def test_anything_else_is_told_in_one_sentence(text: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told.replace("(", r"\(")) as caught:
        parsed_sigmas(text)
    assert str(caught.value).count(". ") == 0
    assert RedetailScheduler.VALIDATE_INPUTS(text) == str(caught.value)


def test_an_empty_text_and_a_good_one_are_valid() -> None:
    assert RedetailScheduler.VALIDATE_INPUTS("  ") is True
    assert RedetailScheduler.VALIDATE_INPUTS("2, 1, 0") is True


def test_as_many_steps_as_typed_are_used_as_they_are() -> None:
    assert fixed_schedule([14.6, 7.1, 2.5, 0])(None, "euler", 3).tolist() == pytest.approx([14.6, 7.1, 2.5, 0])


def test_other_numbers_of_steps_lie_on_the_same_curve() -> None:
    # Powers of two are linear in the logarithm, so the curve is known.
    typed = [16.0, 4.0, 1.0, 0.0]
    assert resampled(typed, 5) == pytest.approx([16, 8, 4, 2, 1, 0])
    assert resampled(typed, 2) == pytest.approx([16, 1, 0])
    assert resampled(typed, 1) == pytest.approx([16, 0])
    assert resampled([16.0, 1.0], 4) == pytest.approx([16, 8, 4, 2, 1])
    assert resampled([9.0, 0.0], 2) == pytest.approx([9, 9, 0])  # all that two numbers say
