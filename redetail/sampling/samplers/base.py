"""What a sampler is: a function that walks down the sigmas and yields every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from redetail.sampling.denoiser import Denoiser, predict_both
from redetail.sampling.noise import NoiseSource
from redetail.sampling.path import NoisePath


class Step(NamedTuple):
    """After a step: the latents ``x`` at its end, and the clean latents ``x0`` predicted at its start."""

    x: Tensor
    x0: Tensor


Steps = Iterator[Step]

SamplerFunction = Callable[..., Steps]
"""(denoiser, x, sigmas, noise) -> steps.

``x`` (F, C, h, w) is at noise level sigmas[0]; ``sigmas`` descend, usually to a final 0; ``noise(sigma, next sigma)``
gives standard normal noise for a stochastic step. Samplers that need no noise do not call it.
"""

NoiseKind = Literal["none", "plain", "brownian", "brownian_part"]


@dataclass(frozen=True)
class Sampler:
    """A sampler and its facts.

    ``order``: order of convergence (for stochastic samplers, of the method without noise). ``calls(n)``: network
    evaluations for n steps that end in 0 (None: as many as it takes). ``noise``: "plain" draws or a "brownian" path
    over the whole schedule ("brownian_part": over the sampled part). ``drop_penultimate``: whether its schedules leave
    out the last sigma before 0. ``mask_seed_offset``: added to the seed of the noise that masked surroundings show.
    ``needs_path``: whether the function takes the model's noise path, as keyword ``path``. ``scaled``: whether it is
    written for a variance exploding path, and works on states divided by alpha on others (see
    :mod:`redetail.sampling.samplers.scaled`).
    """

    name: str
    function: SamplerFunction
    order: int
    calls: Callable[[int], int] | None
    source: str
    noise: NoiseKind = "none"
    drop_penultimate: bool = False
    mask_seed_offset: int = 0
    needs_path: bool = False
    scaled: bool = False


def intervals(sigmas: Sequence[float]) -> Iterable[tuple[float, float]]:
    """(sigma, next sigma) of each step."""
    return pairwise(sigmas)


def slope(x: Tensor, x0: Tensor, sigma: float) -> Tensor:
    """dx/dsigma of the probability flow ODE (Karras et al. 2022, arXiv 2206.00364, eq. 3 with s = 1)."""
    return (x - x0).div_(sigma)


def toward(x0: Tensor, x: Tensor, kept: float) -> Tensor:
    """``x0`` + ``kept`` * (x - x0), exact for 0 and 1.

    With kept = sigma'/sigma this is the Euler step, which is also the first-order exponential integrator: both are
    exact if x0 does not change during the step.
    """
    return torch.lerp(x0, x, kept)


def add(x: Tensor, weight: float, change: Tensor) -> Tensor:
    """``x`` + ``weight`` * ``change``, in one pass over memory."""
    return torch.add(x, change, alpha=weight)


def ancestral(sigma: float, sigma_next: float, eta: float = 1.0) -> tuple[float, float]:
    """(down, up): go down to ``down`` without noise, add noise of ``up``, and arrive at ``sigma_next``.

    ``eta`` 1 gives the variance of the DDPM posterior (Song et al. 2020, arXiv 2010.02502, eq. 16), 0 no noise.
    """
    up = min(sigma_next, eta * (sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2) ** 0.5)
    return (sigma_next**2 - up**2) ** 0.5, up


class Ancestral(NamedTuple):
    """A step with noise: without noise to ``down``, then times ``scale``, plus noise of ``up``."""

    down: float
    scale: float
    up: float


def ancestral_on(path: NoisePath | None, sigma: float, sigma_next: float, eta: float = 1.0) -> Ancestral:
    """The ancestral step on a path; None: the rule of variance exploding paths, which some samplers keep as in ComfyUI.

    On a rectified flow, ``down`` is sigma'^2 / sigma for ``eta`` 1, as on a variance exploding path, and the state is
    scaled so that the clean latents have the weight that belongs to ``sigma_next``.
    """
    if path is None or path.variance_exploding:
        down, up = ancestral(sigma, sigma_next, eta)
        return Ancestral(down, 1.0, up)
    down = sigma_next * (1 + (sigma_next / sigma - 1) * eta)
    scale = path.alpha(sigma_next) / path.alpha(down)
    return Ancestral(down, scale, math.sqrt(max(sigma_next**2 - (down * scale) ** 2, 0.0)))


def renoised(x: Tensor, step: Ancestral, noise: NoiseSource, sigma: float, sigma_next: float) -> Tensor:
    """The noisy end of an ancestral step from latents at its ``down``; draws only where there is noise to add."""
    if step.up <= 0:
        return x
    return add(x if step.scale == 1 else step.scale * x, step.up, noise(sigma, sigma_next))


class Evaluation(NamedTuple):
    """A network call as a sampler uses it.

    ``x``: where the step starts; ``x0``: the clean latents predicted there; ``negative``: those predicted for the
    negative condition, which some histories use (without CFG++, the same as x0).
    """

    x: Tensor
    x0: Tensor
    negative: Tensor


Evaluate = Callable[[Denoiser, Tensor, float], Evaluation]


def directly(denoise: Denoiser, x: Tensor, sigma: float) -> Evaluation:
    """The unchanged prediction."""
    x0 = denoise(x, sigma)
    return Evaluation(x, x0, x0)


def cfg_pp(denoise: Denoiser, x: Tensor, sigma: float, alpha: float = 1.0) -> Evaluation:
    """CFG++ (Chung et al. 2024, arXiv 2406.08070): the guided prediction, re-noised with the negative one's noise.

    alpha' * x0 + sigma' * (x - alpha * negative) / sigma is the ordinary step from x + alpha * (x0 - negative): so the
    start is shifted, and every sampler can do the rest as usual. ``alpha`` is that of the path at ``sigma``.
    """
    guided, negative = predict_both(denoise, x, sigma)
    return Evaluation(x + alpha * (guided - negative), guided, negative)
