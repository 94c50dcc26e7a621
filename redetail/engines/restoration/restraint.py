"""Leaves sharp areas unchanged: a correction counts as far as it exceeds the fine detail that is already there.

In a crop that lost its detail, corrections are several times as large as the detail that is left. In a crop that lost
nothing, corrections are the network's own errors, a fraction of the detail around them. So the ratio of the two around
each place shows whether anything is wrong there. Noise and codec artefacts also have fine structure but are not detail;
their amount is measured as the fine part of what denoising and deblocking take away.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from redetail.engines.restoration.colour import smoothed
from redetail.engines.restoration.config import NetworkConfig
from redetail.imaging.sharpness import LUMA

CELL = 8
"""Side in pixels of the cells over which energies are averaged; a Gaussian of the same width follows."""
SHARPENING = "sharpen"
"""The task that adds detail; what the others change is damage."""
_UNSEEN = 1.0
"""Energy of detail, in levels squared, that every crop is assumed to have: corrections of a fraction of a level would
only disturb the rounding of a smooth picture."""
_FOUND, _DAMAGE = 0.19, 85.0
"""Damage, in levels squared, that is also found in sharp crops, and the fine energy that each unit beyond it
explains."""


def fine_energy(pictures: Tensor) -> Tensor:
    """The energy (F, 1, h/CELL, w/CELL), in levels squared, of the fine luma detail in crops (F, h, w, 3) 0..1."""
    return _fine((pictures @ (pictures.new_tensor(LUMA) * 255))[:, None])


def sums(tasks: tuple[str, ...]) -> Tensor:
    """(2, T): the weights of the tasks in the whole correction, and in the part that removes damage."""
    return torch.tensor([[1.0] * max(1, len(tasks)), [float(task != SHARPENING) for task in tasks] or [0.0]])


def restrained(latents: Tensor, luma: Tensor, fine: Tensor, config: NetworkConfig) -> Tensor:
    """Clean residual latents (F, 3*u*u, h/u, w/u), reduced where the crop is already sharp.

    ``luma``: (F, 2, h, w), the luma of the residuals weighted by `sums`; ``fine``: `fine_energy` of the crops. The
    share that remains does not depend on the requested weights of the tasks.
    """
    whole, damage = (luma * (config.residual_std * 127.5)).chunk(2, dim=1)
    change = _averaged(whole.square()).square()
    detail = (fine - _DAMAGE * (_fine(damage) - _FOUND).clamp_min(0)).clamp_min(0)
    share = change / (change + (config.restraint**2 * (detail + _UNSEEN)).square())
    return latents * functional.interpolate(share, size=latents.shape[2:], mode="bilinear")


def _fine(luma: Tensor) -> Tensor:
    """(F, 1, h, w): the averaged energy of what a 5x5 binomial filter removes."""
    padded = functional.pad(luma, (2, 2, 2, 2), mode="replicate")
    return _averaged((luma - _binomial(_binomial(padded, 2), 3)).square())


def _binomial(luma: Tensor, dim: int) -> Tensor:
    """Filter with 1, 4, 6, 4, 1 along an axis, which gets shorter by four. Sums of slices are used because convolutions
    of one channel take three times as long."""
    length = luma.shape[dim] - 4
    far, near, middle, after, last = (luma.narrow(dim, start, length) for start in range(5))
    return (near + after).mul_(4).add_(middle, alpha=6).add_(far).add_(last).mul_(1 / 16)


def _averaged(energy: Tensor) -> Tensor:
    """(F, 1, h, w) averaged over cells of CELL pixels and their surroundings."""
    return smoothed(functional.avg_pool2d(energy, CELL, ceil_mode=True))
