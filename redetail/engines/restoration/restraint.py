"""Leaves alone what is sharp: a correction counts as far as it stands out from the fine detail that is there already.

Of a crop that lost its detail, a network corrects several times as much as is left of it. Of one that lost nothing, its
corrections are its own errors, a fraction of the detail around. So the ratio of the two, around each place, says
whether anything is wrong there. Noise and the artefacts of a codec are fine as well, but not detail: how much of them
there is, the network says itself, in the fine part of what denoising and deblocking take away.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from redetail.engines.restoration.colour import smoothed
from redetail.engines.restoration.config import NetworkConfig
from redetail.imaging.sharpness import LUMA

CELL = 8
"""Pixels over which energies are averaged, before a Gaussian of as many."""
SHARPENING = "sharpen"
"""The task that adds detail; what the others change is damage."""
_UNSEEN = 1.0
"""Energy of detail, in levels squared, that every crop has: corrections of a fraction of a level only disturb how a
smooth picture was rounded."""
_FOUND, _DAMAGE = 0.19, 85.0
"""Damage, in levels squared, that is found in sharp crops too; how much fine energy each unit beyond it explains."""


def fine_energy(pictures: Tensor) -> Tensor:
    """Of crops (F, h, w, 3) 0..1 the energy of their luma's fine detail, in levels squared, (F, 1, h/CELL, w/CELL)."""
    return _fine((pictures @ (pictures.new_tensor(LUMA) * 255))[:, None])


def sums(tasks: tuple[str, ...]) -> Tensor:
    """(2, T): the weights of the tasks in all that would be corrected, and in what is damage."""
    return torch.tensor([[1.0] * max(1, len(tasks)), [float(task != SHARPENING) for task in tasks] or [0.0]])


def restrained(latents: Tensor, luma: Tensor, fine: Tensor, config: NetworkConfig) -> Tensor:
    """Clean residual latents (F, 3*u*u, h/u, w/u), less where the crop is sharp already.

    ``luma``: (F, 2, h, w), that of the residuals of `sums`; ``fine``: `fine_energy` of the crops. The share that is
    left does not depend on how much of the tasks was asked for.
    """
    whole, damage = (luma * (config.residual_std * 127.5)).chunk(2, dim=1)
    change = _averaged(whole.square()).square()
    detail = (fine - _DAMAGE * (_fine(damage) - _FOUND).clamp_min(0)).clamp_min(0)
    share = change / (change + (config.restraint**2 * (detail + _UNSEEN)).square())
    return latents * functional.interpolate(share, size=latents.shape[2:], mode="bilinear")


def _fine(luma: Tensor) -> Tensor:
    """(F, 1, h, w): the energy of what a binomial 5x5 takes away, averaged."""
    padded = functional.pad(luma, (2, 2, 2, 2), mode="replicate")
    return _averaged((luma - _binomial(_binomial(padded, 2), 3)).square())


def _binomial(luma: Tensor, dim: int) -> Tensor:
    """Through 1, 4, 6, 4, 1 along an axis, which gets shorter by four. Sums of slices: convolutions of one channel take
    three times as long."""
    length = luma.shape[dim] - 4
    far, near, middle, after, last = (luma.narrow(dim, start, length) for start in range(5))
    return (near + after).mul_(4).add_(middle, alpha=6).add_(far).add_(last).mul_(1 / 16)


def _averaged(energy: Tensor) -> Tensor:
    """(F, 1, h, w) over cells of CELL pixels and the ones around."""
    return smoothed(functional.avg_pool2d(energy, CELL, ceil_mode=True))
