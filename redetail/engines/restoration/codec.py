"""Converts between pixels and the latents of the restoration network, with pixel-unshuffle instead of a VAE.

The diffused variable is the residual to the crop: latents = unshuffle(target - crop) / residual_std, in [-1, 1] pixel
units. Latents of zero stand for the crop itself, which is returned exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from redetail.engines.base import CropSource, Pixels, Write
from redetail.engines.restoration.config import NetworkConfig
from redetail.errors import RegionError
from redetail.geometry.latent_grid import LatentGrid
from redetail.imaging.align import Motion, aligned_differences, frame_motion
from redetail.region import Size

TOGETHER = 16
"""Number of small crops that are in memory at once, with their neighbours, which take most of the memory."""
_PIXELS_TOGETHER = 4 * 256 * 256


def no_tick() -> None:
    """The tick that reports nothing."""


def together(size: Size) -> int:
    """The number of frames to hold at once for crops of this size: a power of two, up to TOGETHER."""
    fitting = max(1, min(TOGETHER, _PIXELS_TOGETHER // (size.width * size.height)))
    return 1 << (fitting.bit_length() - 1)


class ResidualCodec:
    """A :class:`~redetail.engines.latent.Codec` without a network.

    ``config``: the config of the network whose latents these are; ``device``: where the latents are.
    """

    def __init__(self, config: NetworkConfig, device: torch.device | str = "cpu") -> None:
        self.config, self.device = config, torch.device(device)
        self.grid = LatentGrid(config.unshuffle)

    def calls(self, shape: tuple[int, ...]) -> int:
        """Network calls to encode and decode: none."""
        return 0

    def encode(self, crops: CropSource, tick: Callable[[], None] = no_tick) -> Tensor:
        """The crops' own latents: zeros (F, 48, h/4, w/4) float32, which share one number and must not be written
        to."""
        cells = self.grid.latent_size(crops.size)
        return torch.zeros((), device=self.device).expand(crops.frames, self.config.latent_channels, *cells.shape)

    def pixels(self, crops: Pixels) -> Tensor:
        """(F, h, w, 3) 0..1, on the device."""
        return torch.from_numpy(np.require(crops, np.float32, ["C", "W"])).to(self.device)

    def condition(self, crops: Pixels, neighbours: Iterator[Pixels] | None = None) -> Tensor:
        """(F, h, w, 3) 0..1 -> the condition for each crop and its neighbours, (F, C, h/u, w/u) float32.

        C is the config's ``condition_channels``: the crop in -1..1, then the neighbours' aligned differences, which are
        taken from ``neighbours`` if the crops are part of a clip.
        """
        return self._beside(self._cells(crops) * 2 - 1, neighbours or self.neighbours(CropSource.of(crops)))

    def drafted(self, drafts: Pixels, crops: Pixels, neighbours: Iterator[Pixels]) -> Tensor:
        """The condition for drafts (F, h, w, 3) of the crops: the drafts' residuals, and the differences of their
        ``neighbours``."""
        return self._beside((self._cells(drafts) - self._cells(crops)) * 2, neighbours)

    def motion(self, crops: CropSource) -> Motion:
        """The motion from each crop to the next and the previous one; empty if the network sees no neighbours."""
        if not self.config.reach:
            return Motion([], [])
        return frame_motion(
            crop for start, stop in crops.ranges(together(crops.size)) for crop in crops.read(start, stop)
        )

    def neighbours(self, crops: CropSource, motion: Motion | None = None) -> Iterator[Pixels]:
        """For each crop, how its neighbours differ from it; see :mod:`redetail.imaging.align`.

        Empty if the network sees no neighbours, in which case OpenCV is not needed.
        """
        reach = self.config.reach
        if not reach:
            return
        motion = motion or self.motion(crops)
        for start, stop in crops.ranges(together(crops.size)):
            first, last = max(0, start - reach), min(crops.frames, stop + reach)
            some = range(start - first, stop - first)
            yield from aligned_differences(crops.read(first, last), reach, motion.part(first, last), some)

    def _beside(self, own: Tensor, neighbours: Iterator[Pixels]) -> Tensor:
        """Cells of pictures (F, C, h, w), with those of their neighbours' differences, the next ones of the
        iterator."""
        if not self.config.reach:
            return own
        frames, channels, *size = own.shape
        told = own.new_empty(frames, self.config.condition_channels, *size)
        told[:, :channels] = own
        for row, of_frame in zip(told, islice(neighbours, frames), strict=True):
            cells = self._split(of_frame)
            torch.mul(cells, 2, out=row[channels:].view(cells.shape))
        return told

    def residual(self, crops: Pixels, targets: Pixels) -> Tensor:
        """Latents (F, 48, h/4, w/4) that decode to ``targets``; both are (F, h, w, 3) 0..1."""
        return (self._cells(targets) - self._cells(crops)) * 2 / self.config.residual_std

    def _cells(self, pictures: Pixels) -> Tensor:
        """(N, h, w, 3) -> (N, 3*u*u, h/u, w/u) on the device, in the order of pixel-unshuffle."""
        return self._split(pictures).flatten(1, 3)

    def _split(self, pictures: Pixels) -> Tensor:
        """(N, h, w, 3) -> a view of (N, 3, u, u, h/u, w/u) on the device."""
        frames, height, width = self._checked(pictures)
        cell = self.config.unshuffle
        return (
            self.pixels(pictures).view(frames, height // cell, cell, width // cell, cell, 3).permute(0, 5, 2, 4, 1, 3)
        )

    def decode(self, latents: Tensor, crops: CropSource, write: Write, tick: Callable[[], None] = no_tick) -> None:
        """(F, 48, h/4, w/4) -> the crops plus their residual, float32 0..1."""
        for start, stop in crops.ranges(together(crops.size)):
            write(start, self.restored(latents[start:stop], crops.read(start, stop)))

    def restored(self, latents: Tensor, crops: Pixels) -> Pixels:
        """(F, 48, h/4, w/4) -> the crops (F, h, w, 3) plus their residual, float32 clamped to 0..1."""
        self._checked(crops)
        pixels = functional.pixel_shuffle(latents.float(), self.config.unshuffle).movedim(1, -1).cpu()
        restored: Pixels = torch.mul(pixels, self.config.residual_std / 2, out=torch.empty(pixels.shape)).numpy()
        restored += crops
        return np.clip(restored, 0, 1, out=restored)

    def _checked(self, crops: Pixels) -> tuple[int, int, int]:
        """Frames, height and width."""
        multiple = self.config.size_multiple
        if crops.ndim != 4 or crops.shape[3] != 3 or crops.shape[1] % multiple or crops.shape[2] % multiple:
            raise RegionError(
                f"Crops must have the shape (frames, height, width, 3), with height and width multiples of {multiple}; "
                f"the shape of these is {tuple(crops.shape)}."
            )
        return crops.shape[0], crops.shape[1], crops.shape[2]
