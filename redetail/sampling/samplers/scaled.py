"""Samplers of a variance exploding path on any other path: a change of variables.

A state alpha * x0 + sigma * noise divided by alpha is x0 + v * noise with v = sigma / alpha, which is what a variance
exploding path has at sigma = v. So a sampler that is written for those runs on the divided state, and its result is
multiplied back. Where an exponential integrator in lambda = ln(alpha / sigma) is meant, this is that integrator on
every path (Lu et al. 2022, arXiv 2211.01095).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from redetail.sampling.denoiser import Denoiser, Prediction, predict_both
from redetail.sampling.noise import NoiseSource
from redetail.sampling.path import NoisePath
from redetail.sampling.samplers.base import SamplerFunction, Step, Steps

# At pure noise v is infinite: as in ComfyUI, these samplers take the sigma of this progress instead.
NEAR_PURE_NOISE = 1e-4


def scaled_steps(
    function: SamplerFunction,
    path: NoisePath,
    denoise: Denoiser,
    x: Tensor,
    sigmas: Sequence[float],
    noise: NoiseSource,
) -> Steps:
    """The steps of ``function`` on divided states; ``denoise``, ``noise`` and what is yielded are those of ``path``."""
    levels = [path.sigma_at(NEAR_PURE_NOISE) if path.alpha(sigma) <= 0 else sigma for sigma in sigmas]
    known = {path.noise_to_signal(level): level for level in levels}
    scaled = [*known]

    def sigma_of(v: float) -> float:
        return known[v] if v in known else path.sigma_of_noise_to_signal(v)

    def scaled_noise(v: float, v_next: float) -> Tensor:
        return noise(sigma_of(v), sigma_of(v_next))

    denoiser = _ScaledDenoiser(denoise, path, sigma_of)
    steps = function(denoiser, x / path.alpha(levels[0]), scaled, scaled_noise)
    for step, level in zip(steps, levels[1:], strict=True):
        yield Step(step.x * path.alpha(level), step.x0)


class _ScaledDenoiser:
    """A denoiser of divided states."""

    def __init__(self, denoise: Denoiser, path: NoisePath, sigma_of: Callable[[float], float]) -> None:
        self._denoise, self._path, self._sigma_of = denoise, path, sigma_of

    def __call__(self, x: Tensor, v: float, /) -> Tensor:
        sigma = self._sigma_of(v)
        return self._denoise(x * self._path.alpha(sigma), sigma)

    def predict(self, x: Tensor, v: float, /) -> Prediction:
        sigma = self._sigma_of(v)
        return predict_both(self._denoise, x * self._path.alpha(sigma), sigma)
