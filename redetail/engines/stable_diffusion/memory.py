"""Sets up how the networks use the machine: attention, memory format, compilation, tiles and offloading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from redetail.engines.device import Placement
from redetail.engines.memory import Modes
from redetail.engines.offload import on_device
from redetail.engines.stable_diffusion.components import Components
from redetail.optional import require

_CPU = torch.device("cpu")
# Number of heads, over all frames and rows, that sliced attention computes at once.
_SLICE = 8


def apply_modes(components: Components, placement: Placement) -> None:
    """Set up the loaded networks as ``placement`` says; results only differ by rounding from those of the plain
    networks."""
    modes = placement.modes
    if placement.vae_dtype is not None:
        components.vae.to(placement.vae_dtype)
    if placement.text_dtype is not None:
        for text in components.texts:
            text.encoder.to(placement.text_dtype)
    set_up(components.unet, modes)
    if modes.channels_last:
        components.vae.to(memory_format=torch.channels_last)
    if modes.vae_tile:
        components.vae.enable_tiling()
        components.vae.tile_sample_min_size = modes.vae_tile
        components.vae.tile_latent_min_size = modes.vae_tile // 8
    if modes.offload:
        for network in (components.vae, *(text.encoder for text in components.texts)):
            network.to(_CPU)


def set_up(network: Any, modes: Modes) -> None:
    """Set up what a UNet and its ControlNets have in common: attention, memory format and compilation."""
    if modes.attention == "sliced":
        # A few heads at a time: memory no longer grows with frames and rows, but this is slower.
        network.set_attn_processor(require("diffusers").models.attention_processor.SlicedAttnProcessor(_SLICE))
    if modes.channels_last:
        network.to(memory_format=torch.channels_last)
    if modes.compile:
        network.compile()


class OffloadedPromptEncoder:
    """A text conditioner whose encoder is on ``device`` only while it works."""

    def __init__(self, text: Any, encoder: Any, device: torch.device) -> None:
        self._text, self._encoder, self._device = text, encoder, device

    def check(self, prompt: str, **options: Any) -> None:
        """Check a prompt, which needs no encoder."""
        self._text.check(prompt, **options)

    def __call__(self, prompt: str, frames: Sequence[int] = (0,), **options: Any) -> Tensor:
        """States of a prompt."""
        with on_device(self._encoder, self._device):
            states: Tensor = self._text(prompt, frames, **options)
            return states

    def pooled(self, prompt: str, frames: Sequence[int] = (0,)) -> Tensor:
        """The pooled text of a prompt."""
        with on_device(self._encoder, self._device):
            whole: Tensor = self._text.pooled(prompt, frames)
            return whole

    def pair(self, positive: str, negative: str, frames: Sequence[int] = (0,), **options: Any) -> tuple[Tensor, Tensor]:
        """States of two prompts, of the same number of tokens."""
        with on_device(self._encoder, self._device):
            pair: tuple[Tensor, Tensor] = self._text.pair(positive, negative, frames, **options)
            return pair
