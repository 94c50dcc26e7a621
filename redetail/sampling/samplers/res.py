"""Refined exponential solver, multistep of second order (Zhang et al. 2023, arXiv 2308.02157)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from redetail.sampling.denoiser import Denoiser
from redetail.sampling.noise import NoiseSource
from redetail.sampling.samplers.base import Evaluate, Step, Steps, add, ancestral, directly, intervals, toward


def res_multistep(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Sequence[float],
    noise: NoiseSource,
    *,
    evaluate: Evaluate = directly,
    eta: float = 0.0,
) -> Steps:
    """The change of x0 over the last step, extrapolated and integrated exactly; ``eta`` 1 adds noise after each step.

    With CFG++ (Chung et al. 2024, arXiv 2406.08070) it is the negative prediction that is integrated, as in ComfyUI.
    """
    previous, before, reached = None, 0.0, 0.0
    for sigma, sigma_next in intervals(sigmas):
        start, x0, negative = evaluate(denoise, x, sigma)
        down, up = ancestral(sigma, sigma_next, eta)
        if previous is None or down == 0:
            x = toward(x0, start, down / sigma)
        else:
            h = math.log(sigma / down)
            weight = (h + math.expm1(-h)) / math.log(before / reached)
            x = add(toward(negative, start, down / sigma), weight, negative - previous)
        if up > 0:
            x = add(x, up, noise(sigma, sigma_next))
        previous, before, reached = negative, sigma, down
        yield Step(x, x0)
