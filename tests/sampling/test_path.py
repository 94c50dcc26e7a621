"""Noise paths: adding noise and taking it away undo each other, for every kind of model."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from redetail.errors import SettingsError, UnknownNameError
from redetail.sampling import NetworkDenoiser, NoisePath, PredictionType, RectifiedFlow, VarianceExploding
from redetail.sampling.path import prediction_type

PATHS: list[NoisePath] = [
    VarianceExploding.stable_diffusion(),
    VarianceExploding.animatediff("v"),
    RectifiedFlow.wan(),
    RectifiedFlow.wan(1.0),
    RectifiedFlow.ltx(),
]


def example() -> tuple[Tensor, Tensor]:
    clean, noise = torch.randn(2, 3, 4, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return clean, noise


@pytest.mark.parametrize("sigma", [0.03, 1.0, 14.0])
@pytest.mark.parametrize("kind", ["eps", "v", "x0"])
def test_a_perfect_network_of_any_kind_gives_the_clean_latents(kind: PredictionType, sigma: float) -> None:
    clean, noise = example()
    path = VarianceExploding.stable_diffusion(kind)
    alpha, spread = 1 / math.hypot(1, sigma), sigma / math.hypot(1, sigma)

    def network(seen: Tensor, timestep: float) -> Tensor:
        assert timestep == path.timestep(sigma)
        torch.testing.assert_close(seen, alpha * clean + spread * noise)  # the forward process of the training
        return {"eps": noise, "v": alpha * noise - spread * clean, "x0": clean}[kind]

    x = path.add_noise(clean, noise, sigma)
    torch.testing.assert_close(x, clean + sigma * noise)
    torch.testing.assert_close(NetworkDenoiser(network, path)(x, sigma), clean)


@pytest.mark.parametrize("sigma", [0.03, 0.5, 1.0])
def test_a_perfect_velocity_gives_the_clean_latents(sigma: float) -> None:
    clean, noise = example()
    path = RectifiedFlow.wan(5.0)

    def network(seen: Tensor, timestep: float) -> Tensor:
        assert timestep == pytest.approx(1000 * sigma)
        torch.testing.assert_close(seen, (1 - sigma) * clean + sigma * noise)
        return noise - clean

    torch.testing.assert_close(NetworkDenoiser(network, path)(path.add_noise(clean, noise, sigma), sigma), clean)


@pytest.mark.parametrize("path", PATHS)
def test_a_state_is_alpha_parts_of_the_clean_latents_and_sigma_of_noise(path: NoisePath) -> None:
    clean, noise = example()
    for sigma in (path.sigma_min, path.sigmas[len(path) // 2]):
        state = path.add_noise(clean, noise, sigma)
        torch.testing.assert_close(state, path.alpha(sigma) * clean + sigma * noise)
        assert torch.equal(path.start(clean, noise, sigma), state)
        assert math.exp(-path.half_log_snr(sigma)) == pytest.approx(path.noise_to_signal(sigma))
        assert path.noise_to_signal(sigma) == pytest.approx(sigma / path.alpha(sigma))


@pytest.mark.parametrize("path", PATHS)
@given(place=st.floats(0, 0.99))
def test_finishing_and_starting_again_without_noise_is_no_change(path: NoisePath, place: float) -> None:
    """What hands one run's leftover noise to the next: division and multiplication cancel."""
    state, sigma = example()[0], path.sigmas[int(place * len(path))]
    again = path.start(path.finish(state, sigma), torch.zeros_like(state), sigma)
    torch.testing.assert_close(again, state)


def test_from_pure_noise_the_variance_is_that_of_the_training() -> None:
    path = VarianceExploding.stable_diffusion()
    clean, noise = torch.zeros(1), torch.ones(1)
    assert path.start(clean, noise, path.sigma_max).item() == pytest.approx(math.hypot(1, path.sigma_max))
    assert path.start(clean, noise, 0.99 * path.sigma_max).item() == pytest.approx(0.99 * path.sigma_max)
    assert RectifiedFlow.wan().start(torch.ones(1), torch.zeros(1), 1.0).item() == 0


def test_the_input_keeps_its_variance() -> None:
    x = torch.full((1, 1, 1, 1), 5.0)
    assert VarianceExploding.stable_diffusion().scaled_input(x, 0.75).item() == pytest.approx(4.0)
    assert RectifiedFlow.wan().scaled_input(x, 0.75) is x


@pytest.mark.parametrize("path", PATHS)
def test_the_noise_level_says_how_much_is_noise(path: NoisePath) -> None:
    levels = [path.noise_level(sigma) for sigma in path.sigmas[:: len(path) // 7]]
    assert levels == sorted(levels)
    assert 0 < levels[0] < 0.05
    assert path.noise_level(path.sigma_max) > 0.93
    # Equal ratios of noise to signal are equal levels, whatever the kind.
    assert path.noise_level(path.sigmas[9]) == pytest.approx(1 - 1 / (1 + path.noise_to_signal(path.sigmas[9])))


@pytest.mark.parametrize("path", PATHS)
def test_progress_goes_from_noise_to_clean(path: NoisePath) -> None:
    levels = [path.sigma_at(progress) for progress in (0, 0.2, 0.5, 0.8, 1)]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] == pytest.approx(path.sigma_max)
    assert levels[-1] <= path.sigma_min * (1 + 1e-6)  # one interpolates in float32


def test_a_shift_bends_towards_noise() -> None:
    assert RectifiedFlow.wan(1.0).sigma(250) == 0.25
    assert RectifiedFlow.wan(3.0).sigma(250) == pytest.approx(0.5)  # 3/4 / (1 + 2/4)
    assert RectifiedFlow.wan(3.0).timestep(0.5) == 500  # takes no shift off
    exponential = RectifiedFlow.ltx(math.log(3.0))
    assert exponential.sigma(0.25) == pytest.approx(0.5)
    assert exponential.timestep(0.5) == 0.5


@pytest.mark.parametrize("shift", [0.0, -1.0, math.nan, math.inf])
def test_a_shift_that_is_not_above_0_is_refused(shift: float) -> None:
    with pytest.raises(SettingsError, match="shift is"):
        RectifiedFlow.wan(shift)


def test_names_of_diffusers_are_understood() -> None:
    assert [prediction_type(name) for name in ("epsilon", "v_prediction", "sample")] == ["eps", "v", "x0"]
    with pytest.raises(UnknownNameError, match="epsilon"):
        prediction_type("flow")
