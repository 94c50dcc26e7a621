"""Frames whose pixels are needed only now and then: a search looks at a few frames, but for cuts at all of them.

Converting a frame to RGB exactly takes about ten times as long as decoding it and making a thumbnail.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np
from numpy.typing import NDArray

from redetail.imaging.thumbnail import thumbnail
from redetail.video.base import RGB, Frame


class Glimpse:
    """The ``thumbnail`` of frame ``index`` (see :mod:`redetail.imaging.thumbnail`), and its pixels on request.

    ``convert`` makes the pixels; it is called at most once. Do not share a glimpse between threads.
    """

    __slots__ = ("_convert", "_pixels", "index", "thumbnail")

    def __init__(self, index: int, thumbnail: NDArray[np.uint8], convert: Callable[[], RGB]) -> None:
        self.index, self.thumbnail = index, thumbnail
        self._convert: Callable[[], RGB] | None = convert
        self._pixels: RGB | None = None

    @classmethod
    def of(cls, frame: Frame) -> Self:
        """A glimpse of a frame that has its pixels already."""
        return cls(frame.index, thumbnail(frame.pixels), lambda: frame.pixels)

    @property
    def pixels(self) -> RGB:
        """The frame (H, W, 3), the same as :attr:`~.base.Frame.pixels`."""
        if self._convert is not None:
            self._pixels, self._convert = self._convert(), None
        assert self._pixels is not None
        return self._pixels
