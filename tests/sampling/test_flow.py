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


@dataclass(frozen=True)
class ToyFlow:
    """The recorded network, as clean latents."""

    A: float
    q: float
    v: float
    kt: float
    kn: float

    def __call__(self, x: Tensor, sigma: float, conditions: Sequence[Condition], /) -> list[Tensor]:
        return [self.denoise(x, sigma, condition) for condition in conditions]

    def denoise(self, x: Tensor, sigma: float, condition: Condition) -> Tensor:
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


def toy(constants: str, cfg: float, conditions: str = "") -> Denoiser:
    facts = recorded()["toy"]
    prefix = "low_" if conditions == "low" else ""
    return Guidance(ToyFlow(**facts[constants]), facts[prefix + "positive"], facts[prefix + "negative"], cfg)


def network(settings: dict[str, Any]) -> Denoiser:
    cfg = settings["cfg"]
    if settings["experts"] == "switch":
        early = settings["switch_sigma"]
        return SwitchingDenoiser(toy("base", cfg), toy("low", cfg), lambda sigma: sigma >= early)
    return toy(settings["experts"], cfg, settings["experts"])


def outer(kind: str, latents: Tensor) -> Tensor:
    """Latents as the VAE gives them."""
    facts = recorded()["kinds"][kind]
    if not facts.get("latents_mean"):
        return latents
    mean, std = (torch.tensor(facts[name]).view(1, -1, 1, 1, 1) for name in ("latents_mean", "latents_std"))
    return latents * std + mean


def comparable(name: str, case: dict[str, Any]) -> bool:
    """One run without defects; the models that show what is masked clean are left to their engine."""
    asked = case["settings"]
    plain = asked["node"].startswith(("KSampler", "SamplerCustom")) and "stage1" not in asked
    return (
        plain
        and not (case.get("defect") or case.get("must_not_be_imitated"))
        and not (asked["mask"] and asked["model"] != "wan21")
        and all(call["sigmas"] for call in case["calls"])
        and asked.get("dd_strength") in (None, 0, 1, 0.0, 1.0)
    )


CASES = sorted(name for name, case in recorded()["cases"].items() if comparable(name, case))


class Draws:
    """The recorded noise of steps, in order."""

    def __init__(self, draws: Tensor) -> None:
        self.draws, self.asked = draws, list[tuple[float, float]]()

    def __call__(self, sigma: float, sigma_next: float) -> Tensor:
        self.asked.append((sigma, sigma_next))
        return self.draws[len(self.asked) - 1]


def step_noise(name: str, case: dict[str, Any], kind: str) -> Callable[[float, float], Tensor]:
    stored = case.get("brownian_tensor")
    if stored:
        return Draws(tensors()[stored])
    if case.get("brownian_draws"):  # left to the tree: the numbers are not stored for every case
        sigmas = case["calls"][0]["sigmas"]
        shape, seed = recorded()["kinds"][kind]["shape"], case["settings"]["seed"]
        return BrownianNoise(NoiseFrames(tuple(shape), seed), sigmas)
    return Draws(tensors()[f"{kind}.plain_draws"])


@pytest.mark.parametrize("name", CASES)
def test_samplers_give_the_recorded_latents(name: str) -> None:
    case = recorded()["cases"][name]
    asked, (call,) = case["settings"], case["calls"]
    kind, sampler = asked["model"], find_sampler(asked["sampler"])
    shift = asked["shift"] or recorded()["kinds"][kind]["default_shift"]
    path, sigmas = path_of(kind, shift), call["sigmas"]
    noise = tensors()[f"{kind}.noise"] if not call["noise_is_zero"] else torch.zeros_like(tensors()[f"{kind}.noise"])
    clean = torch.zeros_like(noise) if call["latent_is_zero"] else tensors()[f"{kind}.latent_model_space"]
    denoiser, seen = network(asked), list[float]()
    if asked["mask"]:
        soft = tensors()[f"{asked['mask']}.latent_res"]
        mask = DifferentialMask(soft, path, sigmas) if asked.get("differential_diffusion") else soft
        shown = tensors()[f"{kind}.noise_seed_plus_1"] if sampler.mask_seed_offset else noise
        denoiser = MaskedDenoiser(denoiser, mask, clean, shown, path)

    class Observed:
        def __call__(self, x: Tensor, sigma: float, /) -> Tensor:
            seen.append(sigma)
            return denoiser(x, sigma)

        def predict(self, x: Tensor, sigma: float, /) -> Any:
            seen.append(sigma)
            return denoiser.predict(x, sigma)  # type: ignore[attr-defined]

    *_, last = sampler_steps(
        sampler, path, Observed(), path.start(clean, noise, sigmas[0]), sigmas, step_noise(name, case, kind)
    )
    stored = tensors().get(f"{name}.call0.last_denoised", tensors()[f"{name}.out"])
    sensitive = asked["sampler"].startswith("uni_pc") or name in recorded()["float32_sensitive_cases"]
    assert worst(outer(kind, last.x0), stored) < (SENSITIVE if sensitive else TOLERANCE)
    assert len(seen) == call["model_calls"]
