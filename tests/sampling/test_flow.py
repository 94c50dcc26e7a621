"""Rectified flow against the recorded vectors of Wan and LTX-Video: schedules, samplers, masks (golden/flow).

Latents are (1, C, T, h, w) in model units. The toy network's formula stands in golden/flow/README.md.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from redetail.sampling import (
    Denoiser,
    DifferentialMask,
    Guidance,
    MaskedDenoiser,
    RectifiedFlow,
    SwitchingDenoiser,
    find_sampler,
    schedule,
)
from redetail.sampling.brownian import BrownianNoise
from redetail.sampling.noise import NoiseFrames
from redetail.sampling.samplers import sampler_steps
from redetail.sampling.schedulers import sampled_sigmas
from tests.recordings import GOLDEN
from tests.sampling.toy import worst

FOLDER = GOLDEN / "flow"
# Recorded in float32: golden/flow/README.md, section 8.
TOLERANCE, SENSITIVE = 2e-5, 2e-4

Condition = Sequence[float]


@functools.cache
def recorded() -> dict[str, Any]:
    return json.loads((FOLDER / "samplers_flow.json").read_text())


@functools.cache
def schedules() -> dict[str, Any]:
    return json.loads((FOLDER / "sigmas_flow.json").read_text())


@functools.cache
def tensors() -> dict[str, Tensor]:
    return load_file(FOLDER / "samplers_flow.safetensors")


MODELS = sorted(schedules()["models"])


def path_of(kind: str, shift: float) -> RectifiedFlow:
    return RectifiedFlow.ltx(shift) if kind in ("flux", "ltxv") else RectifiedFlow.wan(shift)


def recorded_path(model: str) -> RectifiedFlow:
    facts = schedules()["models"][model]
    return path_of(facts["kind"], facts["shift"])


@pytest.mark.parametrize("model", MODELS)
def test_tables_timesteps_and_progress_are_the_recorded_ones(model: str) -> None:
    facts, path = schedules()["models"][model], recorded_path(model)
    assert len(path) == facts["table_length"]
    assert (path.sigma_min, path.sigma_max) == (facts["sigma_min"], facts["sigma_max"])
    assert all(path.sigmas[int(index)] == sigma for index, sigma in facts["table"].items())
    for sigma, timestep in facts["sigma_to_timestep"].items():
        assert path.timestep(float(sigma)) == pytest.approx(timestep, rel=1e-7)
    for timestep, sigma in facts["timestep_to_sigma"].items():
        assert path.sigma(float(timestep)) == pytest.approx(sigma, rel=1e-7)
    for percent, sigma in facts["percent_to_sigma"].items():
        assert path.sigma_at(float(percent)) == pytest.approx(sigma, rel=1e-12)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", schedules()["schedulers"])
def test_schedules_are_the_recorded_ones(model: str, name: str) -> None:
    facts, path = schedules()["models"][model], recorded_path(model)
    for key, reference in facts["schedules"][name].items():
        sampler, steps = key.split("/")[-2:]
        if "nan" not in reference:
            drop = sampler in schedules()["discard_penultimate"]
            assert schedule(name, path, int(steps), drop_penultimate=drop) == pytest.approx(reference, rel=5e-6), key


@pytest.mark.parametrize("model", MODELS)
def test_the_sampled_part_of_a_schedule_is_the_recorded_one(model: str) -> None:
    """The last steps of a longer schedule, counted from its end: where ``ddim_uniform`` has a step too many, the first
    one is left out, but for a denoise of 1."""
    facts, path = schedules()["models"][model], recorded_path(model)
    for name, parts in facts["truncated"].items():
        for key, reference in parts.items():
            sampler, steps, denoise = (text.rpartition("=")[2] for text in key.split("/"))
            drop = sampler in schedules()["discard_penultimate"]
            sampled = sampled_sigmas(name, path, int(steps), float(denoise), drop_penultimate=drop)
            assert sampled == pytest.approx(reference, rel=5e-6), (name, key)


@dataclass(frozen=True)
class ToyFlow:
    """The recorded network, as clean latents. ``time_mask``: what the noise level is multiplied with where the network
    is told of it: networks that see what is masked clean are told how much noise each latent frame or token has."""

    A: float
    q: float
    v: float
    kt: float
    kn: float
    time_mask: Tensor | float = 1.0

    def __call__(self, x: Tensor, sigma: float, conditions: Sequence[Condition], /) -> list[Tensor]:
        told = sigma * torch.as_tensor(self.time_mask).double()
        return [self.denoise(x, told, condition) for condition in conditions]

    def denoise(self, x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        p0, p1, p2, p3 = torch.tensor(condition, dtype=torch.float32).tolist()
        c, f, j, i = (torch.arange(n, dtype=torch.float64) for n in x.shape[1:])
        c, f, j = c.view(-1, 1, 1, 1), f.view(-1, 1, 1), j.view(-1, 1)
        mean = p0 * torch.sin(0.9 * c + p1 * j + p2 * i + p3 * f + self.q) + 0.3 * torch.cos(0.5 * f - 0.7 * c + p0)
        mean, alpha = self.A * mean, 1 - sigma
        r = x.double() - alpha * mean
        gain = alpha * self.v / (alpha**2 * self.v + sigma**2)
        neighbours = (torch.cat([r[:, :, :1], r[:, :, :-1]], 2) + torch.cat([r[:, :, 1:], r[:, :, -1:]], 2)) / 2 - r
        x0 = mean + gain * r + self.kt * sigma * torch.tanh(r) + self.kn * sigma**2 * gain * neighbours
        return x0.to(x.dtype)


def toy(constants: str, cfg: float, conditions: str = "", time_mask: Tensor | float = 1.0) -> Guidance[Any]:
    facts = recorded()["toy"]
    prefix = "low_" if conditions == "low" else ""
    network = ToyFlow(**facts[constants], time_mask=time_mask)
    return Guidance(network, facts[prefix + "positive"], facts[prefix + "negative"], cfg)


def network(asked: dict[str, Any], time_mask: Tensor | float = 1.0) -> Denoiser:
    cfg = asked["cfg"]
    if asked["experts"] == "switch":
        early = asked["switch_sigma"]
        return SwitchingDenoiser(toy("base", cfg), toy("low", cfg), lambda sigma: sigma >= early)
    return toy(asked["experts"], cfg, asked["experts"], time_mask)


def outer(kind: str, latents: Tensor) -> Tensor:
    """Latents as the VAE gives them."""
    facts = recorded()["kinds"][kind]
    if not facts.get("latents_mean"):
        return latents
    mean, std = (torch.tensor(facts[name]).view(1, -1, 1, 1, 1) for name in ("latents_mean", "latents_std"))
    return latents * std + mean


DEFECTS = {
    **dict.fromkeys(
        (f"two_mask/{name}" for name in ("euler", "heun", "dpm_2", "euler_ancestral")),
        "the second stage knows neither the clean latents nor the noise of what is masked",
    ),
    **dict.fromkeys(
        (f"two_shift_differs/{name}" for name in ("euler", "heun", "dpm_2", "euler_ancestral")),
        "the state is rescaled where one shift gives way to another",
    ),
    "edge/one_step/uni_pc": "one step of uni_pc is none at all",
    "edge/one_step_full/uni_pc": "one step of uni_pc is none at all",
    "edge/kl_optimal_one_step": "one step of kl_optimal is not a number",
}
"""Recorded cases that show a defect of the reference, marked there as not to be imitated."""

EMPTY = {"edge/denoise0"}
"""Recorded cases in which nothing is sampled: a denoise of 0, which is refused here."""

CASES = sorted(recorded()["cases"].keys() - DEFECTS.keys() - EMPTY)


def test_what_is_left_out_is_marked_in_the_recordings() -> None:
    cases = recorded()["cases"]
    marked = {name for name, case in cases.items() if case.get("defect") or case.get("must_not_be_imitated")}
    assert marked == DEFECTS.keys()
    idle = {name for name, case in cases.items() if not (case["calls"] and case["calls"][0]["sigmas"])}
    assert idle - marked == EMPTY
    assert (len(cases), len(CASES), len(DEFECTS), len(EMPTY)) == (703, 691, 11, 1)


def stages(case: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What each sampling of a case was asked, and what is known of it."""
    asked = case["settings"]
    one_by_one = [asked]
    if "stage1" in asked:
        given = [stage for stage in (asked["stage1"], asked["stage2"]) if stage]
        one_by_one = [{**asked, **stage, "seed": stage["noise_seed"]} for stage in given]
        for stage in one_by_one:
            stage["model"], stage["experts"] = stage["model"].split()
    return list(zip(one_by_one, case["calls"], strict=False))  # a node that has no step left samples nothing


class Draws:
    """The recorded noise of steps, in order."""

    def __init__(self, draws: Tensor) -> None:
        self.draws, self.asked = draws, list[tuple[float, float]]()

    def __call__(self, sigma: float, sigma_next: float) -> Tensor:
        self.asked.append((sigma, sigma_next))
        return self.draws[len(self.asked) - 1]


def step_noise(case: dict[str, Any], asked: dict[str, Any], sigmas: list[float]) -> Callable[[float, float], Tensor]:
    """Brownian noise of the same tree, or the recorded draws from the first one on."""
    if case.get("brownian_draws"):
        shape = recorded()["kinds"][asked["model"]]["shape"]
        return BrownianNoise(NoiseFrames(tuple(shape), asked["seed"]), sigmas)
    return Draws(tensors()[f"{asked['model']}.plain_draws"])


def time_mask(kind: str, soft: Tensor) -> Tensor | float:
    """What the network is told of a mask: Wan 2.2 5B of each latent frame, LTX of each token, Wan 2.1 nothing."""
    if kind == "wan22_5b":
        return soft.mean((1, 3, 4), keepdim=True)
    return soft if kind == "ltxv" else 1.0


def mask_over_steps(asked: dict[str, Any], soft: Tensor, path: RectifiedFlow, sigmas: list[float]) -> Any:
    """The mask, or with differential diffusion how it opens; below strength 1 a mean of both."""
    if not asked.get("differential_diffusion"):
        return soft
    opening, strength = DifferentialMask(soft, path, sigmas), asked.get("dd_strength") or 1.0
    return lambda sigma: strength * opening(sigma) + (1 - strength) * soft


def masked(asked: dict[str, Any], path: RectifiedFlow, sigmas: list[float], clean: Tensor, noise: Tensor) -> Denoiser:
    """The network of a sampling, under its mask if it has one. Wan 2.1 shows what is masked with noise; the others
    show it clean."""
    kind = asked["model"]
    if not asked["mask"]:
        return network(asked)
    soft = tensors()[f"{asked['mask']}.latent_res"]
    if kind != "wan21":
        shown = clean  # (1 - s) * clean + s * clean
    else:
        seed_after = find_sampler(asked["sampler"]).mask_seed_offset
        shown = tensors()[f"{kind}.noise_seed_plus_1"] if seed_after else noise
    mask = mask_over_steps(asked, soft, path, sigmas)
    return MaskedDenoiser(network(asked, time_mask(kind, soft)), mask, clean, shown, path)


@dataclass
class Observed:
    """A denoiser that counts its calls."""

    denoiser: Any
    calls: int = 0

    def __call__(self, x: Tensor, sigma: float, /) -> Tensor:
        self.calls += 1
        return self.denoiser(x, sigma)  # type: ignore[no-any-return]

    def predict(self, x: Tensor, sigma: float, /) -> Any:
        self.calls += 1
        return self.denoiser.predict(x, sigma)


@pytest.mark.parametrize("name", CASES)
def test_samplers_give_the_recorded_latents(name: str) -> None:
    """The last clean latents, and those that one sampling hands to the next with the noise that is left in them."""
    case = recorded()["cases"][name]
    sensitive = case["settings"]["sampler"].startswith("uni_pc") or name in recorded()["float32_sensitive_cases"]
    tolerance = SENSITIVE if sensitive else TOLERANCE
    handed: Tensor | None = None
    for number, (asked, call) in enumerate(stages(case)):
        kind, sampler, sigmas = asked["model"], find_sampler(asked["sampler"]), call["sigmas"]
        path = path_of(kind, asked["shift"] or recorded()["kinds"][kind]["default_shift"])
        recorded_noise = tensors()[f"{kind}.noise"]
        noise = torch.zeros_like(recorded_noise) if call["noise_is_zero"] else recorded_noise
        own = torch.zeros_like(noise) if call["latent_is_zero"] else tensors()[f"{kind}.latent_model_space"]
        clean = own if handed is None else handed
        denoiser = Observed(masked(asked, path, sigmas, clean, noise))
        *_, last = sampler_steps(
            sampler, path, denoiser, path.start(clean, noise, sigmas[0]), sigmas, step_noise(case, asked, sigmas)
        )
        assert denoiser.calls == call["model_calls"]
        handed = last.x / path.alpha(sigmas[-1])
        between = tensors().get(f"{name}.call{number}.samples")
        if between is not None:
            assert worst(outer(kind, handed), between) < tolerance
    assert worst(outer(kind, last.x0), stored_x0(name, number)) < tolerance


def stored_x0(name: str, number: int) -> Tensor:
    """The last clean latents: what came out unless they are recorded apart; equal ones are kept once."""
    case, apart = recorded()["cases"][name], f"{name}.call{number}.last_denoised"
    return tensors()[case.get("result") or (apart if apart in tensors() else f"{name}.out")]
