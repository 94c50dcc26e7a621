"""Masks: exact at both ends, and a threshold that falls over the run."""

import pytest
import torch
from torch import Tensor

from redetail.sampling import DifferentialMask, MaskedDenoiser, Prediction, VarianceExploding, snapped

PATH = VarianceExploding.stable_diffusion()


class Recorder:
    """Predicts 9 (negative: 5) and keeps what it saw."""

    def __call__(self, x: Tensor, sigma: float, /) -> Tensor:
        return self.predict(x, sigma).guided

    def predict(self, x: Tensor, sigma: float, /) -> Prediction:
        self.seen = x
        return Prediction(torch.full_like(x, 9.0), torch.full_like(x, 5.0))


def example() -> tuple[Tensor, Tensor, Tensor]:
    return tuple(torch.randn(3, 2, 4, 4, 4, generator=torch.Generator().manual_seed(2)))  # type: ignore[return-value]


def test_outside_the_mask_the_model_sees_the_noised_original_and_changes_nothing() -> None:
    x, clean, noise = example()
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    model = Recorder()
    x0 = MaskedDenoiser(model, mask, clean, noise, PATH)(x, 3.0)
    assert torch.equal(model.seen[..., :2], x[..., :2])
    assert torch.equal(model.seen[..., 2:], (clean + 3.0 * noise)[..., 2:])
    assert torch.equal(x0[..., 2:], clean[..., 2:])
    assert (x0[..., :2] == 9).all()


def test_a_soft_mask_blends_both_ways() -> None:
    x, clean, noise = example()
    mask = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(3))
    model = Recorder()
    x0 = MaskedDenoiser(model, mask, clean, noise, PATH)(x, 0.5)
    torch.testing.assert_close(model.seen, x * mask + (clean + 0.5 * noise) * (1 - mask))
    torch.testing.assert_close(x0, 9.0 * mask + clean * (1 - mask))


def test_the_negative_prediction_is_left_as_the_model_gave_it() -> None:
    x, clean, noise = example()
    both = MaskedDenoiser(Recorder(), torch.zeros(1, 1, 4, 4), clean, noise, PATH).predict(x, 1.0)
    assert torch.equal(both.guided, clean)
    assert (both.negative == 5).all()


def test_the_differential_mask_opens_from_the_brightest_to_everything() -> None:
    soft = torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0]).view(1, 1, 1, 5)
    mask = DifferentialMask(soft, PATH, [PATH.sigma(800), PATH.sigma(400), 0.0])
    opened = {t: mask(PATH.sigma(t)).flatten().tolist() for t in (800, 600, 400, 200, 0)}
    assert opened == {
        800: [1, 0, 0, 0, 0],
        600: [1, 1, 0, 0, 0],
        400: [1, 1, 1, 0, 0],
        200: [1, 1, 1, 1, 0],
        0: [1, 1, 1, 1, 1],
    }


def test_a_run_at_one_timestep_opens_all_that_is_masked() -> None:
    soft = torch.tensor([1.0, 0.3, 0.0]).view(1, 1, 1, 3)
    mask = DifferentialMask(soft, PATH, [PATH.sigma_min, 0.0])
    assert mask(PATH.sigma_min).flatten().tolist() == [1, 1, 0]


def test_rounding_of_a_blur_is_undone_but_softness_is_kept() -> None:
    soft = torch.tensor([1 - 1.2e-7, 1 + 2e-7, 0.999, 0.5, 1e-7, -1e-7, 0.001])
    assert snapped(soft).tolist() == pytest.approx([1, 1, 0.999, 0.5, 0, 0, 0.001], abs=1e-7)
    assert snapped(soft)[[0, 1, 4, 5]].tolist() == [1, 1, 0, 0]
