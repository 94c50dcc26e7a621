"""DPM-Solver with noise prediction, singlestep of order 1 to 3 (Lu et al. 2022, arXiv 2206.00927).

In lambda = -ln sigma, alpha = 1. Both samplers end at the last sigma above 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from redetail.sampling.denoiser import Denoiser
from redetail.sampling.noise import NoiseSource
from redetail.sampling.samplers.base import Step, Steps, add, slope

# Distances in lambda below which there is nothing left to do.
_NO_WAY = 1e-5


class Solver:
    """One step from ``lam`` over ``h``; network calls are made when first needed, and shared between orders."""

    def __init__(self, denoise: Denoiser, x: Tensor, lam: float, h: float) -> None:
        self.denoise, self.x, self.lam, self.h = denoise, x, lam, h
        self.x0 = denoise(x, math.exp(-lam))
        self.eps = slope(x, self.x0, math.exp(-lam))
        self._eps_at: dict[float, Tensor] = {}

    def _move(self, r: float, *terms: tuple[float, Tensor]) -> Tensor:
        sigma = math.exp(-(self.lam + r * self.h))
        x = add(self.x, -sigma * math.expm1(r * self.h), self.eps)
        for weight, change in terms:
            x = add(x, -sigma * weight, change)
        return x

    def _change_at(self, r: float, trial: Callable[[], Tensor]) -> Tensor:
        if r not in self._eps_at:
            sigma, x = math.exp(-(self.lam + r * self.h)), trial()
            self._eps_at[r] = slope(x, self.denoise(x, sigma), sigma) - self.eps
        return self._eps_at[r]

    def first(self) -> Tensor:
        """DPM-Solver-1, eq. 3.7."""
        return self._move(1)

    def second(self, r: float = 1 / 2) -> Tensor:
        """DPM-Solver-2, algorithm 1 (general r: algorithm 4)."""
        change = self._change_at(r, lambda: self._move(r))
        return self._move(1, (math.expm1(self.h) / (2 * r), change))

    def third(self, r1: float = 1 / 3, r2: float = 2 / 3) -> Tensor:
        """DPM-Solver-3, algorithm 2."""
        h, near = self.h, self._change_at(r1, lambda: self._move(r1))
        change = self._change_at(r2, lambda: self._move(r2, (r2 / r1 * (math.expm1(r2 * h) / (r2 * h) - 1), near)))
        return self._move(1, ((math.expm1(h) / h - 1) / r2, change))


def _ends(sigmas: Sequence[float]) -> tuple[float, float]:
    last = sigmas[-1] if sigmas[-1] > 0 else sigmas[-2]
    return -math.log(sigmas[0]), -math.log(last)


def dpm_fast(denoise: Denoiser, x: Tensor, sigmas: Sequence[float], noise: NoiseSource) -> Steps:
    """DPM-Solver-fast, section 3.4: steps even in ln sigma, of order 3 where the number of calls allows it."""
    calls = len(sigmas) - 1
    orders = [3] * (calls // 3 - 1) + [2, 1] if calls % 3 == 0 else [3] * (calls // 3) + [calls % 3]
    start, stop = _ends(sigmas)
    h = (stop - start) / len(orders)
    for index, order in enumerate(orders):
        solver = Solver(denoise, x, start + index * h, h)
        x = (solver.first, solver.second, solver.third)[order - 1]()
        yield Step(x, solver.x0)


def dpm_adaptive(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Sequence[float],
    noise: NoiseSource,
    *,
    rtol: float = 0.05,
    atol: float = 0.0078,
    h: float = 0.05,
) -> Steps:
    """DPM-Solver-23 with step size control, appendix C of the paper: the step is halved or grown until orders agree.

    A schedule of one step to 0 has nothing to adapt: its first sigma is the last above 0, and is evaluated once. The
    controller is integral, its factor limited smoothly (Soderlind and Wang 2006): 1 + atan(factor - 1).
    """
    lam, stop = _ends(sigmas)
    if stop - lam <= _NO_WAY:
        yield Step(x, denoise(x, sigmas[0]))
        return
    previous = x
    while lam < stop - _NO_WAY:
        solver = Solver(denoise, x, lam, min(h, stop - lam))
        low, high = solver.second(1 / 3), solver.third()
        scale = torch.clamp(rtol * torch.maximum(low.abs(), previous.abs()), min=atol)
        error = float(((low - high) / scale).square().mean().sqrt())
        factor = 1 + math.atan((1 / (error + 1e-8)) ** (1 / 3) - 1)
        if factor >= 0.81:
            previous, x, lam = low, high, lam + solver.h
            yield Step(x, solver.x0)
        h *= factor
