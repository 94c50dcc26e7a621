"""Passes decoded planes to the encoder unchanged wherever nothing was pasted.

Converting to RGB and back rounds twice and scales the chroma. A frame that is passed on keeps its samples; only pixels
that differ from the source's are converted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from av import VideoFrame
from av.video.plane import VideoPlane
from numpy.typing import NDArray

from redetail.video.base import RGB
from redetail.video.orientation import Orientation

Samples = NDArray[np.uint8] | NDArray[np.uint16]
_PLANAR = re.compile(r"(yuvj?4[0-4][0-4]|gbr|gray)p?(?:(?:9|10|12|14|16)le)?")


@dataclass(frozen=True, slots=True)
class NativeFrame:
    """A frame as it was decoded, and its upright ``pixels``."""

    picture: VideoFrame
    orientation: Orientation
    pixels: RGB

    def unchanged(self, pixels: RGB) -> NDArray[np.bool_] | None:
        """Where (H, W) pixels equal the source's; None if they are of another type and cannot be compared."""
        if pixels.shape != self.pixels.shape or pixels.dtype != self.pixels.dtype:
            return None
        same: NDArray[np.bool_] = (pixels == self.pixels).all(axis=-1)
        return same

    @property
    def sited(self) -> bool:
        """Whether a tag can say where the chroma of the upright frame lies; there is no tag for the right-hand side."""
        whole = self.picture.format.chroma_width(16) == 16
        return whole or not (self.orientation.mirrored or self.orientation.turns == 2)

    def planes(self) -> list[Samples]:
        """Its planes, upright; alpha is left out."""
        kept = self.picture.planes[: len(self.picture.format.components) - has_alpha(self.picture.format.name)]
        deep = self.picture.format.components[0].bits > 8
        return [self.orientation.upright(samples(plane, deep)) for plane in kept]


def stored_format(name: str, orientation: Orientation) -> str | None:
    """The pixel format that holds the upright planes of format ``name`` unchanged; None if there is none.

    Alpha is left out, the "J" formats are full range by their tags, and 4:2:2 turned by a quarter is 4:4:0.
    """
    plain = name.replace("yuva", "yuv").replace("yuvj", "yuv").replace("gbrap", "gbrp")
    if not _PLANAR.fullmatch(plain):
        return None
    if orientation.turns % 2 and re.match(r"yuv4(22|40|11|10)", plain):
        return None
    return plain


def has_alpha(name: str) -> bool:
    """Whether a planar format has a plane of alpha."""
    return name.startswith(("yuva", "gbrap"))


def samples(plane: VideoPlane, deep: bool) -> Samples:
    """The (h, w) samples of a plane, a view."""
    kind: type[np.unsignedinteger[Any]] = np.uint16 if deep else np.uint8
    rows = np.frombuffer(memoryview(plane), kind).reshape(plane.height, -1)
    view: Samples = rows[:, : plane.width]
    return view


def keep_native(coded: VideoFrame, native: NativeFrame, same: NDArray[np.bool_]) -> None:
    """Put the source's samples into a converted frame of the same format wherever all pixels of a sample are
    ``same``."""
    deep = coded.format.components[0].bits > 8
    for plane, source in zip(coded.planes, native.planes(), strict=True):
        target = samples(plane, deep)
        np.copyto(target, source, where=_all_under(same, target.shape), casting="no")


def _all_under(same: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(h, w): whether all pixels that share a sample are the same; at odd edges, a sample has fewer pixels."""
    height, width = shape
    y, x = -(-same.shape[0] // height), -(-same.shape[1] // width)
    if (y, x) == (1, 1):
        return same
    padded = np.pad(same, ((0, height * y - same.shape[0]), (0, width * x - same.shape[1])), constant_values=True)
    return np.asarray(padded.reshape(height, y, width, x).all(axis=(1, 3)))
