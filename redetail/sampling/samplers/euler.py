"""First order: Euler steps of the probability flow, without and with fresh noise."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from redetail.sampling.denoiser import Denoiser
from redetail.sampling.noise import NoiseSource
from redetail.sampling.samplers.base import Evaluate, Step, Steps, add, ancestral, directly, intervals, toward


def euler(
    denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource, *, evaluate: Evaluate = directly
) -> Steps:
    """Euler's method (Karras et al. 2022, arXiv 2206.00364, algorithm 1 without its corrector).

    In these variables DDIM with eta 0 (Song et al. 2020, arXiv 2010.02502) is the same step.
    """
    for sigma, sigma_next in intervals(sigmas):
        start, x0, _ = evaluate(denoise, x, sigma)
        x = toward(x0, start, sigma_next / sigma)
        yield Step(x, x0)


def euler_ancestral(
    denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource, *, evaluate: Evaluate = directly
) -> Steps:
    """An Euler step below the next sigma, then noise up to it (Song et al. 2020, arXiv 2010.02502, eta 1).

    In these variables it is a step of DDPM as well (Ho et al. 2020, arXiv 2006.11239): sigma'^2 / sigma^2, here
    down / sigma, is the weight of x in the mean of its posterior, and up^2 the posterior's variance.
    """
    for sigma, sigma_next in intervals(sigmas):
        start, x0, _ = evaluate(denoise, x, sigma)
        down, up = ancestral(sigma, sigma_next)
        x = toward(x0, start, down / sigma)
        if up > 0:
            x = add(x, up, noise(sigma, sigma_next))
        yield Step(x, x0)


def lcm(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource) -> Steps:
    """Multistep consistency sampling: the prediction noised anew (Luo et al. 2023, arXiv 2310.04378, algorithm 3)."""
    for sigma, sigma_next in intervals(sigmas):
        x0 = denoise(x, sigma)
        x = add(x0, sigma_next, noise(sigma, sigma_next)) if sigma_next > 0 else x0
        yield Step(x, x0)
