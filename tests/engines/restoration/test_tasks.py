"""Prompts of the restoration model."""

import numpy as np
import pytest

import redetail
from redetail.engines import FakeEngine, load_engine
from redetail.engines.checks import prompt_notes
from redetail.engines.restoration.tasks import task_weights
from redetail.errors import SettingsError
from redetail.settings import Settings


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


def test_unknown_words_are_left_out_with_a_note() -> None:
    assert task_weights("sharpen the (eyes:1.2)") == (1, 0, 0)
    assert task_weights("a lady on a swing in a large old garden") is None
    capabilities = load_engine().capabilities
    (first,) = prompt_notes(Settings(prompt="sharpen the (eyes:1.2)"), capabilities)
    (second,) = prompt_notes(Settings(prompt="a lady on a swing in a large old garden"), capabilities)
    assert "'the eyes'" in first
    assert "sharpen, denoise, deblock and keep" in first
    assert "'a lady on a swing in ...'" in second
    assert prompt_notes(Settings(prompt="sharpen, (deblock:0.5)"), capabilities) == ()


def test_every_run_says_that_a_prompt_is_not_read() -> None:
    frames = np.zeros((2, 64, 64, 3), np.uint8)
    for _ in range(2):
        plan = redetail.plan(frames, box=(8, 8, 40, 40), engine=FakeEngine(), prompt="a lady", steps=1)
        assert plan.notices == ("The model fake does not use a prompt; yours is ignored.",)


@pytest.mark.parametrize("weight", ["2.1", "-1", "nan", "much"])
def test_weights_out_of_range_are_refused(weight: str) -> None:
    with pytest.raises(SettingsError, match=f"weight of denoise in the prompt is {weight}.*from 0 to 2"):
        task_weights(f"(denoise:{weight})")


def test_words_are_those_of_the_network() -> None:
    assert task_weights("sharpen", ("blur", "sharpen")) == (0, 1)
