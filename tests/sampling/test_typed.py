"""Schedules that are typed."""

import pytest

from redetail.errors import SettingsError
from redetail.sampling import VarianceExploding, sampled_sigmas, schedule
from redetail.sampling.typed import is_typed, parsed_sigmas, resampled


@pytest.mark.parametrize("text", ["14.6, 7.1, 0", "14.6 7.1 0", "[14.6; 7.1;0.0,]\n", " 1.46e1\n7.1\n0 "])
def test_numbers_may_be_separated_in_any_usual_way(text: str) -> None:
    assert parsed_sigmas(text) == [14.6, 7.1, 0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("14, x, 0", "'x' at position 2"),
        ("14, -1", "'-1' at position 2"),
        ("14, nan", "'nan' at position 2"),
        ("inf, 1", "'inf' at position 1"),
        ("14", "at least two numbers"),
        ("3, 3, 0", "3 at position 2, after 3"),
        ("0, 3", "3 at position 2, after 0"),
        ("__import__('os')", "at position 1"),
    ],
)
def test_anything_else_is_told_in_one_sentence(text: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told.replace("(", r"\(")) as caught:
        parsed_sigmas(text)
    assert str(caught.value).count(". ") == 0


def test_other_numbers_of_steps_lie_on_the_same_curve() -> None:
    # Powers of two are linear in the logarithm, so the curve is known.
    typed = [16.0, 4.0, 1.0, 0.0]
    assert resampled(typed, 5) == pytest.approx([16, 8, 4, 2, 1, 0])
    assert resampled(typed, 2) == pytest.approx([16, 1, 0])
    assert resampled(typed, 1) == pytest.approx([16, 0])
    assert resampled([16.0, 1.0], 4) == pytest.approx([16, 8, 4, 2, 1])
    assert resampled([9.0, 0.0], 2) == pytest.approx([9, 9, 0])  # all that two numbers say


def test_names_are_not_typed() -> None:
    assert not any(map(is_typed, ("karras", "GITS[coeff=1.2]", "AYS SD1", "")))
    assert all(map(is_typed, ("14.6, 7.2, 0", " [14; 0]", "(.5 .1)", "-1, 2")))


def test_a_typed_list_is_a_scheduler() -> None:
    path = VarianceExploding.stable_diffusion()
    assert schedule("14.6, 7.2, 3.1, 0", path, 3) == pytest.approx([14.6, 7.2, 3.1, 0])
    # It is used as it is: no sigma is left out for samplers with that rule.
    assert schedule("14.6, 7.2, 3.1, 0", path, 3, drop_penultimate=True) == pytest.approx([14.6, 7.2, 3.1, 0])
    assert sampled_sigmas("16, 4, 1, 0", path, 2, 0.4) == pytest.approx([2, 1, 0])  # the last two of five steps
