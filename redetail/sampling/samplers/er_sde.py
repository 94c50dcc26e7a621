"""Extended reverse-time SDE solver (Cui et al. 2023, arXiv 2309.06169)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from redetail.sampling.denoiser import Denoiser
from redetail.sampling.noise import NoiseSource
from redetail.sampling.samplers.base import Step, Steps, add, intervals, toward

POINTS = 200


def noise_scale(sigma: float) -> float:
    """The paper's recommended noise function, phi(v) = v * (exp(v^0.3) + 10)."""
    return sigma * (math.exp(sigma**0.3) + 10)


def er_sde(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource) -> Steps:
    """ER-SDE-Solver-3, algorithm 3: x0 as a parabola in sigma, its integrals as sums over 200 points, as in ComfyUI."""
    previous: Tensor | None = None
    change_before: Tensor | None = None
    for index, (sigma, sigma_next) in enumerate(intervals(sigmas)):
        x0 = denoise(x, sigma)
        if sigma_next == 0:
            x = x0
        else:
            ratio = noise_scale(sigma_next) / noise_scale(sigma)
            x = toward(x0, x, ratio)
            step = (sigma - sigma_next) / POINTS
            points = sigma_next + step * np.arange(POINTS)
            density = step / (points * (np.exp(points**0.3) + 10))
            change = None if previous is None else (x0 - previous) / (sigma - sigmas[index - 1])
            if change is not None:
                x = add(x, float(sigma_next - sigma + noise_scale(sigma_next) * density.sum()), change)
            if change is not None and change_before is not None:
                bend = (change - change_before) / ((sigma - sigmas[index - 2]) / 2)
                moment = float(density @ (points - sigma))
                x = add(x, (sigma_next - sigma) ** 2 / 2 + noise_scale(sigma_next) * moment, bend)
            spread = max(sigma_next**2 - (sigma * ratio) ** 2, 0)
            x = add(x, math.sqrt(spread), noise(sigma, sigma_next))
            previous, change_before = x0, change
        yield Step(x, x0)
