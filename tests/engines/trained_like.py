"""Models that behave like trained ones: a block transform for a VAE, and denoisers that know the clip's statistics."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redetail.engines.base import Capabilities, CropSource, Write
from redetail.engines.device import place
from redetail.engines.latent import DenoiserFor, LatentEngine
from redetail.engines.wan.network import WanModel
from redetail.errors import ModelError
from redetail.geometry.latent_grid import IMAGE, LatentGrid
from redetail.sampling import NoisePath, VarianceExploding, sampler_names, scheduler_names
from redetail.sampling.path import PredictionType
from redetail.settings import Settings

CHANNELS, SIDE = 16, 8
Array = NDArray[np.float32]


def clip(frames: int = 9, side: int = 64) -> Array:
    """Smooth shapes that move: most of their energy lies in low frequencies, as in pictures."""
    y, x = np.mgrid[:side, :side] / side
    made = [
        [0.5 + 0.3 * np.sin(5 * x + 3 * y + 0.1 * f + c) * np.cos(4 * y - 0.05 * f) + 0.1 * np.sin(23 * x + c)
         for c in range(3)]
        for f in range(frames)
    ]  # fmt: skip
    return np.moveaxis(np.array(made, np.float32), 1, -1)


def cosines(count: int = SIDE) -> Tensor:
    """The orthonormal cosine transform."""
    k, n = torch.arange(count)[:, None], torch.arange(count)[None]
    return (
        math.sqrt(2 / count) * torch.cos(math.pi * (2 * n + 1) * k / (2 * count)) * torch.where(k == 0, 0.5**0.5, 1.0)
    )


class BlockCodec:
    """A VAE of 8x8 blocks: some low frequencies of each colour, of deviation about one in all.

    ``mixed``: another VAE, whose channels mean something else; ``scale``: what latents are scaled by, wrongly unless 1;
    ``lost``: decoding has lost its way; ``overflow``: the VAE's values are not finite.
    """

    grid: LatentGrid = IMAGE

    def __init__(self, *, mixed: bool = False, scale: float = 1.0, lost: bool = False, overflow: bool = False) -> None:
        self._scale, self._lost, self._overflow = scale, lost, overflow
        basis, self._basis = cosines(), torch.zeros(CHANNELS, 3, SIDE, SIDE)
        for channel in range(CHANNELS):
            pair = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2)][channel // 3] if channel < 15 else (2, 0)
            self._basis[channel, channel % 3] = basis[pair[0]][:, None] * basis[pair[1]][None]
        turn, _ = torch.linalg.qr(torch.randn(CHANNELS, CHANNELS, generator=torch.Generator().manual_seed(8)))
        self._turn = turn if mixed else torch.eye(CHANNELS)

    def calls(self, shape: tuple[int, ...]) -> int:
        return 2

    def encode(self, crops: CropSource, tick: Callable[[], None]) -> Tensor:
        if self._overflow:
            raise ModelError(
                "The VAE produced values that are not finite numbers; use vae-dtype float32, or another VAE."
            )
        pixels = torch.from_numpy(np.array(crops.all())).permute(0, 3, 1, 2) - 0.5
        latents = torch.nn.functional.conv2d(pixels, self._basis, stride=SIDE)
        return torch.einsum("oc,fchw->fohw", self._turn, latents) * self._scale * 2

    def decode(self, latents: Tensor, crops: CropSource, write: Write, tick: Callable[[], None]) -> None:
        states = torch.einsum("oc,fohw->fchw", self._turn, latents) / self._scale / 2
        states = states.flip(1) if self._lost else states
        pixels = torch.nn.functional.conv_transpose2d(states, self._basis, stride=SIDE) + 0.5
        write(0, pixels.clamp(0, 1).permute(0, 2, 3, 1).numpy())


@dataclass
class WienerModel:
    """Of each channel it knows mean and variance, and says what is most likely clean (Wiener).

    ``prediction``: what its network gives; ``assumed``: what it is taken for. The faults: see :func:`engine`.
    """

    mean: Tensor
    variance: Tensor
    prediction: PredictionType = "eps"
    assumed: PredictionType = "eps"
    foreign_motion: bool = False
    mixed_up: bool = False
    overflow: bool = False
    deaf: bool = False
    layers: dict[str, torch.nn.Module] = field(default_factory=lambda: {"UNet": torch.nn.Linear(4, 4)})
    _still: bool = False

    def noise_path(self, settings: Settings) -> NoisePath:
        return VarianceExploding.stable_diffusion(self.assumed)

    def calls(self, frames: int, settings: Settings) -> int:
        return 0

    def networks(self) -> dict[str, torch.nn.Module]:
        return self.layers

    def text_states(self, prompt: str) -> Tensor:
        """A running sum of letters: the end depends on all before it, unless the encoder is deaf to it."""
        codes = torch.tensor([[float(ord(letter)), 1.0, ord(letter) % 7] for letter in prompt])
        return codes if self.deaf else codes.cumsum(0)

    @contextmanager
    def still(self) -> Iterator[None]:
        self._still = True
        yield
        self._still = False

    def condition(self, crops: CropSource, settings: Settings, tick: Callable[[], None]) -> DenoiserFor:
        return lambda frames: self._denoise

    def _denoise(self, x: Tensor, sigma: float, /) -> Tensor:
        clean = self.mean + self.variance / (self.variance + sigma**2) * (x - self.mean)
        if self.foreign_motion and not self._still:
            clean = clean + 0.8 * (x.roll(1, 0) - x)
        if self.mixed_up:
            clean = x - 1.5 * sigma * x.flip(1).roll(3, 1)
        if self.overflow:
            clean = (clean.half() * 60000).float()
        # What the network gave, and what is made of it by those who take it for something else.
        variance = sigma**2 + 1
        output = {"eps": (x - clean) / sigma, "v": (x / variance - clean) * math.sqrt(variance) / sigma, "x0": clean}
        return self.noise_path(Settings()).denoised(output[self.prediction], x, sigma)


def engine(codec: BlockCodec | None = None, **faults: Any) -> LatentEngine:
    """A model that fits the plain codec, with the faults that are named."""
    latents = BlockCodec().encode(CropSource.of(clip()), lambda: None)
    variance, mean = torch.var_mean(latents, (0, 2, 3), keepdim=True)
    return around(codec or BlockCodec(), WienerModel(mean, variance, **faults))


def around(codec: BlockCodec, model: WienerModel | WanModel) -> LatentEngine:
    capabilities = Capabilities(
        name="trained", size_multiple=8, context_length=16, samplers=sampler_names(), schedulers=scheduler_names(),
        has_vae=True,
    )  # fmt: skip
    return LatentEngine(codec, model, capabilities, place("cpu", "float32"))
