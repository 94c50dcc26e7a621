"""Pixels to latents and back through a ComfyUI VAE, a few frames at a time.

An image VAE takes frames as a batch: latents (F, C, h, w). A video VAE takes a clip at once, on its own grid of frames,
and has fewer latents than frames: (1, C, T, h, w).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from redetail.engines.base import CropSource, Pixels, Write
from redetail.engines.checks import all_finite
from redetail.errors import ModelError
from redetail.geometry.latent_grid import LatentGrid
from redetail.imaging.resample import crop
from redetail.region import Box, Size

_CALL_VALUES = 2**24
"""Values of the pixels in one call, 64 MiB, at most: the VAE itself batches by what its device has."""
_CALLS = 64
"""Calls that a clip is spread over at least on the CPU, where a batch gains nothing: there what passes through shares
its memory with the clip and has to stay small beside it."""


class ComfyCodec:
    """A VAE of ComfyUI for clips of any length. ``check`` is called between calls and may raise to stop."""

    def __init__(self, vae: Any, check: Callable[[], None] = lambda: None) -> None:
        self._vae, self._check = vae, check
        self.video = getattr(vae, "latent_dim", 2) == 3 and not getattr(vae, "not_video", False)
        self.grid = _grid(vae, self.video)

    def encode(self, crops: CropSource) -> Tensor:
        """The latents of the crops, in the VAE's own units.

        A clip that is off a video VAE's grid is extended by mirroring at its end.
        """
        if self.video:
            pictures, places = crops.all(), self.grid.padded_indices(crops.frames)
            return self._encoded(pictures if len(places) == crops.frames else pictures[places])
        latents: Tensor | None = None
        for start, stop in crops.ranges(self._together(crops)):
            self._check()
            part = self._encoded(crops.read(start, stop))
            if latents is None:
                latents = part.new_empty((crops.frames, *part.shape[1:]))
            latents[start:stop] = part
        assert latents is not None  # a clip has at least one frame
        return latents

    def decode(self, latents: Tensor, crops: CropSource, write: Write) -> None:
        """Hand the pictures of the latents to ``write``, as many and as large as ``crops``, which were encoded."""
        for start, stop in crops.ranges(crops.frames if self.video else self._together(crops)):
            self._check()
            pictures = self._vae.decode(latents if self.video else latents[start:stop])
            pictures = pictures.reshape(-1, *pictures.shape[-3:])[: stop - start, ..., :3]
            if len(pictures) < stop - start:
                raise ModelError(f"The VAE returned {len(pictures)} of {stop - start} frames; use the model's VAE.")
            _check_finite(pictures, "The VAE produced pictures", "start ComfyUI with --fp32-vae or --bf16-vae")
            write(start, _at_size(pictures.float().clamp_(0, 1).cpu().numpy(), crops.size))

    def _together(self, crops: CropSource) -> int:
        """Frames of one call."""
        together = _CALL_VALUES // (3 * crops.size.width * crops.size.height)
        if str(getattr(self._vae, "device", "cpu")) == "cpu":
            together = min(together, crops.frames // _CALLS)
        return max(1, together)

    def _encoded(self, pictures: Pixels) -> Tensor:
        latents = self._vae.encode(torch.from_numpy(np.require(pictures, np.float32, "W")))
        if not isinstance(latents, Tensor):
            raise ModelError(
                f"The VAE returned {type(latents).__name__} instead of latents; use a VAE for images or video."
            )
        _check_finite(latents, "The VAE produced latents", "start ComfyUI with --fp32-vae or --bf16-vae")
        return latents


def check_latents(latents: Tensor) -> None:
    """Raise :class:`~redetail.errors.ModelError` for latents of a model that overflowed."""
    _check_finite(latents, "The model produced latents", "start ComfyUI with --force-fp32, or use another sampler")


def _check_finite(values: Tensor, what: str, remedy: str) -> None:
    if not all_finite(values):
        raise ModelError(f"{what} with values that are not finite numbers; {remedy}.")


def _grid(vae: Any, video: bool) -> LatentGrid:
    """The frames and pixels of a VAE's latents, from what it says of its ratios."""
    down, up = getattr(vae, "downscale_ratio", 8), getattr(vae, "upscale_ratio", 1)
    spatial = int(down[-1] if isinstance(down, tuple | list) else down)
    if not video:
        return LatentGrid(spatial)
    grow = up[0] if isinstance(up, tuple | list) else 1
    first, second = (int(grow(latents) if callable(grow) else grow * latents) for latents in (1, 2))
    return LatentGrid(spatial, second - first, first)


def _at_size(pictures: Pixels, size: Size) -> Pixels:
    """The pictures at ``size``: some VAEs decode to more pixels than they encode."""
    height, width = pictures.shape[1:3]
    if (height, width) == size.shape:
        return pictures
    return np.stack([crop(picture, Box(0, 0, width, height), size) for picture in pictures])
