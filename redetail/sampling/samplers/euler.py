"""First order: Euler steps of the probability flow, without and with fresh noise."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from redetail.sampling.denoiser import Denoiser
from redetail.sampling.noise import NoiseSource
from redetail.sampling.samplers.base import Step, Steps, ancestral, intervals, slope


def euler(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource) -> Steps:
    """Euler's method (Karras et al. 2022, arXiv 2206.00364, algorithm 1 without its corrector).

    In these variables DDIM with eta 0 (Song et al. 2020, arXiv 2010.02502) is the same step.
    """
    for sigma, sigma_next in intervals(sigmas):
        x0 = denoise(x, sigma)
        x = x0 if sigma_next == 0 else x + (sigma_next - sigma) * slope(x, x0, sigma)
        yield Step(x, x0)


def euler_ancestral(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource) -> Steps:
    """An Euler step below the next sigma, then noise up to it (Song et al. 2020, arXiv 2010.02502, eta 1)."""
    for sigma, sigma_next in intervals(sigmas):
        x0 = denoise(x, sigma)
        down, up = ancestral(sigma, sigma_next)
        x = x + (down - sigma) * slope(x, x0, sigma)
        if sigma_next > 0:
            x = x + up * noise(sigma, sigma_next)
        yield Step(x, x0)


def lcm(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource) -> Steps:
    """Multistep consistency sampling: the prediction noised anew (Luo et al. 2023, arXiv 2310.04378, algorithm 3)."""
    for sigma, sigma_next in intervals(sigmas):
        x0 = denoise(x, sigma)
        x = x0 + sigma_next * noise(sigma, sigma_next) if sigma_next > 0 else x0
        yield Step(x, x0)
