"""The recorded cases and the toy model that they were recorded with (its formula stands in golden/SAMPLING.md)."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from redetail.sampling import Guidance, NoisePath, NoiseTable, SamplingRequest, Stage, VarianceExploding
from redetail.sampling.schedulers import Scheduler
from tests.recordings import GOLDEN, LATENT_SCALE, schedule_function

# Rounding of float32 in the recorded run: golden/SAMPLING.md, "Tolerances".
TOLERANCE = 3e-5

Condition = tuple[float, float, float, float]


@functools.cache
def recorded() -> dict[str, Any]:
    return json.loads((GOLDEN / "samplers.json").read_text())


@functools.cache
def schedules() -> dict[str, Any]:
    return json.loads((GOLDEN / "sigmas.json").read_text())


@functools.cache
def tensors() -> dict[str, Tensor]:
    return load_file(GOLDEN / "samplers.safetensors")


@functools.cache
def table(name: str) -> NoiseTable:
    return {"sd15": NoiseTable.stable_diffusion, "animatediff": NoiseTable.animatediff}[name]()


def path(name: str) -> NoisePath:
    return VarianceExploding(table(name))


@dataclass(frozen=True)
class ToyModel:
    """A conditional model with the recorded constants; sees all frames together."""

    A: float
    q: float
    s2: float
    kt: float
    kn: float

    def mean(self, x: Tensor, condition: Condition) -> Tensor:
        p0, p1, p2, p3 = torch.tensor(condition, dtype=torch.float32).tolist()
        f, c, j, i = (torch.arange(n, dtype=torch.float64) for n in x.shape)
        f, c, j = f.view(-1, 1, 1, 1), c.view(-1, 1, 1), j.view(-1, 1)
        wave = p0 * torch.sin(0.9 * c + p1 * j + p2 * i + p3 * f + self.q)
        return self.A * (wave + 0.3 * torch.cos(0.5 * f - 0.7 * c + p0))

    def denoise(self, x: Tensor, sigma: float, condition: Condition) -> Tensor:
        mean = self.mean(x, condition)
        r = x.double() - mean
        g = self.s2 / (self.s2 + sigma**2)
        before, after = torch.cat([r[:1], r[:-1]]), torch.cat([r[1:], r[-1:]])
        neighbours = (before + after) / 2 - r
        bend = self.kt * (sigma / (1 + sigma)) * torch.tanh(r)
        x0 = mean + g * r + bend + self.kn * (sigma**2 / (1 + sigma**2)) * g * neighbours
        return x0.to(x.dtype)

    def __call__(self, x: Tensor, sigma: float, conditions: Sequence[Condition], /) -> list[Tensor]:
        return [self.denoise(x, sigma, condition) for condition in conditions]


def guided(cfg: float, constants: str = "base") -> Guidance[Condition]:
    toy = recorded()["toy"]
    prefix = "" if constants == "base" else "refiner_"
    positive, negative = toy[f"{prefix}positive"], toy[f"{prefix}negative"]
    return Guidance(ToyModel(**toy[constants]), tuple(positive), tuple(negative), cfg)


def stage(settings: dict[str, Any], constants: str = "base") -> Stage:
    return Stage(guided(settings["cfg"], constants), path(settings["model_sampling"]))


def request(settings: dict[str, Any]) -> SamplingRequest:
    return SamplingRequest(
        sampler=settings["sampler"],
        scheduler=scheduler(settings),
        steps=settings["steps"],
        denoise=settings["denoise"],
        seed=recorded()["defaults"]["seed"],
    )


def scheduler(settings: dict[str, Any]) -> Scheduler:
    if "scheduler_func" not in settings:
        return str(settings["scheduler"])
    made = schedule_function(settings["scheduler_func"])
    return lambda _, steps: made(steps)


def latents() -> Tensor:
    return LATENT_SCALE * tensors()["latent"]


def mask(settings: dict[str, Any]) -> Tensor | None:
    name = settings["mask"]
    return None if name is None else tensors()[f"mask.{name}.latent_res"]


def worst(result: Tensor, reference: Tensor) -> float:
    """Largest difference, relative to the largest absolute value of the reference."""
    return float((result.double() - reference.double()).abs().max() / reference.double().abs().max())
