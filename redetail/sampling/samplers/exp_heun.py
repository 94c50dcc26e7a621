"""Exponential Heun: the predictions at both ends of a step, integrated exactly between them.

Of second order, with the phi functions of exponential integrators (Hochbruck and Ostermann 2010, "Exponential
integrators", section 2.3); the stochastic form is SEEDS' (Gonzalez et al. 2023, arXiv 2305.14267) with its stage at the
end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from redetail.sampling.denoiser import Denoiser
from redetail.sampling.noise import NoiseSource
from redetail.sampling.samplers.base import Step, Steps, add, intervals, toward


def exp_heun_2_x0(
    denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource, *, eta: float = 0.0
) -> Steps:
    """x0 as a line in lambda through its predictions at both ends (arXiv 2308.02157); ``eta`` 1 adds noise (_sde)."""
    for sigma, sigma_next in intervals(sigmas):
        x0 = denoise(x, sigma)
        if sigma_next == 0:
            yield Step(x0, x0)
            return
        h = (1 + eta**2) * math.log(sigma / sigma_next)
        trial = toward(x0, x, math.exp(-h))
        if eta > 0:
            trial = add(trial, sigma_next * math.sqrt(-math.expm1(-h)), noise(sigma, sigma_next))
            noise(sigma, sigma_next)  # as in ComfyUI, one draw for each end of the step, of which the first is used
        change = denoise(trial, sigma_next) - x0
        x = add(trial, (math.expm1(-h) + h) / h, change)
        yield Step(x, x0)
