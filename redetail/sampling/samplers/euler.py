"""First order: Euler steps of the probability flow, without and with fresh noise."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from redetail.sampling.denoiser import Denoiser
from redetail.sampling.noise import NoiseSource
from redetail.sampling.path import NoisePath
from redetail.sampling.samplers.base import (
    Evaluate,
    Step,
    Steps,
    add,
    ancestral,
    ancestral_on,
    cfg_pp,
    directly,
    intervals,
    renoised,
    toward,
)


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


def euler_cfg_pp(
    denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource, *, path: NoisePath
) -> Steps:
    """Euler's method with CFG++ (Chung et al. 2024, arXiv 2406.08070)."""
    return euler(
        denoise, x, sigmas, noise, evaluate=lambda denoise, x, sigma: cfg_pp(denoise, x, sigma, path.alpha(sigma))
    )


def euler_ancestral(
    denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource, *, path: NoisePath | None = None
) -> Steps:
    """An Euler step below the next sigma, then noise up to it (Song et al. 2020, arXiv 2010.02502, eta 1).

    In these variables it is a step of DDPM as well (Ho et al. 2020, arXiv 2006.11239): sigma'^2 / sigma^2, here
    down / sigma, is the weight of x in the mean of its posterior, and up^2 the posterior's variance. Without ``path``
    the noise is that of a variance exploding path, as in ComfyUI for ddpm.
    """
    for sigma, sigma_next in intervals(sigmas):
        x0 = denoise(x, sigma)
        step = ancestral_on(path, sigma, sigma_next)
        x = renoised(toward(x0, x, step.down / sigma), step, noise, sigma, sigma_next)
        yield Step(x, x0)


def euler_ancestral_cfg_pp(
    denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource, *, path: NoisePath
) -> Steps:
    """The same with CFG++ (Chung et al. 2024, arXiv 2406.08070); the step is one between values of sigma / alpha."""
    for sigma, sigma_next in intervals(sigmas):
        alpha, alpha_next = path.alpha(sigma), path.alpha(sigma_next)
        start, x0, _ = cfg_pp(denoise, x, sigma, alpha)
        v_next = path.noise_to_signal(sigma_next)
        down, up = ancestral(path.noise_to_signal(sigma), v_next) if alpha > 0 else (0.0, v_next)
        kept = alpha_next * down / sigma
        x = toward(x0, start, kept)
        if alpha_next != 1:
            x = add(x, alpha_next - 1 + kept * (1 - alpha), x0)
        if up > 0:
            x = add(x, alpha_next * up, noise(sigma, sigma_next))
        yield Step(x, x0)


def lcm(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource, *, path: NoisePath) -> Steps:
    """Multistep consistency sampling: the prediction, noised again (Luo et al. 2023, arXiv 2310.04378, algorithm 3)."""
    for sigma, sigma_next in intervals(sigmas):
        x0 = denoise(x, sigma)
        x = add(path.alpha(sigma_next) * x0, sigma_next, noise(sigma, sigma_next)) if sigma_next > 0 else x0
        yield Step(x, x0)
