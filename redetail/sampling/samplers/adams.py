"""Adams-Bashforth: several orders for one network call per step, from the slopes of earlier steps.

A family of linear multistep methods that differ only in the weights of the slopes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from torch import Tensor

from redetail.sampling.denoiser import Denoiser
from redetail.sampling.noise import NoiseSource
from redetail.sampling.samplers.base import Evaluate, Step, Steps, add, directly, intervals, slope
from redetail.sampling.samplers.quadrature import Array, gauss, lagrange_integrals

Weights = Callable[[Sequence[float], float], Sequence[float]]
"""(sigmas of the known slopes, newest first; next sigma) -> weights of these slopes."""


def _multistep(
    denoise: Denoiser, x: Tensor, sigmas: Sequence[float], order: int, weights: Weights, evaluate: Evaluate = directly
) -> Steps:
    """x + weighted sum of the last ``order`` slopes; the step to 0 is Euler's."""
    known: deque[float] = deque(maxlen=order)
    slopes: deque[Tensor] = deque(maxlen=order)
    for sigma, sigma_next in intervals(sigmas):
        x, x0, _ = evaluate(denoise, x, sigma)
        known.appendleft(sigma)
        slopes.appendleft(slope(x, x0, sigma))
        if sigma_next == 0:
            x = x0
        else:
            for weight, one in zip(weights(known, sigma_next), slopes, strict=True):
                x = add(x, weight, one)
        yield Step(x, x0)


def lms(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource) -> Steps:
    """Adams-Bashforth of order 4 for uneven steps in sigma (Hairer, Norsett and Wanner, section III.5)."""
    return _multistep(denoise, x, sigmas, 4, lambda known, end: lagrange_integrals(known, *gauss(known[0], end)))


FIXED = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))


def ipndm(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource) -> Steps:
    """iPNDM: the weights of even steps up to order 4, whatever the steps (Zhang and Chen 2022, arXiv 2204.13902)."""

    def weights(known: Sequence[float], end: float) -> list[float]:
        return [(end - known[0]) * weight for weight in FIXED[len(known) - 1]]

    return _multistep(denoise, x, sigmas, 4, weights)


def ipndm_v(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource) -> Steps:
    """iPNDM with weights for uneven steps (Zhou et al. 2023, arXiv 2312.00094), in modified divided differences.

    The weights are Adams-Bashforth's except for three terms from ComfyUI, which lower the order; see docs/samplers.md.
    """
    return _multistep(denoise, x, sigmas, 4, _uneven_weights)


def _uneven_weights(known: Sequence[float], end: float) -> list[float]:
    h = end - known[0]
    h1, h2, h3 = (*(later - sooner for later, sooner in pairwise(known)), h, h, h)[:3]
    near, far = h1 / h2, h1 * (h1 + h2) / (h2 * (h2 + h3))
    grown, past = (h + h1) / h, h / (3 * (h + h1))
    second = (1 - past * h**2 * grown / (h1 * (h1 + h2))) / 2
    third = (1 - past) / 2 + (1 - 1.5 * past) * h / (6 * (h + h1 + h2))
    third *= h * (h + h1) * (h + h1 + h2) / (h1 * (h1 + h2) * (h1 + h2 + h3))
    terms = (
        (1.0, (1.0,)),
        (h / (2 * h1), (1.0, -1.0)),
        (second, (1.0, -(1 + near), near)),
        (third, (1.0, -(1 + near + far), near + far * (1 + h2 / h3), -far * near)),
    )
    weights = [0.0] * len(known)
    for factor, differences in terms[: len(known)]:
        for index, coefficient in enumerate(differences):
            weights[index] += h * factor * coefficient
    return weights


class VpTime:
    """Time of the variance preserving process through (0.001, sigma 0.002) and (1, sigma 80), arXiv 2206.00364."""

    def __init__(self, low: float = 0.002, high: float = 80.0, epsilon: float = 1e-3) -> None:
        ends = math.log1p(low**2), math.log1p(high**2)
        self.slope = 2 * (ends[0] / epsilon - ends[1]) / (epsilon - 1)
        self.start = ends[1] - self.slope / 2

    def time(self, sigma: float) -> float:
        """Time of a sigma."""
        return (math.sqrt(self.start**2 + 2 * self.slope * math.log1p(sigma**2)) - self.start) / self.slope

    def sigma_rate(self, times: Array) -> Array:
        """d sigma / d time."""
        growth = np.exp(self.slope * times**2 / 2 + self.start * times)
        rate: Array = growth * (self.slope * times + self.start) / (2 * np.sqrt(growth - 1))
        return rate


def deis(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource) -> Steps:
    """tAB-DEIS of order 3: slopes interpolated in the time of the VP process (Zhang and Chen 2022, arXiv 2204.13902).

    The integrals are sums over 10000 points, as in ComfyUI.
    """
    vp = VpTime()

    def weights(known: Sequence[float], end: float) -> list[float]:
        if len(known) == 1:
            return [end - known[0]]
        times, last = [vp.time(sigma) for sigma in known], vp.time(end)
        points = np.linspace(times[0], last, 10000)
        return lagrange_integrals(times, points, vp.sigma_rate(points) * ((last - times[0]) / 10000))

    return _multistep(denoise, x, sigmas, 3, weights)


def gradient_estimation(
    denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource, *, evaluate: Evaluate = directly
) -> Steps:
    """Slopes extrapolated twofold, gamma = 2 (Permenter and Yuan 2023, arXiv 2306.04848, algorithm 2)."""

    def weights(known: Sequence[float], end: float) -> list[float]:
        step = end - known[0]
        return [step] if len(known) == 1 else [2 * step, -step]

    return _multistep(denoise, x, sigmas, 2, weights, evaluate)
