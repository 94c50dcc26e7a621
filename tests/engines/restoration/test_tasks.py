"""Prompts of the restoration model."""

import logging

import pytest

from redetail.engines.restoration.tasks import task_weights
from redetail.errors import SettingsError


@pytest.mark.parametrize(
    ("prompt", "weights"),
    [
        ("sharpen", (1, 0, 0)),
        ("deblock, denoise", (0, 1, 1)),
        ("Sharpen  DENOISE deblock", (1, 1, 1)),
        ("(sharpen:0.5), deblock", (0.5, 0, 1)),
        ("( denoise : 2 )", (0, 2, 0)),
        ("keep", (0, 0, 0)),
        ("keep, denoise", (0, 1, 0)),
        ("(sharpen:0)", (0, 0, 0)),
    ],
)
def test_words_become_weights(prompt: str, weights: tuple[float, ...]) -> None:
    assert task_weights(prompt) == weights


@pytest.mark.parametrize("prompt", ["", "  ", ", ,"])
def test_no_words_say_nothing(prompt: str) -> None:
    assert task_weights(prompt) is None


def test_unknown_words_are_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert task_weights("sharpen the (eyes:1.2)") == (1, 0, 0)
        assert task_weights("a lady on a swing in a large old garden") is None
    first, second = (record.getMessage() for record in caplog.records)
    assert "'the eyes'" in first
    assert "sharpen, denoise, deblock and keep" in first
    assert "'a lady on a swing in ...'" in second


@pytest.mark.parametrize("weight", ["2.1", "-1", "nan", "much"])
def test_weights_out_of_range_are_refused(weight: str) -> None:
    with pytest.raises(SettingsError, match=f"weight of denoise in the prompt is {weight}.*from 0 to 2"):
        task_weights(f"(denoise:{weight})")


def test_words_are_those_of_the_network() -> None:
    assert task_weights("sharpen", ("blur", "sharpen")) == (0, 1)
