"""The picture that a sampler's preview shows of a crop, in its place in the frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from redetail.geometry.crop import Padding
from redetail.imaging.resample import crop, from_float
from redetail.region import Box, Size

if TYPE_CHECKING:
    from PIL.Image import Image

VIEW = 2.0
"""Side of what is shown, in sides of the crop's window."""
SIDE = 512
"""Longest side of the picture, in pixels: what ComfyUI's previews have."""


@dataclass(frozen=True, eq=False)
class Place:
    """Where a crop lies: under ``window`` of ``frame`` (H, W, C) 0..1, changed as far as ``mask`` (h, w) 0..1 says.

    ``working`` is the size at which the crop is sampled, ``padding`` what is mirrored around it.
    """

    frame: NDArray[np.float32]
    window: Box
    mask: NDArray[np.float32]
    working: Size
    padding: Padding

    def shown(self, picture: Image) -> Image:
        """The crop, a picture of any size of what is sampled, with the frame around it."""
        from PIL import Image

        view = self._surroundings.copy()
        scale = view.width / self._view.width
        left, top = (self.window.x1 - self._view.x1) * scale, (self.window.y1 - self._view.y1) * scale
        size = max(1, round(self.window.width * scale)), max(1, round(self.window.height * scale))
        sampled = picture.convert("RGB").resize(size, Image.Resampling.BICUBIC, self._inside(picture))
        mask = Image.fromarray(from_float(self.mask, np.uint8)).resize(size, Image.Resampling.BILINEAR)
        view.paste(sampled, (round(left), round(top)), mask)
        return view

    def _inside(self, picture: Image) -> tuple[float, float, float, float]:
        """What of a picture is not padding."""
        padded = self.padding.padded(self.working)
        across, down = picture.width / padded.width, picture.height / padded.height
        left, top = self.padding.left * across, self.padding.top * down
        return left, top, left + self.working.width * across, top + self.working.height * down

    @cached_property
    def _view(self) -> Box:
        """What of the frame is shown, on whole pixels."""
        (x, y), (height, width) = self.window.center, self.frame.shape[:2]
        w, h = VIEW / 2 * self.window.width, VIEW / 2 * self.window.height
        return Box(max(0, round(x - w)), max(0, round(y - h)), min(width, round(x + w)), min(height, round(y + h)))

    @cached_property
    def _surroundings(self) -> Image:
        from PIL import Image

        scale = SIDE / max(self._view.width, self._view.height)
        size = Size(max(1, round(self._view.width * scale)), max(1, round(self._view.height * scale)))
        return Image.fromarray(from_float(crop(self.frame[..., :3], self._view, size), np.uint8))
