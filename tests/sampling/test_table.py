"""Noise tables against the recorded ones."""

import math

import pytest

from redetail.errors import SettingsError
from redetail.sampling import NoiseTable
from tests.sampling.toy import schedules, table

MODELS = tuple(schedules()["models"])


@pytest.mark.parametrize("model", MODELS)
def test_tables_match_the_recorded_ones(model: str) -> None:
    reference, made = schedules()["models"][model], table(model)
    assert len(made) == 1000
    assert made.sigma_min == reference["sigma_min"]
    assert made.sigma_max == reference["sigma_max"]
    assert all(made.sigmas[int(index)] == sigma for index, sigma in reference["table"].items())


@pytest.mark.parametrize("model", MODELS)
def test_timesteps_and_sigmas_match_the_recorded_ones(model: str) -> None:
    reference, made = schedules()["models"][model], table(model)
    for sigma, timestep in reference["sigma_to_timestep"].items():
        assert made.timestep(float(sigma)) == timestep
    for timestep, sigma in reference["timestep_to_sigma"].items():
        assert made.sigma(float(timestep)) == sigma


@pytest.mark.parametrize("model", MODELS)
def test_timestep_undoes_sigma(model: str) -> None:
    made = table(model)
    assert [made.timestep(made.sigma(t)) for t in range(0, 1000, 37)] == list(range(0, 1000, 37))
    assert [made.timestep(sigma) for sigma in made.sigmas[::41]] == list(range(0, 1000, 41))


def test_what_lies_outside_is_clamped() -> None:
    made = table("sd15")
    assert (made.timestep(0), made.timestep(1e-9), made.timestep(1e9)) == (0, 0, 999)
    assert made.sigma(-5) == made.sigma(0)
    assert made.sigma(5000) == made.sigma(999)


def test_one_beta_gives_the_variance_it_means() -> None:
    made = NoiseTable.from_betas([0.5, 0.5])
    assert made.sigmas == pytest.approx((1.0, math.sqrt(3)))  # abar 1/2, 1/4


@pytest.mark.parametrize("sigmas", [(), (1.0,), (2.0, 1.0), (0.0, 1.0), (1.0, 1.0), (1.0, math.nan), (1.0, math.inf)])
def test_what_is_no_table_is_refused(sigmas: tuple[float, ...]) -> None:
    with pytest.raises(SettingsError, match="rising"):
        NoiseTable(sigmas)
