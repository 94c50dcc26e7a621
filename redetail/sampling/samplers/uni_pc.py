"""UniPC: one form for predictor and corrector of any order (Zhao et al. 2023, arXiv 2302.04867)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from redetail.sampling.denoiser import Denoiser
from redetail.sampling.noise import NoiseSource
from redetail.sampling.samplers.base import Step, Steps, add, toward

END = 0.001
"""Sigma that stands for 0: the method works in ln sigma."""

StepFunction = Callable[[float], float]
"""B(h), with h negative, as in the data prediction form."""


def _coefficients(ratios: Sequence[float], h: float, b_h: float) -> list[float]:
    """Weights of the differences at ``ratios`` (places in units of the step), algorithms 5 and 6 of the paper."""
    rows, right, phi, factorial = [], [], math.expm1(h) / h - 1, 1.0
    for power in range(len(ratios)):
        factorial *= power + 1
        rows.append([ratio**power for ratio in ratios])
        right.append(phi * factorial / b_h)
        phi = phi / h - 1 / (factorial * (power + 2))
    return [float(value) for value in np.linalg.solve(np.array(rows), np.array(right))]


def _uni_pc(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], b: StepFunction) -> Steps:
    sigmas = [*sigmas[:-1], sigmas[-1] or END]
    steps = len(sigmas) - 1
    highest = max(1, min(3, steps - 1))
    x0s = [denoise(x, sigmas[0])]
    for index in range(1, steps + 1):
        order = min(highest, index, steps + 1 - index)
        sigma, sigma_next = sigmas[index - 1], sigmas[index]
        h = math.log(sigma_next / sigma)
        ratios = [math.log(sigma / sigmas[index - 1 - back]) / -h for back in range(1, order)]
        base = toward(x0s[0], x, sigma_next / sigma)
        changes = [(x0s[back] - x0s[0]) / ratio for back, ratio in enumerate(ratios, 1)]
        x = base
        weights = [0.5] if order == 2 else _coefficients(ratios, h, b(h)) if ratios else []
        for weight, change in zip(weights, changes, strict=True):
            x = add(x, -b(h) * weight, change)
        reported = x0s[0]
        if index < steps:
            x0 = denoise(x, sigma_next)
            weights = [0.5] if order == 1 else _coefficients([*ratios, 1.0], h, b(h))
            x = base
            for weight, change in zip(weights, [*changes, x0 - x0s[0]], strict=True):
                x = add(x, -b(h) * weight, change)
            x0s = [x0, *x0s[: highest - 1]]
        yield Step(x, reported)


def uni_pc(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource) -> Steps:
    """UniPC with B(h) = h."""
    return _uni_pc(denoise, x, sigmas, lambda h: h)


def uni_pc_bh2(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource) -> Steps:
    """UniPC with B(h) = exp(h) - 1."""
    return _uni_pc(denoise, x, sigmas, math.expm1)
