"""Pixels to latents and back with Wan's causal video VAE, one latent at a time."""

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


class WanCodec:
    """A :class:`~redetail.engines.latent.Codec` around an AutoencoderKLWan (Wan Team 2025, arXiv:2503.20314, section
    4.1).

    Latents are in the network's units: (mean of the VAE - ``latents_mean``) / ``latents_std``, per channel. The VAE
    keeps what its causal convolutions need of earlier frames, so the frames of one latent pass through it at a time,
    and a clip in pieces gives the same result as in one piece. A clip that is not 4n + 1 frames long is extended by
    mirroring its end; the extra frames are cut off after decoding.
    """

    def __init__(self, vae: Any, grid: LatentGrid) -> None:
        self._vae, self.grid = vae, grid
        shape = (1, -1, 1, 1, 1)
        self._mean, self._std = (
            torch.tensor(values, dtype=torch.float32, device=vae.device).view(shape)
            for values in (vae.config.latents_mean, vae.config.latents_std)
        )
        causal = type(vae.quant_conv)
        self._memories = {
            half: sum(isinstance(module, causal) for module in getattr(vae, half).modules())
            for half in ("encoder", "decoder")
        }

    def calls(self, shape: tuple[int, ...]) -> int:
        """Calls of the VAE to encode and decode crops of shape (F, h, w, 3): two for each latent."""
        return 2 * self.grid.latents(shape[0])

    def encode(self, crops: CropSource, tick: Callable[[], None]) -> Tensor:
        """Crops 0..1 -> (T, C, h/8, w/8) float32 on the VAE's device."""
        places, memory = self.grid.padded_indices(crops.frames), self._memory("encoder")
        latents = []
        for latent in range(self.grid.latents(crops.frames)):
            pixels = np.concatenate([crops.read(place, place + 1) for place in places[self.grid.frames_of(latent)]])
            latents.append(self._encoded(pixels, memory))
            tick()
        return torch.cat(latents)

    def decode(self, latents: Tensor, crops: CropSource, write: Write, tick: Callable[[], None]) -> None:
        """(T, C, h/8, w/8) -> pixels float32 0..1; of ``crops`` only the number of frames matters."""
        memory = self._memory("decoder")
        for number in range(len(latents)):
            frames = self.grid.frames_of(number)
            pixels = self._decoded(latents[number : number + 1], memory, first=number == 0)
            write(frames.start, pixels[: crops.frames - frames.start])
            tick()

    def _encoded(self, pixels: Pixels, memory: list[Any]) -> Tensor:
        """The frames of one latent (n, h, w, 3) -> (1, C, h', w')."""
        images = torch.from_numpy(np.clip(pixels, 0, 1)).to(self._vae.device, self._vae.dtype).permute(3, 0, 1, 2)
        states = self._vae.encoder(images[None] * 2 - 1, feat_cache=memory, feat_idx=[0])
        mean: Tensor = self._vae.quant_conv(states).chunk(2, 1)[0]
        return _finite((mean.float() - self._mean) / self._std).movedim(2, 1)[0]

    def _decoded(self, latent: Tensor, memory: list[Any], *, first: bool) -> Pixels:
        """(1, C, h', w') -> the frames of this latent (n, h, w, 3)."""
        states = (latent.movedim(0, 1)[None] * self._std + self._mean).to(self._vae.dtype)
        states = self._vae.post_quant_conv(states)
        images = _finite(self._vae.decoder(states, feat_cache=memory, feat_idx=[0], first_chunk=first).float())
        pixels: Pixels = (images[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 3, 0).cpu().numpy()
        return pixels

    def _memory(self, half: str) -> list[Any]:
        """The initial, empty memory of earlier frames for the causal convolutions of one half."""
        return [None] * self._memories[half]


def _finite(values: Tensor) -> Tensor:
    if not all_finite(values):
        raise ModelError("The VAE produced values that are not finite numbers; use vae-dtype float32, or another VAE.")
    return values
