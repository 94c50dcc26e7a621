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


def offload_blocks(network: Any, blocks: Any, device: torch.device) -> None:
    """Put a network on ``device``, except for its ``blocks``, a list of modules: each is there only while it computes.

    The blocks' weights stay in main memory and are copied when they are needed, so nothing has to be copied back.
    """
    resting = {id(weight) for block in blocks for weight in block.parameters()}
    for weight in network.parameters():
        if id(weight) not in resting:
            weight.data = weight.data.to(device)
    for block in blocks:
        _offload(block, device)


def _offload(block: Any, device: torch.device) -> None:
    kept: list[Tensor] = []

    def bring(module: Any, given: Any) -> None:
        kept[:] = [weight.data for weight in module.parameters()]
        for weight in module.parameters():
            weight.data = weight.data.to(device, non_blocking=True)

    def leave(module: Any, given: Any, made: Any) -> None:
        for weight, original in zip(module.parameters(), kept, strict=True):
            weight.data = original
        kept.clear()

    block.register_forward_pre_hook(bring)
    block.register_forward_hook(leave, always_call=True)


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
