"""Second and third order, by further network calls within a step. The step to 0 is always Euler's."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from redetail.sampling.denoiser import Denoiser
from redetail.sampling.noise import NoiseSource
from redetail.sampling.path import NoisePath
from redetail.sampling.samplers.base import Step, Steps, add, ancestral_on, intervals, renoised, slope, toward


def heun(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource) -> Steps:
    """Heun's method: the mean of the slopes at both ends (Karras et al. 2022, arXiv 2206.00364, algorithm 1)."""
    for sigma, sigma_next in intervals(sigmas):
        x0 = denoise(x, sigma)
        trial = toward(x0, x, sigma_next / sigma)
        if sigma_next == 0:
            x = trial
        else:
            end = slope(trial, denoise(trial, sigma_next), sigma_next)
            half = (sigma_next - sigma) / 2
            x = add(toward(x0, x, 1 + half / sigma), half, end)
        yield Step(x, x0)


def heunpp2(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource) -> Steps:
    """Heun's method with up to three slopes, whose weights shift to the near one as sigma falls.

    A known sampler without a paper; the weights are a recorded fact: with k slopes, the one at sigma' weighs sigma' /
    (k * first sigma), and the slope at the start takes the rest. There are three slopes, two in the last step but one,
    and one in the last.
    """
    for index, (sigma, sigma_next) in enumerate(intervals(sigmas)):
        x0 = denoise(x, sigma)
        slopes = [slope(x, x0, sigma)]
        ahead = sigmas[index + 1 : index + 3] if index + 2 < len(sigmas) else []
        ahead = [further for further in ahead if further > 0]
        trial, reached = x, sigma
        for further in ahead:
            trial, reached = add(trial, further - reached, slopes[-1]), further
            slopes.append(slope(trial, denoise(trial, further), further))
        weights = [further / (len(slopes) * sigmas[0]) for further in ahead]
        mean = (1 - sum(weights)) * slopes[0]
        for weight, other in zip(weights, slopes[1:], strict=True):
            mean = add(mean, weight, other)
        x = x0 if sigma_next == 0 else add(x, sigma_next - sigma, mean)
        yield Step(x, x0)


def dpm_2(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Sequence[float],
    noise: NoiseSource,
    *,
    eta: float = 0.0,
    path: NoisePath | None = None,
) -> Steps:
    """The slope at the midpoint in ln sigma (DPM-Solver-2, Lu et al. 2022, arXiv 2206.00927, as in arXiv 2206.00364).

    ``eta`` 1 is dpm_2_ancestral: the same step to below the next sigma, then noise up to it.
    """
    for sigma, sigma_next in intervals(sigmas):
        x0 = denoise(x, sigma)
        step = ancestral_on(path, sigma, sigma_next, eta)
        if step.down == 0:
            x = x0
        else:
            middle = math.sqrt(sigma * step.down)
            trial = toward(x0, x, middle / sigma)
            x = add(x, step.down - sigma, slope(trial, denoise(trial, middle), middle))
        x = renoised(x, step, noise, sigma, sigma_next)
        yield Step(x, x0)
