"""Pixels to latents and back through a ComfyUI VAE, a few frames at a time.

An image VAE takes frames as a batch: latents (F, C, h, w). A video VAE takes a clip at once, wants frame counts of its
own grid (4n + 1, 8n + 1 ...) and has fewer latents than frames: (1, C, T, h, w).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redetail.errors import ModelError
from redetail.imaging.resample import crop
from redetail.region import Box, Size

Pixels = NDArray[np.float32]
Read = Callable[[int, int], Pixels]
"""(first frame, frame after the last) -> (n, h, w, 3) float32 0..1."""
Write = Callable[[int, Pixels], None]
"""(first frame, pictures (n, h, w, 3) float32 0..1)."""

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

    @property
    def size_multiple(self) -> int:
        """Pixels of a side per cell of the latents."""
        ratio = getattr(self._vae, "downscale_ratio", 8)
        return int(ratio[-1] if isinstance(ratio, tuple | list) else ratio)

    def latent_frames(self, frames: int) -> int:
        """How many latents a clip of ``frames`` frames has."""
        if not self.video:
            return frames
        return next(count for count in range(1, frames + 1) if self._frames_in(count) >= frames)

    def encode(self, read: Read, frames: int, size: Size) -> Tensor:
        """The latents of ``frames`` pictures of ``size``, in the VAE's own units.

        A clip that is off a video VAE's grid goes on mirrored at its end.
        """
        if self.video:
            return self._encoded(_mirrored(read, frames, self._frames_in(self.latent_frames(frames))))
        latents: Tensor | None = None
        for start, stop in self._calls(frames, size):
            self._check()
            part = self._encoded(read(start, stop))
            if latents is None:
                latents = part.new_empty((frames, *part.shape[1:]))
            latents[start:stop] = part
        assert latents is not None  # a clip has at least one frame
        return latents

    def decode(self, latents: Tensor, frames: int, size: Size, write: Write) -> None:
        """Hand the first ``frames`` pictures of the latents to ``write``; ``size`` is what was encoded."""
        for start, stop in [(0, frames)] if self.video else self._calls(frames, size):
            self._check()
            pictures = self._vae.decode(latents if self.video else latents[start:stop])
            pictures = pictures.reshape(-1, *pictures.shape[-3:])[: stop - start, ..., :3]
            if len(pictures) < stop - start:
                raise ModelError(
                    f"The VAE gave back {len(pictures)} of {stop - start} frames; use the VAE of the model."
                )
            write(start, _at_size(pictures.float().clamp_(0, 1).cpu().numpy(), size))

    def _calls(self, frames: int, size: Size) -> list[tuple[int, int]]:
        """The frames of each call."""
        step = _CALL_VALUES // (3 * size.width * size.height)
        if str(getattr(self._vae, "device", "cpu")) == "cpu":
            step = min(step, frames // _CALLS)
        step = max(1, step)
        return [(start, min(frames, start + step)) for start in range(0, frames, step)]

    def _encoded(self, pictures: Pixels) -> Tensor:
        latents = self._vae.encode(torch.from_numpy(pictures))
        if not isinstance(latents, Tensor):
            raise ModelError(
                f"The VAE gave {type(latents).__name__} instead of latents; use a VAE for images or video."
            )
        return latents

    def _frames_in(self, latents: int) -> int:
        """Frames that so many latents of a video VAE hold."""
        ratio = getattr(self._vae, "upscale_ratio", 1)
        grow = ratio[0] if isinstance(ratio, tuple | list) else 1
        return int(grow(latents) if callable(grow) else grow * latents)


def _at_size(pictures: Pixels, size: Size) -> Pixels:
    """The pictures at ``size``: some VAEs decode to more pixels than they encode."""
    height, width = pictures.shape[1:3]
    if (height, width) == size.shape:
        return pictures
    return np.stack([crop(picture, Box(0, 0, width, height), size) for picture in pictures])


def _mirrored(read: Read, frames: int, wanted: int) -> Pixels:
    """``wanted`` pictures: all of them, then back from the last but one."""
    pictures = read(0, frames)
    if wanted == frames:
        return pictures
    return np.pad(pictures, [(0, wanted - frames), (0, 0), (0, 0), (0, 0)], mode="reflect" if frames > 1 else "edge")
