"""The grid of an image or video VAE: which frames and pixels a latent holds.

A causal video VAE gives the first frame a separate latent and then puts a fixed number of frames into each: a clip of
4n + 1 frames has n + 1 latents. An image VAE has one frame per latent. The end of a clip that does not fit the grid is
extended by mirroring, since the VAEs themselves silently drop surplus frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redetail.region import Size


@dataclass(frozen=True, slots=True)
class LatentGrid:
    """``spatial``: pixels of a side per cell of a latent; ``temporal``: frames in every latent but the first;
    ``first``: frames in the first latent. All are at least 1."""

    spatial: int
    temporal: int = 1
    first: int = 1

    def __post_init__(self) -> None:
        if min(self.spatial, self.temporal, self.first) < 1:
            raise ValueError(f"A latent must hold at least one pixel and one frame, not {self}.")

    def frames(self, latents: int) -> int:
        """Frames that ``latents`` >= 1 latents decode to."""
        return self.first + self.temporal * (latents - 1)

    def latents(self, frames: int) -> int:
        """The smallest number of latents that hold ``frames`` >= 1 frames."""
        return 1 + -(-max(0, frames - self.first) // self.temporal)

    def complete_latents(self, frames: int) -> int:
        """The number of latents to which a VAE encodes ``frames`` frames; it drops the frames of an incomplete latent.

        A clip shorter than the first latent counts as one latent.
        """
        return 1 + max(0, frames - self.first) // self.temporal

    def padded_frames(self, frames: int) -> int:
        """The smallest number of frames on the grid that is at least ``frames``."""
        return self.frames(self.latents(frames))

    def latent_of(self, frame: int) -> int:
        """Index of the latent that holds a frame."""
        return 0 if frame < self.first else 1 + (frame - self.first) // self.temporal

    def frames_of(self, latent: int) -> range:
        """The frames that a latent holds."""
        start = self.frames(latent) if latent else 0
        return range(start, self.frames(latent + 1))

    def latent_size(self, size: Size) -> Size:
        """The size in latent cells of pictures of ``size``, whose sides are multiples of ``spatial``."""
        return Size(size.width // self.spatial, size.height // self.spatial)

    def padded_indices(self, frames: int) -> NDArray[np.intp]:
        """The frame at each position of the padded clip: all in order, then backwards from the last but one.

        A single frame is repeated. ``[:frames]`` removes the padding.
        """
        places = np.arange(self.padded_frames(frames), dtype=np.intp)
        period = max(1, 2 * (frames - 1))
        return np.minimum(places % period, -places % period) if frames > 1 else np.zeros_like(places)


def open_latents(masks: NDArray[np.float32], grid: LatentGrid) -> NDArray[np.float32]:
    """Masks (F, ...) of frames as masks (T, ...) of latents: a latent is open wherever any of its frames is."""
    out = np.zeros((grid.latents(len(masks)), *masks.shape[1:]), np.float32)
    for frame, mask in enumerate(masks):
        unite(out, frame, mask, grid)
    return out


def unite(latent_masks: NDArray[np.float32], frame: int, mask: NDArray[np.float32], grid: LatentGrid) -> None:
    """Open the latent of ``frame`` in ``latent_masks`` (T, ...), in place, where ``mask`` is open."""
    under = latent_masks[grid.latent_of(frame)]
    np.maximum(under, mask, out=under)


IMAGE = LatentGrid(spatial=8)
"""Stable Diffusion 1.x, 2.x and XL: every frame is a picture."""
WAN = LatentGrid(spatial=8, temporal=4)
"""Wan 2.1, and Wan 2.2 with 14B parameters: 4n + 1 frames."""
WAN_5B = LatentGrid(spatial=16, temporal=4)
"""Wan 2.2 with 5B parameters: 4n + 1 frames."""
LTX = LatentGrid(spatial=32, temporal=8)
"""LTX-Video: 8n + 1 frames."""
