"""Schedules against the recorded lists, and what is refused."""

import itertools
import math

import pytest

from redetail.errors import SettingsError, UnknownNameError
from redetail.sampling import (
    RectifiedFlow,
    VarianceExploding,
    effective_noise_level,
    sampled_sigmas,
    schedule,
    scheduler_names,
)
from redetail.sampling.path import NoisePath
from redetail.sampling.schedulers import denoise_for_noise_level, part, step_range
from tests.sampling.toy import path, schedules

MODELS = tuple(schedules()["models"])
PAIRS = list(itertools.product(MODELS, scheduler_names()))
PATH = VarianceExploding.stable_diffusion()
# Recorded in float32; where float32 functions of another processor round differently, a few last bits.
RELATIVE = 5e-6


def usable(entry: object) -> bool:
    """Whether the recorded run gave numbers: kl_optimal fails for one step, GITS is recorded as "intended" instead."""
    return isinstance(entry, list) and "nan" not in entry


@pytest.mark.parametrize(("model", "name"), PAIRS)
def test_whole_schedules_match_the_recorded_ones(model: str, name: str) -> None:
    entries = {key: entry for key, entry in schedules()["models"][model]["schedules"][name].items() if usable(entry)}
    assert len(entries) >= 7
    for key, reference in entries.items():
        *_, sampler, steps = key.split("/")
        made = schedule(name, path(model), int(steps), drop_penultimate=sampler == "dpm_2")
        assert made == pytest.approx(reference, rel=RELATIVE), key


@pytest.mark.parametrize(("model", "name"), PAIRS)
def test_truncated_schedules_match_the_recorded_ones(model: str, name: str) -> None:
    for key, reference in schedules()["models"][model]["truncated"][name].items():
        if not usable(reference):
            continue
        sampler, steps, denoise = (item.split("=")[-1] for item in key.split("/"))
        made = sampled_sigmas(name, path(model), int(steps), float(denoise), drop_penultimate=sampler == "dpm_2")
        assert made == pytest.approx(reference, rel=RELATIVE), key


@pytest.mark.parametrize("name", scheduler_names())
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 50, 999, 1500])
def test_schedules_fall_to_zero_for_any_number_of_steps(name: str, steps: int) -> None:
    sigmas = sampled_sigmas(name, PATH, steps, 1.0)
    assert sigmas[-1] == 0
    assert all(a > b for a, b in itertools.pairwise(sigmas))


def test_one_step_of_kl_optimal_starts_at_the_top() -> None:
    # The recorded run divides 0 by 0.
    assert schedule("kl_optimal", PATH, 1) == pytest.approx([PATH.sigma_max, 0])


@pytest.mark.parametrize("steps", [2, 9, 20, 21, 50])
def test_every_gits_coefficient_of_the_table_works(steps: int) -> None:
    rows = {c / 100: schedule(f"GITS[coeff={c / 100}]", PATH, steps) for c in range(80, 155, 5)}
    assert len(rows) == 15
    for sigmas in rows.values():
        assert len(sigmas) == steps + 1
        assert sigmas[0] == pytest.approx(PATH.sigma_max, rel=1e-6)
    # A larger coefficient spends more of the steps at low noise.
    middles = [sigmas[steps // 2] for sigmas in rows.values()]
    assert middles == sorted(middles, reverse=True)


@pytest.mark.parametrize("name", ["GITS[coeff=1.22]", "GITS[coeff=2.0]", "GITS[coeff=0]"])
def test_a_coefficient_beside_the_table_lists_those_it_has(name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"GITS coefficient .* 0\.80, 0\.85, .* 1\.50"):
        schedule(name, PATH, 5)


def test_names_are_those_of_the_combo_list() -> None:
    assert list(scheduler_names()) == schedules()["schedulers"]


def test_the_start_is_rounded_down() -> None:
    assert step_range(7, 0.9) == (0, 7)
    assert step_range(20, 0.5) == (20, 40)
    assert step_range(20, 1.0) == (0, 20)


def test_an_early_end_is_zero_unless_noise_is_left_over() -> None:
    sigmas = [4.0, 3.0, 2.0, 1.0, 0.0]
    assert part(sigmas, 1, 3) == [3.0, 2.0, 0.0]
    assert part(sigmas, 1, 3, leftover_noise=True) == [3.0, 2.0, 1.0]
    assert part(sigmas, 4, 9) == []


def test_a_function_or_a_list_is_used_as_it_is() -> None:
    assert schedule(lambda path, steps: [float(steps), 1.0, 0.0], PATH, 5, drop_penultimate=True) == [5, 1, 0]
    assert sampled_sigmas([8.0, 4.0, 2.0, 0.0], PATH, 3, 1.0) == [8, 4, 2, 0]


def test_an_unknown_name_lists_what_exists() -> None:
    with pytest.raises(UnknownNameError, match=r"no scheduler named 'turbo'; choose one of: .*karras"):
        schedule("turbo", PATH, 5)


@pytest.mark.parametrize("sigmas", [[], [1.0], [1.0, 2.0, 0.0], [math.nan, 0.0], [math.inf, 1.0, 0.0], [1.0, -1.0]])
def test_a_list_that_does_not_fall_is_refused(sigmas: list[float]) -> None:
    with pytest.raises(SettingsError, match="schedule"):
        schedule(sigmas, PATH, 1)


@pytest.mark.parametrize(("steps", "denoise"), [(0, 1.0), (-1, 1.0), (5, 0.0), (5, 1.5), (5, math.nan)])
def test_impossible_steps_are_refused(steps: int, denoise: float) -> None:
    with pytest.raises(SettingsError, match=r"steps is|denoise is"):
        step_range(steps, denoise)


def test_the_effective_noise_level_is_that_of_the_first_sigma() -> None:
    start = sampled_sigmas("simple", PATH, 20, 0.45)[0]
    assert effective_noise_level("simple", PATH, 20, 0.45) == pytest.approx(start / (1 + start))
    # With a shift of 8, a denoise of 0.3 already starts from three quarters of noise.
    assert effective_noise_level("simple", RectifiedFlow.wan(8.0), 20, 0.3) == pytest.approx(0.778, abs=1e-3)
    assert effective_noise_level([5.0, 1.0, 0.0], PATH, 8, 0.5) == 0


@pytest.mark.parametrize("noise_path", [PATH, RectifiedFlow.wan(1.0), RectifiedFlow.wan(8.0)])
@pytest.mark.parametrize("scheduler", ["simple", "normal", "beta", "karras"])
@pytest.mark.parametrize("steps", [4, 10, 20])
def test_a_noise_level_is_met_on_every_path(noise_path: NoisePath, scheduler: str, steps: int) -> None:
    """The nearest start among whole schedules: no neighbour is nearer."""
    denoise = denoise_for_noise_level(scheduler, noise_path, steps, 0.3)
    total = round(steps / denoise)

    def miss(count: int) -> float:
        return abs(effective_noise_level(scheduler, noise_path, steps, min(1.0, steps / count)) - 0.3)

    assert 0 < denoise <= 1
    assert miss(total) <= min(miss(total + 1), miss(max(steps, total - 1))) + 1e-9
