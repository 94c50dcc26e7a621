"""DPM-Solver++ singlestep: second order by a network call in the middle of the step.

Lu et al. 2022, arXiv 2211.01095, algorithm 1 with r = 1/2; data prediction. With lambda = -ln sigma the middle is the
geometric mean of the sigmas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from redetail.sampling.denoiser import Denoiser, predict_both
from redetail.sampling.noise import NoiseSource
from redetail.sampling.path import NoisePath
from redetail.sampling.samplers.base import (
    Step,
    Steps,
    add,
    ancestral,
    ancestral_on,
    cfg_pp,
    intervals,
    renoised,
    toward,
)

# What the middle of a step from pure noise of a flow is taken to be, as in ComfyUI: its lambda has no bound.
_MIDDLE_FROM_PURE_NOISE = 0.9999


def _middle(path: NoisePath, sigma: float, sigma_next: float) -> float:
    """The noise level halfway in lambda."""
    if path.alpha(sigma) <= 0:
        return _MIDDLE_FROM_PURE_NOISE
    ratio = math.sqrt(path.noise_to_signal(sigma) * path.noise_to_signal(sigma_next))
    return path.sigma_of_noise_to_signal(ratio)


def dpmpp_2s_ancestral(
    denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource, *, path: NoisePath
) -> Steps:
    """DPM-Solver++(2S) to below the next sigma, then noise up to it."""
    for sigma, sigma_next in intervals(sigmas):
        x0 = denoise(x, sigma)
        step = ancestral_on(path, sigma, sigma_next)
        if step.down == 0:
            x = x0
        else:
            middle = _middle(path, sigma, step.down)
            x = toward(denoise(toward(x0, x, middle / sigma), middle), x, step.down / sigma)
        x = renoised(x, step, noise, sigma, sigma_next)
        yield Step(x, x0)


def dpmpp_2s_ancestral_cfg_pp(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource) -> Steps:
    """The same with CFG++ (Chung et al. 2024, arXiv 2406.08070): each half takes the newest negative prediction.

    As in ComfyUI, the second half combines a prediction at the middle with one at the start; this keeps the recorded
    look, but does not converge as the steps get finer.
    """
    for sigma, sigma_next in intervals(sigmas):
        start, x0, _ = cfg_pp(denoise, x, sigma)
        down, up = ancestral(sigma, sigma_next)
        if down == 0:
            x = x0
        else:
            middle = math.sqrt(sigma * down)
            there = predict_both(denoise, toward(x0, start, middle / sigma), middle)
            x = toward(there.guided, x + (x0 - there.negative), down / sigma)
        if up > 0:
            x = add(x, up, noise(sigma, sigma_next))
        yield Step(x, x0)


def dpmpp_sde(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource) -> Steps:
    """SDE-DPM-Solver++(2S): fresh noise on both halves of the step, of one Brownian path."""
    for sigma, sigma_next in intervals(sigmas):
        x0 = denoise(x, sigma)
        if sigma_next == 0:
            x = x0
        else:
            middle = math.sqrt(sigma * sigma_next)
            down, up = ancestral(sigma, middle)
            trial = add(toward(x0, x, down / sigma), up, noise(sigma, middle))
            down, up = ancestral(sigma, sigma_next)
            x = add(toward(denoise(trial, middle), x, down / sigma), up, noise(sigma, sigma_next))
        yield Step(x, x0)
