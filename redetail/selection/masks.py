"""The subject that masks show: a picture, a video or an array."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from redetail.documents import shown
from redetail.errors import RegionError
from redetail.imaging.masks import normalise_mask
from redetail.imaging.resample import to_float
from redetail.imaging.sharpness import LUMA
from redetail.region import Region, Size
from redetail.selection.base import CommandOption, InMemory, Search
from redetail.selection.files import FileSelection
from redetail.tracking import regions_from_masks
from redetail.video import open_source, transparency
from redetail.video.base import RGB


@dataclass(frozen=True)
class MaskSelection(FileSelection[NDArray[Any]]):
    """Whatever is white in a picture, in a video, in an array (H, W), or in an array (F, H, W) for the frames of the
    clip.

    In a picture with transparent parts, whatever is opaque: a subject that was cut out or painted on a separate layer.
    """

    name: ClassVar[str] = "mask"
    option: ClassVar[CommandOption] = CommandOption(
        "MASK", "picture or video used as a mask; its white areas are detailed"
    )

    @classmethod
    def from_option(cls, value: Any) -> Self | None:
        """A file's name, or an array, a tensor or a list of rows. (F, 1, H, W) and (F, H, W, 1) are read as (F, H, W);
        bytes that are all 0 or 1 are read as no and yes."""
        if isinstance(value, str | Path):
            return super().from_option(value)
        try:
            mask = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
        except ValueError as error:  # rows of unequal length
            raise RegionError(
                "The mask has rows of unequal length; give an array of shape (height, width) or (frames, height, "
                "width)."
            ) from error
        if mask.dtype.kind not in "biuf":
            raise RegionError(f"mask is {shown(value)}; give a file name or an array of numbers.")
        if mask.ndim == 4 and 1 in (mask.shape[1], mask.shape[3]):
            mask = mask[:, 0] if mask.shape[1] == 1 else mask[..., 0]
        if mask.dtype == np.uint8 and mask.size and mask.max() == 1:  # read as 0 to 255, such a mask would be black
            mask = mask.astype(bool)
        return cls(InMemory(mask))

    def check(self, size: Size) -> None:
        """Refuse a file whose size differs from that of the frames."""
        if isinstance(self.given, Path):
            own = open_source(self.given).info.size
            if own != size:
                raise RegionError(f"{self.given} is {own} pixels, but the frames are {size}; make them the same size.")

    def find(self, search: Search) -> list[Region]:
        """Everything that the mask shows, as one subject; masks from a video have one region for each shot."""
        cuts = search.cuts()
        start, stop = search.frame_range()
        with self._naming():
            masks = self._pictures(search, start, stop)
            return regions_from_masks(masks, search.size, start, stop, search.crop_factor, cuts=cuts)

    def _pictures(self, search: Search, start: int, stop: int) -> Iterator[NDArray[np.uint8]]:
        """(H, W) uint8 masks: one for a still picture, else those of frames start..stop."""
        if isinstance(self.given, Path):
            source = search.open(self.given)
            still = source.info.frames == 1
            opaque = transparency(self.given) if still and os.path.isfile(self.given) else None
            if opaque is not None:
                yield opaque
                return
            frames = source.frames() if still else source.frames(start, stop)
            yield from (luma(frame.pixels) for frame in frames)
        else:
            stack = _stack(self.given.value)
            pictures = stack if len(stack) == 1 else stack[start:stop]
            yield from (np.rint(picture * 255).astype(np.uint8) for picture in pictures)


def luma(pixels: RGB) -> NDArray[np.uint8]:
    """(H, W) brightness 0..255 of an RGB picture (BT.601 weights), which is how a picture is read as a mask."""
    grey = to_float(pixels) @ LUMA
    return np.asarray(np.rint(grey * 255), np.uint8)


def _stack(mask: NDArray[Any]) -> NDArray[np.float32]:
    """The mask as (F, H, W) float32 0..1."""
    if mask.ndim not in (2, 3):
        raise RegionError(
            f"The mask has the shape {mask.shape}; it must be (height, width), or (frames, height, width) with a "
            "mask for every frame."
        )
    pictures = normalise_mask(mask, Size(mask.shape[-1], mask.shape[-2]))
    return pictures[None] if pictures.ndim == 2 else pictures
