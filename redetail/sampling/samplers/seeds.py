"""SEEDS: stochastic exponential solvers with stages inside a step (Gonzalez et al. 2023, arXiv 2305.14267)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor

from redetail.sampling.denoiser import Denoiser
from redetail.sampling.noise import NoiseSource
from redetail.sampling.samplers.base import Step, Steps, add, intervals, toward

Weight = Callable[[float, float, float], float]
"""(place of a stage, place of the stage before, 2h) -> weight of the change of x0 seen at the stage before."""


def _stages(
    denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource, places: Sequence[float], weight: Weight
) -> Steps:
    """Stages at ``places`` (shares of the step in lambda, the last one 1), all on one noise path, eta = 1."""
    for sigma, sigma_next in intervals(sigmas):
        x0 = denoise(x, sigma)
        if sigma_next == 0:
            yield Step(x0, x0)
            return
        h = math.log(sigma / sigma_next)
        path, before, reached, latest = x.new_zeros(()), 0.0, sigma, x0
        for place in places:
            stage = sigma * math.exp(-place * h) if place < 1 else sigma_next
            kept = math.exp(-2 * (place - before) * h)
            path = add(kept * path, stage * math.sqrt(1 - kept), noise(reached, stage))
            moved = toward(x0, x, math.exp(-2 * place * h)) + path
            if before > 0:
                moved = add(moved, weight(place, before, 2 * h), latest - x0)
            if place < 1:
                latest = denoise(moved, stage)
            before, reached = place, stage
        x = moved
        yield Step(x, x0)


def seeds_2(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource) -> Steps:
    """SEEDS-2 with its stage at r = 1/2."""
    return _stages(denoise, x, sigmas, noise, (1 / 2, 1), lambda place, before, h: -math.expm1(-h) / (2 * before))


def seeds_3(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource) -> Steps:
    """SEEDS-3 with stages at r = 1/3 and 2/3."""

    def weight(place: float, before: float, h: float) -> float:
        return (place / before) * (1 + math.expm1(-place * h) / (place * h))

    return _stages(denoise, x, sigmas, noise, (1 / 3, 2 / 3, 1), weight)
