"""DPM-Solver++ multistep: exponential integrators of the data prediction that reuse earlier network calls.

Lu et al. 2022, arXiv 2211.01095. With lambda = -ln sigma (alpha = 1 in these variables) and h = lambda' - lambda. The
step to 0 is of first order.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from redetail.sampling.denoiser import Denoiser
from redetail.sampling.noise import NoiseSource
from redetail.sampling.samplers.base import Evaluate, Step, Steps, add, directly, intervals, toward


def dpmpp_2m(
    denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource, *, evaluate: Evaluate = directly
) -> Steps:
    """DPM-Solver++(2M), algorithm 2 of the paper.

    With CFG++ (Chung et al. 2024, arXiv 2406.08070), the history holds negative predictions, as in ComfyUI;
    extrapolating from a negative to a guided prediction makes the result grow large if cfg is high.
    """
    previous, h_previous = None, 0.0
    for sigma, sigma_next in intervals(sigmas):
        start, x0, negative = evaluate(denoise, x, sigma)
        target = x0
        if sigma_next > 0:
            h = math.log(sigma / sigma_next)
            if previous is not None:
                target = toward(x0, previous, -h / (2 * h_previous))
            previous, h_previous = negative, h
        x = toward(target, start, sigma_next / sigma)
        yield Step(x, x0)


def dpmpp_2m_sde(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Sequence[float],
    noise: NoiseSource,
    *,
    correction: Literal["midpoint", "heun"] = "midpoint",
) -> Steps:
    """SDE-DPM-Solver++(2M), section 4.3 of the paper; ``correction`` says how the change of x0 is integrated."""
    previous, h_previous = None, 0.0
    for sigma, sigma_next in intervals(sigmas):
        x0 = denoise(x, sigma)
        if sigma_next == 0:
            x = x0
        else:
            h = math.log(sigma / sigma_next)
            kept = math.exp(-2 * h)
            x = toward(x0, x, kept)
            if previous is not None:
                weight = (1 - kept) / 2 if correction == "midpoint" else 1 - (1 - kept) / (2 * h)
                x = add(x, weight * h / h_previous, x0 - previous)
            x = add(x, sigma_next * math.sqrt(1 - kept), noise(sigma, sigma_next))
            previous, h_previous = x0, h
        yield Step(x, x0)


def dpmpp_3m_sde(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource) -> Steps:
    """SDE-DPM-Solver++ with a parabola through three predictions: the multistep of the paper, one order higher."""
    x0s: deque[Tensor] = deque(maxlen=3)
    widths: deque[float] = deque(maxlen=2)
    for sigma, sigma_next in intervals(sigmas):
        x0 = denoise(x, sigma)
        x0s.appendleft(x0)
        if sigma_next == 0:
            x = x0
        else:
            h = math.log(sigma / sigma_next)
            kept = math.exp(-2 * h)
            x = toward(x0, x, kept)
            first = 1 - (1 - kept) / (2 * h)
            if len(x0s) == 2:
                x = add(x, first * h / widths[0], x0s[0] - x0s[1])
            elif len(x0s) == 3:
                near, far = widths[0] / h, widths[1] / h
                change, before = (x0s[0] - x0s[1]) / near, (x0s[1] - x0s[2]) / far
                bend = (change - before) / (near + far)
                x = add(add(x, first, change), first * near - first / (2 * h) + 0.5, bend)
            x = add(x, sigma_next * math.sqrt(1 - kept), noise(sigma, sigma_next))
            widths.appendleft(h)
        yield Step(x, x0)
