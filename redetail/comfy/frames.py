"""ComfyUI's frames as a source of the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redetail.comfy.convert import frame_size, image_frames
from redetail.errors import InputError
from redetail.imaging import resample
from redetail.imaging.resample import from_float
from redetail.region import Box, Size
from redetail.video.base import Frame, VideoInfo
from redetail.video.glimpse import Glimpse
from redetail.video.timing import even_index

Pixels = NDArray[np.float32]
Overlay = Callable[[int], Pixels]
"""Index of a frame -> the picture (h, w, 3) that takes the place of a part of it."""

_RATE = Fraction(24)  # an IMAGE has no rate; nothing that is computed depends on it


class ImageSource:
    """The frames (F, H, W, C) of an IMAGE with 16 bits a value; satisfies ``FrameSource``.

    They are converted one by one, so that no second clip is ever in memory. ``overlay`` gives pictures that replace
    what the frames show under ``box``, which lies on whole pixels.
    """

    def __init__(self, frames: Pixels, name: str, overlay: Overlay | None = None, box: Box | None = None) -> None:
        self._frames, self._name, self._overlay, self._box = frames, name, overlay, box
        size = Size(frames.shape[2], frames.shape[1])
        self._info = VideoInfo(size=size, rate=_RATE, time_base=1 / _RATE, frames=len(frames), bit_depth=16)

    @property
    def info(self) -> VideoInfo:
        """What is known of the frames."""
        return self._info

    @property
    def faults(self) -> tuple[str, ...]:
        """Nothing: frames in memory are complete."""
        return ()

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Frames ``start`` to ``stop`` (excluded)."""
        for index in self.indices(start, stop):
            pixels = _to_16_bits(self._frames[index, ..., :3], index, self._name)
            if self._overlay is not None and self._box is not None:
                x1, y1, x2, y2 = (int(side) for side in self._box.as_tuple())
                pixels[y1:y2, x1:x2] = _to_16_bits(self._overlay(index), index, "segs")
            yield Frame(index, index, pixels, 1)

    def glimpses(self, start: int = 0, stop: int | None = None) -> Iterator[Glimpse]:
        """The same frames, with thumbnails."""
        return map(Glimpse.of, self.frames(start, stop))

    def indices(self, start: int = 0, stop: int | None = None) -> Iterator[int]:
        """Their indices."""
        yield from range(*slice(start, stop).indices(len(self._frames)))

    def index_at(self, seconds: Fraction) -> int:
        """The first frame at ``seconds`` or later; how many there are if none is."""
        return even_index(seconds, self.info.rate, self.info.frames)


def float_frames(value: object, name: str) -> Tensor:
    """An IMAGE as float32 (F, H, W, C) on the CPU; see :func:`~redetail.comfy.convert.image_frames`."""
    return image_frames(value, name).float()


def enlarged_frames(frames: Tensor, size: Size) -> Tensor:
    """An IMAGE at another size, with the library's filter, in separate memory: (F, h, w, C) float32, limited to 0..1.

    Frames that have this size already are copied as they are.
    """
    if frame_size(frames) == size:
        return frames.to(torch.float32, copy=True)
    pixels = frames.numpy()
    out = np.empty((len(pixels), *size.shape, pixels.shape[-1]), np.float32)
    whole = Box(0, 0, pixels.shape[2], pixels.shape[1])
    for index, frame in enumerate(pixels):
        resample.crop(frame, whole, size, out[index])
    return torch.from_numpy(out)


def _to_16_bits(picture: Pixels, index: int, name: str) -> NDArray[np.uint16]:
    """Values below 0 and above 1 are cut: no screen shows them."""
    if not np.isfinite(picture).all():
        raise InputError(
            f"Frame {index} of {name} has values that are not finite numbers; check the node that makes {name}."
        )
    return from_float(picture, np.uint16)
