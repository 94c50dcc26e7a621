"""The noise mask of a request, at the size of its latents."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from redetail.engines.base import Request
from redetail.geometry.latent_grid import LatentGrid, unite
from redetail.imaging.masks import resize_mask
from redetail.sampling.mask import snapped

_TOGETHER = 16  # masks in memory at the size of the crops


class LatentMask(NamedTuple):
    """``values`` (1 or T, h, w) float32 0..1 on the CPU; ``opened``: whether any pixel of any mask is above zero."""

    values: Tensor
    opened: bool


def latent_mask(request: Request, grid: LatentGrid) -> LatentMask:
    """The masks of a request scaled (bilinear) to its latents; one that all frames share stays a single one.

    A latent of several frames is open wherever one of them is. Values that should be 1 are exactly 1, even after
    rounding in a blur, because differential diffusion compares with 1.
    """
    crops = request.crops
    size, latents = grid.latent_size(crops.size), grid.latents(crops.frames)
    values = np.zeros((1 if request.shared_mask else latents, *size.shape), np.float32)
    opened = False
    for start, stop in [(0, 1)] if request.shared_mask else crops.ranges(_TOGETHER):
        masks = request.masks(start, stop)
        opened = opened or bool(masks.any())
        for frame, mask in enumerate(resize_mask(masks, size), start):
            unite(values, frame, mask, grid)
    return LatentMask(snapped(torch.from_numpy(values)), opened)
