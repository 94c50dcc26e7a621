"""Guidance: its formula, and how many evaluations it costs."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from redetail.sampling import Guidance, predict_both

X = torch.zeros(2, 1, 2, 2)


class Constant:
    """Predicts its condition; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, ...]] = []

    def __call__(self, x: Tensor, sigma: float, conditions: Sequence[float], /) -> list[Tensor]:
        self.asked.append(tuple(conditions))
        return [torch.full_like(x, value) for value in conditions]


def test_the_prediction_is_pushed_away_from_the_negative() -> None:
    model = Constant()
    assert Guidance(model, 3.0, 1.0, 2.5)(X, 1.0).unique().tolist() == [6.0]  # 1 + 2.5 * (3 - 1)
    assert model.asked == [(3.0, 1.0)]


def test_cfg_1_evaluates_the_positive_alone() -> None:
    model = Constant()
    assert Guidance(model, 3.0, 1.0, 1.0)(X, 1.0).unique().tolist() == [3.0]
    assert model.asked == [(3.0,)]


@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_both_predictions_come_from_one_call(cfg: float) -> None:
    model = Constant()
    both = predict_both(Guidance(model, 3.0, 1.0, cfg), X, 1.0)
    assert both.negative.unique().tolist() == [1.0]
    assert both.guided.unique().tolist() == [1.0 + cfg * 2.0]
    assert model.asked == [(3.0, 1.0)]


def test_a_denoiser_without_guidance_is_its_own_negative() -> None:
    both = predict_both(lambda x, sigma: x + sigma, X, 2.0)
    assert both.guided is both.negative
