"""SA-Solver: stochastic Adams predictor and corrector (Xue et al. 2023, arXiv 2309.05019)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from redetail.sampling.denoiser import Denoiser
from redetail.sampling.noise import NoiseSource
from redetail.sampling.path import NoisePath
from redetail.sampling.samplers.base import Step, Steps, add, intervals
from redetail.sampling.samplers.quadrature import gauss, lagrange_integrals

PREDICTOR_ORDER, CORRECTOR_ORDER = 3, 4


def _adams(x: Tensor, sigmas: tuple[float, float], tau: float, nodes: Sequence[float], x0s: Sequence[Tensor]) -> Tensor:
    """The step between two sigmas, without its noise: x0 as a polynomial in lambda through ``nodes`` (sigmas)."""
    start, end = (-math.log(sigma) for sigma in sigmas)
    rate = 1 + tau**2
    points, weights = gauss(start, end)
    integrals = lagrange_integrals(
        [-math.log(node) for node in nodes], points, weights * rate * np.exp((points - end) * rate)
    )
    moved = math.exp((start - end) * rate) * x
    for integral, x0 in zip(integrals, x0s, strict=True):
        moved = add(moved, integral, x0)
    return moved


def sa_solver(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Sequence[float],
    noise: NoiseSource,
    *,
    path: NoisePath,
    evaluate_corrected: bool = False,
) -> Steps:
    """Predictor of order 3, corrector of order 4, and noise (tau = 1) only in the middle of the schedule.

    Noise is added if the next sigma lies between those at 0.2 and 0.8 of the timesteps. A step's corrector uses the
    noise of its predictor. ``evaluate_corrected`` is sa_solver_pece: the corrected latents are evaluated once more.
    """
    low = path.noise_to_signal(path.sigma_at(0.8)) * (1 - 1e-6)
    high = path.noise_to_signal(path.sigma_at(0.2)) * (1 + 1e-6)
    start, tau = x, 0.0
    shock: Tensor | float = 0.0
    nodes: list[float] = []
    x0s: list[Tensor] = []
    for index, (sigma, sigma_next) in enumerate(intervals(sigmas)):
        left = len(sigmas) - 2 - index if sigmas[-1] == 0 else PREDICTOR_ORDER
        x0 = predicted = denoise(x, sigma)
        if index > 0:
            order = slice(0, min(CORRECTOR_ORDER, left + 1) - 1)
            x = _adams(start, (nodes[0], sigma), tau, [sigma, *nodes[order]], [x0, *x0s[order]]) + shock
            predicted = denoise(x, sigma) if evaluate_corrected else x0
        nodes, x0s = [sigma, *nodes[: CORRECTOR_ORDER - 2]], [predicted, *x0s[: CORRECTOR_ORDER - 2]]
        start = x
        if sigma_next == 0:
            x = predicted
        else:
            tau = 1.0 if low <= sigma_next <= high else 0.0
            order = slice(0, min(PREDICTOR_ORDER, left))
            shock = 0.0
            if tau > 0:
                spread = 1 - (sigma_next / sigma) ** (2 * tau**2)
                shock = sigma_next * math.sqrt(spread) * noise(sigma, sigma_next)
            x = _adams(start, (sigma, sigma_next), tau, nodes[order], x0s[order]) + shock
        yield Step(x, x0)
