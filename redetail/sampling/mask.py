"""Masks over latents: where the mask is 0 the original stays, where it is 1 the model decides.

The mask acts at every model call, not only at the end: the model always sees the original surroundings, noised to the
current level, so that what it paints fits them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from redetail.sampling.denoiser import Denoiser, Prediction, predict_both
from redetail.sampling.path import NoisePath


class MaskedDenoiser:
    """A denoiser that keeps ``clean`` where ``mask`` is 0.

    ``mask``: (1 or F, 1, h, w) 0..1, constant, or a function of sigma that gives such a mask; ``clean``, ``noise``: (F,
    C, h, w), the original latents and the noise that is added to them (with zeros they are shown clean); ``path``: how
    it is added.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        mask: Tensor | Callable[[float], Tensor],
        clean: Tensor,
        noise: Tensor,
        path: NoisePath,
    ) -> None:
        self.denoiser, self.clean, self.noise, self.path = denoiser, clean, noise, path
        self.mask_at: Callable[[float], Tensor] = (lambda _: mask) if isinstance(mask, Tensor) else mask

    def __call__(self, x: Tensor, sigma: float, /) -> Tensor:
        """x0 (F, C, h, w), ``clean`` outside the mask."""
        mask = self.mask_at(sigma)
        return torch.lerp(self.clean, self.denoiser(self._shown(x, sigma, mask), sigma), mask)

    def predict(self, x: Tensor, sigma: float, /) -> Prediction:
        """Both predictions; the mask acts on the guided one, the negative one stays as the model gave it."""
        mask = self.mask_at(sigma)
        guided, negative = predict_both(self.denoiser, self._shown(x, sigma, mask), sigma)
        return Prediction(torch.lerp(self.clean, guided, mask), negative)

    def _shown(self, x: Tensor, sigma: float, mask: Tensor) -> Tensor:
        return torch.lerp(self.path.add_noise(self.clean, self.noise, sigma), x, mask)


def composited(clean: Tensor, changed: Tensor, mask: Tensor | None) -> Tensor:
    """``changed`` where ``mask`` (1 or F, 1, h, w) is 1, ``clean`` where it is 0; only ``changed`` without a mask."""
    return changed if mask is None else torch.lerp(clean.to(changed), changed, mask.to(changed))


def snapped(mask: Tensor, tolerance: float = 1e-5) -> Tensor:
    """``mask`` with values within ``tolerance`` of 0 or 1 set to 0 or 1, which undoes the rounding of blurs and
    resizes."""
    ends = mask.round().clamp(0, 1)
    return torch.where((mask - ends).abs() <= tolerance, ends, mask)


class DifferentialMask:
    """A soft mask as a schedule: brighter areas are opened earlier (Levin and Fried 2023, arXiv 2306.00950).

    At ``sigma`` the mask is 1 where ``mask`` >= (T(sigma) - T(end)) / (T(start) - T(end)), else 0. T is the timestep on
    ``path``, start is the first and end the last of the sampled ``sigmas`` (at least the path's smallest). If start and
    end share a timestep, everything with a mask above 0 is open.

    The first threshold is exactly 1: an area that should be open from the start must be exactly 1, not 0.9999999 as
    after a blur or a resize; see :func:`snapped`.
    """

    def __init__(self, mask: Tensor, path: NoisePath, sigmas: Sequence[float]) -> None:
        self.mask, self.path = mask, path
        self.start = path.timestep(sigmas[0])
        self.end = path.timestep(max(path.sigma_min, sigmas[-1]))

    def __call__(self, sigma: float) -> Tensor:
        """The binary mask at ``sigma``, of the soft mask's shape and dtype."""
        return opened(self.mask, self.path.timestep(sigma), self.start, self.end)


def opened(mask: Tensor, timestep: float | Tensor, start: float | Tensor, end: float | Tensor) -> Tensor:
    """1 where a soft ``mask`` is open at ``timestep`` of a run from ``start`` to ``end``, else 0; of its dtype."""
    if start == end:
        return (mask > 0).to(mask.dtype)
    return (mask >= (timestep - end) / (start - end)).to(mask.dtype)
