"""Whole runs: what goes in and out, parts, progress, stopping, refusals."""

from typing import Any

import pytest
import torch
from torch import Tensor

from redetail.errors import Cancelled, RegionError, SettingsError, UnknownNameError
from redetail.geometry.context import context_windows
from redetail.progress import CancelToken
from redetail.sampling import (
    NoisePath,
    RectifiedFlow,
    SamplingRequest,
    Stage,
    VarianceExploding,
    WindowedDenoiser,
    sample,
    sample_refined,
    sampler_names,
)
from tests.sampling.toy import TOLERANCE, guided, latents, worst

PATH = VarianceExploding.stable_diffusion()
REQUEST = SamplingRequest(steps=4, denoise=0.5, seed=7)


def run(x: Tensor, request: SamplingRequest = REQUEST, **given: Any) -> Tensor:
    return sample(guided(3.0), x, PATH, request, **given)


@pytest.mark.parametrize("name", sampler_names())
def test_equal_seeds_give_equal_results_and_other_seeds_others(name: str) -> None:
    first, again, other = (
        run(latents(), SamplingRequest(sampler=name, steps=4, denoise=0.5, seed=seed)) for seed in (7, 7, 8)
    )
    assert torch.equal(first, again)
    assert worst(first, other) > 0.01


@pytest.mark.parametrize("name", sampler_names())
def test_an_empty_mask_changes_nothing(name: str) -> None:
    request = SamplingRequest(sampler=name, steps=3, denoise=0.5)
    assert torch.equal(run(latents(), request, mask=torch.zeros(1, 1, 8, 8)), latents())


@pytest.mark.parametrize("name", sampler_names())
def test_a_full_mask_is_no_mask(name: str) -> None:
    request = SamplingRequest(sampler=name, steps=3, denoise=0.5)
    full = torch.ones(6, 1, 8, 8)
    assert torch.equal(run(latents(), request, mask=full), run(latents(), request))
    assert torch.equal(run(latents(), request, mask=full, differential=True), run(latents(), request))


@pytest.mark.parametrize("name", sampler_names())
def test_float32_is_as_good_as_float64(name: str) -> None:
    request = SamplingRequest(sampler=name, steps=5, denoise=0.5)
    exact = run(latents().double(), request)
    assert exact.dtype == torch.float64
    # dpmpp_3m_sde amplifies rounding; see golden/SAMPLING.md.
    assert worst(run(latents(), request), exact) < (1e-4 if name.startswith("dpmpp_3m") else TOLERANCE)


def test_half_precision_latents_are_sampled_in_float32() -> None:
    result = run(latents().half())
    assert result.dtype == torch.float32
    assert torch.equal(result, run(latents().half().float()))


def test_frames_sampled_in_parts_get_the_noise_of_the_whole() -> None:
    def pull(x: Tensor, sigma: float) -> Tensor:
        return x / (1 + sigma)

    for name in ("euler_ancestral", "dpmpp_2m_sde", "lcm"):
        request = SamplingRequest(sampler=name, steps=4, denoise=0.5, seed=7, total_frames=6)
        later = SamplingRequest(sampler=name, steps=4, denoise=0.5, seed=7, first_frame=4, total_frames=6)
        whole = sample(pull, latents(), PATH, request)
        assert torch.equal(sample(pull, latents()[4:], PATH, later), whole[4:])


def test_a_run_in_windows_is_the_run_without_where_frames_are_independent() -> None:
    def pull(x: Tensor, sigma: float) -> Tensor:
        return torch.tanh(x) / (1 + sigma)

    windowed = WindowedDenoiser(lambda _: pull, context_windows(6, 3, 1))
    soft = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    for given in ({}, {"mask": soft}, {"mask": soft, "differential": True}):
        direct = sample(pull, latents(), PATH, REQUEST, **given)
        assert worst(sample(windowed, latents(), PATH, REQUEST, **given), direct) < TOLERANCE


def test_a_run_leaves_its_input_as_it_was() -> None:
    x = latents()
    kept = x.clone()
    run(x)
    assert torch.equal(x, kept)


def test_a_schedule_too_short_to_enter_gives_the_latents_back() -> None:
    assert torch.equal(run(latents(), SamplingRequest(scheduler=[5.0, 1.0, 0.0], steps=8, denoise=0.5)), latents())


def test_no_gradients_are_recorded() -> None:
    weight = torch.ones((), requires_grad=True)
    assert not sample(lambda x, sigma: weight * x, latents(), PATH, REQUEST).requires_grad


def test_progress_counts_to_the_number_of_calls_announced() -> None:
    seen: list[tuple[int, int]] = []
    run(latents(), on_call=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_cancelling_stops_at_the_next_model_call() -> None:
    token, seen = CancelToken(), []

    def on_call(done: int, _: int) -> None:
        seen.append(done)
        if done == 2:
            token.cancel()

    with pytest.raises(Cancelled):
        run(latents(), on_call=on_call, cancel=token)
    assert seen == [1, 2]


def test_ratio_0_never_asks_the_refiner_and_ratio_1_never_the_base() -> None:
    def never(x: Tensor, sigma: float) -> Tensor:
        raise AssertionError

    model = guided(3.0)
    only_base = sample_refined(Stage(model, PATH), Stage(never, PATH), latents(), REQUEST, 0.0)
    assert worst(only_base, run(latents())) < TOLERANCE
    sample_refined(Stage(never, PATH), Stage(model, PATH), latents(), REQUEST, 1.0)


def soft_mask() -> Tensor:
    return torch.rand(6, 1, *latents().shape[2:], generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("given", [{}, {"mask": True}, {"mask": True, "differential": True}])
def test_a_refiner_equal_to_the_base_goes_on_where_it_stopped(ratio: float, given: dict[str, Any]) -> None:
    both = Stage(guided(3.0), PATH)
    given = {**given, "mask": soft_mask()} if given else {}
    # Euler has no memory of earlier steps, so handing over changes nothing.
    assert worst(sample_refined(both, both, latents(), REQUEST, ratio, **given), run(latents(), **given)) < TOLERANCE


@pytest.mark.parametrize("ratio", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("path", [PATH, RectifiedFlow.wan()])
@pytest.mark.parametrize("differential", [False, True])
@pytest.mark.parametrize("name", ["euler", "heun", "dpmpp_2m"])
def test_models_that_predict_the_crop_change_nothing_under_a_soft_mask(
    name: str, differential: bool, path: NoisePath, ratio: float
) -> None:
    crop = Stage(lambda x, sigma: latents(), path)
    request = SamplingRequest(sampler=name, steps=6, denoise=0.5, seed=7)
    result = sample_refined(crop, crop, latents(), request, ratio, mask=soft_mask(), differential=differential)
    # Rounding of the blend.
    torch.testing.assert_close(result, latents(), rtol=0, atol=1e-6)


def test_the_rule_of_the_original_node_leaves_noise_in_the_feather() -> None:
    crop = Stage(lambda x, sigma: latents(), PATH)
    given: dict[str, Any] = {"mask": soft_mask(), "handover": "composited"}
    result = sample_refined(crop, crop, latents(), REQUEST, 0.5, **given)
    assert (result - latents()).abs().max() > 0.1


@pytest.mark.parametrize("name", sampler_names())
@pytest.mark.parametrize("path", [PATH, RectifiedFlow.wan(3.0)])
def test_one_step_is_sampled(name: str, path: NoisePath) -> None:
    request = SamplingRequest(sampler=name, scheduler="simple", steps=1, denoise=0.5, seed=7)
    result = sample(lambda x, sigma: x / (1 + sigma), latents(), path, request)
    assert result.isfinite().all()
    assert (result - latents()).abs().max() > 1e-3


def test_unknown_names_list_what_exists() -> None:
    with pytest.raises(
        UnknownNameError, match=r"no sampler named 'eular'; did you mean 'euler'\? Choose one of: .*dpmpp_2m"
    ):
        run(latents(), SamplingRequest(sampler="eular"))
    with pytest.raises(UnknownNameError, match=r"no scheduler named 'Karras'; did you mean 'karras'\?"):
        run(latents(), SamplingRequest(scheduler="Karras"))


@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (1, 1, 8, 7), (6, 8, 8), (6, 4, 8, 8)])
def test_a_mask_that_does_not_fit_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(RegionError, match=r"or \(6, 1, 8, 8\), not"):
        run(latents(), mask=torch.ones(shape))


def test_latents_without_frames_are_refused() -> None:
    with pytest.raises(RegionError, match="frames, channels, height, width"):
        run(torch.zeros(4, 8, 8))


def test_a_ratio_outside_0_to_1_is_refused() -> None:
    both = Stage(guided(3.0), PATH)
    with pytest.raises(SettingsError, match=r"refiner-ratio is 1\.2"):
        sample_refined(both, both, latents(), REQUEST, 1.2)
