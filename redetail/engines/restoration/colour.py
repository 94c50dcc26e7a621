"""Holds the colours of the crop: restoration adds fine detail and keeps the mean of each neighbourhood."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from redetail.engines.restoration.config import NetworkConfig

HELD = 0.5 / 127.5
"""How far the local mean of a channel may move, in -1..1 units: half an 8-bit level."""
REACH = 16
"""Standard deviation in pixels of the Gaussian that weights the mean."""
_COARSE = 8  # pixels to which the picture is averaged first


def held(latents: Tensor, config: NetworkConfig) -> Tensor:
    """Clean residual latents (F, 3*u*u, h/u, w/u), minus whatever moves a local mean by more than `HELD`."""
    cell = config.unshuffle
    planes = latents.reshape(len(latents), 3, cell * cell, *latents.shape[2:])
    limit = HELD / config.residual_std
    coarse = functional.avg_pool2d(planes.mean(dim=2), max(1, _COARSE // cell), ceil_mode=True)
    means = smoothed(coarse, REACH / _COARSE)
    excess = means - means.clamp(-limit, limit)
    excess = functional.interpolate(excess, size=latents.shape[2:], mode="bilinear")
    return (planes - excess[:, :, None]).reshape(latents.shape)


def smoothed(means: Tensor, std: float = 1.0) -> Tensor:
    """(F, C, h, w) filtered by a Gaussian with this standard deviation; the border is repeated."""
    offsets = torch.arange(-round(3 * std), round(3 * std) + 1, device=means.device)
    kernel = torch.exp(-0.5 * (offsets / std) ** 2)
    kernel /= kernel.sum()
    frames, side = means.flatten(0, 1)[:, None], len(offsets) // 2
    frames = functional.pad(frames, (side, side, side, side), mode="replicate")
    rows = functional.conv2d(frames, kernel.view(1, 1, -1, 1))
    return functional.conv2d(rows, kernel.view(1, 1, 1, -1)).reshape(means.shape)
