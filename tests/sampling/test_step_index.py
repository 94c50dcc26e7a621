"""Where in the sampling a noise level lies, and denoisers that take turns."""

import pytest
import torch

from redetail.sampling import StepIndex, SwitchingDenoiser, VarianceExploding, predict_both, sampled_sigmas

INDEX = StepIndex((8.0, 4.0, 2.0, 1.0, 0.0))


@pytest.mark.parametrize(
    ("sigma", "step"),
    [(9, 0), (8, 0), (6, 0), (4, 1), (3.99999, 1), (4.00001, 1), (3.9, 1), (2, 2), (1, 3), (0.5, 3), (0.001, 3)],
)
def test_a_sigma_belongs_to_the_step_that_it_begins_or_lies_in(sigma: float, step: int) -> None:
    assert INDEX.step(sigma) == step


@pytest.mark.parametrize("steps", [1, 2, 7, 20])
def test_every_step_of_a_schedule_is_found(steps: int) -> None:
    sigmas = sampled_sigmas("karras", VarianceExploding.animatediff(), steps, 0.5)
    index = StepIndex(tuple(sigmas))
    assert [index.step(sigma) for sigma in sigmas[:-1]] == list(range(steps))


def test_shares_count_whole_steps() -> None:
    """The rule of the published ControlNet pipelines: step i of n acts if i/n >= start and (i + 1)/n <= end."""
    acting = [[INDEX.within(sigma, *share) for sigma in INDEX.sigmas[:-1]] for share in ((0, 1), (0, 0.5), (0.3, 1))]
    assert acting == [[True] * 4, [True, True, False, False], [False, False, True, True]]
    assert not any(INDEX.within(sigma, 0, 0) for sigma in INDEX.sigmas[:-1])


def test_denoisers_take_turns() -> None:
    x = torch.ones(2, 1, 1, 1)
    switching = SwitchingDenoiser(lambda x, _: x, lambda x, _: -x, lambda sigma: sigma > 2)
    assert (switching(x, 4.0) == x).all()
    assert (switching(x, 1.0) == -x).all()
    assert (predict_both(switching, x, 1.0).negative == -x).all()


def test_no_steps_at_all() -> None:
    assert StepIndex(()).step(1.0) == 0
    assert StepIndex(()).steps == 1
