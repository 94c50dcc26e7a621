"""DPM-Solver++ multistep: exponential integrators of the data prediction that reuse earlier network calls.

Lu et al. 2022, arXiv 2211.01095. With lambda = -ln sigma (alpha = 1 in these variables) and h = lambda' - lambda.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from redetail.sampling.denoiser import Denoiser
from redetail.sampling.noise import NoiseSource
from redetail.sampling.samplers.base import Step, Steps, intervals


def dpmpp_2m(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource) -> Steps:
    """DPM-Solver++(2M), algorithm 2 of the paper; the first and the last step are of first order."""
    previous, h_previous = None, 0.0
    for sigma, sigma_next in intervals(sigmas):
        x0 = denoise(x, sigma)
        if sigma_next == 0:
            x = x0
        else:
            h = math.log(sigma / sigma_next)
            target = x0 if previous is None else x0 + (x0 - previous) * (h / (2 * h_previous))
            x = (sigma_next / sigma) * x - math.expm1(-h) * target
            previous, h_previous = x0, h
        yield Step(x, x0)


def dpmpp_2m_sde(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Sequence[float],
    noise: NoiseSource,
    *,
    correction: Literal["midpoint", "heun"] = "midpoint",
    eta: float = 1.0,
) -> Steps:
    """SDE-DPM-Solver++(2M) (section 6 and appendix of the paper) with noise of strength ``eta``."""
    previous, h_previous = None, 0.0
    for sigma, sigma_next in intervals(sigmas):
        x0 = denoise(x, sigma)
        if sigma_next == 0:
            x = x0
        else:
            h = math.log(sigma / sigma_next)
            decay = (1 + eta) * h
            x = (sigma_next / sigma) * math.exp(-eta * h) * x - math.expm1(-decay) * x0
            if previous is not None:
                weight = -math.expm1(-decay) / 2 if correction == "midpoint" else math.expm1(-decay) / decay + 1
                x = x + (weight * h / h_previous) * (x0 - previous)
            x = x + sigma_next * math.sqrt(-math.expm1(-2 * eta * h)) * noise(sigma, sigma_next)
            previous, h_previous = x0, h
        yield Step(x, x0)
