"""Networks that are on the device only while they work, on the CPU otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from redetail.engines.base import CropSource, Write
from redetail.engines.latent import Codec
from redetail.geometry.latent_grid import LatentGrid

_CPU = torch.device("cpu")


@contextmanager
def on_device(network: Any, device: torch.device) -> Iterator[None]:
    """The network on ``device`` while the context lasts, on the CPU afterwards."""
    network.to(device)
    try:
        yield
    finally:
        network.to(_CPU)


class OffloadedCodec:
    """A codec whose network is on ``device`` only while it works."""

    def __init__(self, codec: Codec, vae: Any, device: torch.device) -> None:
        self._codec, self._vae, self._device = codec, vae, device

    @property
    def grid(self) -> LatentGrid:
        """Which pixels a latent holds."""
        return self._codec.grid

    def calls(self, shape: tuple[int, ...]) -> int:
        """Network calls to encode and to decode."""
        return self._codec.calls(shape)

    def encode(self, crops: CropSource, tick: Callable[[], None]) -> Tensor:
        """Crops 0..1 -> (F, C, h', w')."""
        with on_device(self._vae, self._device):
            return self._codec.encode(crops, tick)

    def decode(self, latents: Tensor, crops: CropSource, write: Write, tick: Callable[[], None]) -> None:
        """(F, C, h', w') -> pixels 0..1."""
        with on_device(self._vae, self._device):
            self._codec.decode(latents, crops, write, tick)


class OffloadedNetwork:
    """A network that is on ``device`` only while it is called."""

    def __init__(self, network: Any, device: torch.device) -> None:
        self._network, self._device = network.to(_CPU), device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of its weights."""
        dtype: torch.dtype = self._network.dtype
        return dtype

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """What the network gives."""
        with on_device(self._network, self._device):
            return self._network(*arguments, **options)
