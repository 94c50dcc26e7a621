"""Converts pixels to latents and back with a variational autoencoder, a few frames at a time."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from redetail.engines.base import CropSource, Write
from redetail.engines.checks import all_finite
from redetail.errors import ModelError
from redetail.geometry.latent_grid import LatentGrid

_LOG = logging.getLogger(__name__)

# Activations of the full-resolution layers of Stable Diffusion's VAE take about 2 kB per pixel in float32.
PIXELS_PER_BATCH = {"cuda": 8 * 512 * 512, "mps": 512 * 512, "cpu": 512 * 512}


class VaeCodec:
    """A :class:`~redetail.engines.latent.Codec` around an AutoencoderKL or AutoencoderTiny.

    Latents are in the network's units: the VAE's mean times ``scaling_factor`` (Rombach et al., arXiv:2112.10752).
    ``pixels_per_batch`` limits the memory: at most this many pixels of crops go through the VAE at once, but at least
    one frame; ``frames_per_batch``, if given, sets the number of frames instead.
    """

    def __init__(self, vae: Any, pixels_per_batch: int | None = None, frames_per_batch: int | None = None) -> None:
        self._vae, self._frames = vae, frames_per_batch
        self._pixels = pixels_per_batch or PIXELS_PER_BATCH[vae.device.type]
        self._scale = float(vae.config.scaling_factor)
        self._shift = float(getattr(vae.config, "shift_factor", None) or 0.0)
        self._tiny = type(vae).__name__ == "AutoencoderTiny"
        self._noted = False
        self.grid = LatentGrid(2 ** (len(_widths(vae)) - 1))

    def calls(self, shape: tuple[int, ...]) -> int:
        """Calls of the VAE to encode and decode crops of shape (F, h, w, 3)."""
        return 2 * math.ceil(shape[0] / self._batch(shape))

    def encode(self, crops: CropSource, tick: Callable[[], None]) -> Tensor:
        """Crops 0..1 -> (F, C, h/8, w/8) float32 on the VAE's device."""
        latents = []
        for start, stop in crops.ranges(self._batch(crops.shape)):
            batch = torch.from_numpy(np.clip(crops.read(start, stop), 0, 1))
            latents.append(self._finite(self._encoded, batch))
            tick()
        return torch.cat(latents)

    def decode(self, latents: Tensor, crops: CropSource, write: Write, tick: Callable[[], None]) -> None:
        """(F, C, h/8, w/8) -> pixels float32 0..1; of ``crops`` only the shape matters."""
        for start, stop in crops.ranges(self._batch(crops.shape)):
            images = self._finite(self._decoded, latents[start:stop])
            write(start, (images / 2 + 0.5).clamp(0, 1).movedim(1, -1).cpu().numpy())
            tick()

    def _encoded(self, pixels: Tensor) -> Tensor:
        images = pixels.to(self._vae.device, self._vae.dtype).movedim(-1, 1) * 2 - 1
        encoded = self._vae.encode(images.contiguous())
        mean: Tensor = encoded.latents if self._tiny else encoded.latent_dist.mode()
        return (mean.float() - self._shift) * self._scale

    def _decoded(self, latents: Tensor) -> Tensor:
        batch = latents / self._scale + self._shift
        images: Tensor = self._vae.decode(batch.to(self._vae.dtype)).sample.float()
        return images

    def _finite(self, compute: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
        """The VAE's result for a batch, computed in float32 if half precision overflows.

        The weights are restored afterwards, so that the result does not depend on earlier batches. Raises
        :class:`~redetail.errors.ModelError` if float32 overflows, too.
        """
        result, dtype = compute(batch), self._vae.dtype
        if all_finite(result):
            return result
        if dtype != torch.float32:
            with _in_float32(self._vae):
                result = compute(batch)
            self._note(dtype)
        if not all_finite(result):
            raise ModelError("The VAE produced values that are not finite numbers, even in float32; use another VAE.")
        return result

    def _note(self, dtype: torch.dtype) -> None:
        if not self._noted:
            self._noted = True
            _LOG.warning(
                "The VAE overflowed in %s and was run again in float32; set vae-dtype to float32 to run it only once.",
                str(dtype).removeprefix("torch."),
            )

    def _batch(self, shape: tuple[int, ...]) -> int:
        return self._frames or max(1, self._pixels // (shape[1] * shape[2]))


@contextmanager
def _in_float32(vae: Any) -> Iterator[None]:
    """The VAE's weights in float32 while the context lasts; converting them back to half precision is exact."""
    dtype = vae.dtype
    with torch.inference_mode(False), torch.no_grad():
        vae.to(torch.float32)
    try:
        yield
    finally:
        with torch.inference_mode(False), torch.no_grad():
            vae.to(dtype)


def _widths(vae: Any) -> Any:
    config = vae.config
    return config.block_out_channels if hasattr(config, "block_out_channels") else config.encoder_block_out_channels
