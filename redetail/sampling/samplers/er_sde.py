"""Extended reverse-time SDE solver (Cui et al. 2023, arXiv 2309.06169)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from redetail.sampling.denoiser import Denoiser
from redetail.sampling.noise import NoiseSource
from redetail.sampling.samplers.base import Step, Steps, intervals, toward

POINTS = 200


def noise_scale(sigma: float) -> float:
    """The paper's recommended noise function, phi(v) = v * (exp(v^0.3) + 10)."""
    return sigma * (math.exp(sigma**0.3) + 10)


def er_sde(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource) -> Steps:
    """ER-SDE-Solver-3, algorithm 3: x0 as a parabola in sigma, its integrals as sums over 200 points, as recorded."""
    x0s: list[Tensor] = []
    changes: list[Tensor] = []
    for index, (sigma, sigma_next) in enumerate(intervals(sigmas)):
        x0 = denoise(x, sigma)
        x0s.append(x0)
        if sigma_next == 0:
            x = x0
        else:
            ratio = noise_scale(sigma_next) / noise_scale(sigma)
            x = toward(x0, x, ratio)
            step = (sigma - sigma_next) / POINTS
            points = sigma_next + step * np.arange(POINTS)
            density = step / (points * (np.exp(points**0.3) + 10))
            if index >= 1:
                changes.append((x0 - x0s[-2]) / (sigma - sigmas[index - 1]))
                x = x + float(sigma_next - sigma + noise_scale(sigma_next) * density.sum()) * changes[-1]
            if index >= 2:
                bend = (changes[-1] - changes[-2]) / ((sigma - sigmas[index - 2]) / 2)
                moment = float(density @ (points - sigma))
                x = x + ((sigma_next - sigma) ** 2 / 2 + noise_scale(sigma_next) * moment) * bend
            spread = max(sigma_next**2 - (sigma * ratio) ** 2, 0)
            x = x + math.sqrt(spread) * noise(sigma, sigma_next)
        yield Step(x, x0)
