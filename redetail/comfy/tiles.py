"""Tiles that cover a picture, as segments: to detail everything piece by piece.

Sizes and places are those that saved workflows know: tiles of one size, the last of a row and of a column flush with
the picture's end, what is left over shared out among the overlaps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from redetail.comfy.mask_segs import Cutting, dilated, segs_of_masks
from redetail.geometry.crop import crop_region
from redetail.imaging.masks import Mask, resize_mask
from redetail.region import Box, Size
from redetail.segs import Seg

FAST, QUALITY, EACH_FAST, EACH_QUALITY = MODES = (
    "Reuse fast",
    "Reuse quality",
    "All random fast",
    "All random quality",
)

_SIDES = {FAST: 128, QUALITY: 512, EACH_FAST: 512, EACH_QUALITY: 512}
"""Side of the square in which an irregular mask is drawn; it decides by how much tiles are made larger (recorded)."""

_LEAST_RADIUS = 5


@dataclass(frozen=True)
class Tiling:
    """How a picture is tiled.

    ``side`` of a tile and least ``overlap`` of two neighbours in pixels; ``crop_factor``: the crop is this many times
    as long as the tile; ``irregularity`` 0..1: how far the edges of the masks are frayed; ``mode``: one of ``MODES``,
    one frayed mask for all tiles or one for each.
    """

    side: int
    overlap: float
    crop_factor: float
    irregularity: float = 0.0
    mode: str = FAST

    def enlarged(self) -> Tiling:
        """The tiling in effect: an overlap of at most half a tile, and more of both to make up for frayed edges."""
        overlap = self.side / 2 if self.side <= 2 * self.overlap else self.overlap
        if self.irregularity <= 0:
            return replace(self, overlap=overlap)
        reach = _reach(_SIDES[self.mode], self.irregularity)
        return replace(self, side=self.side + 2 * reach, overlap=overlap + reach)


def tile_segs(picture: Size, tiling: Tiling, within: Mask | None = None, without: Mask | None = None) -> list[Seg]:
    """Segments of the tiles, row by row. ``within`` and ``without`` (H, W) of the picture's size: where tiles are
    masked at most, and where they are not; a tile of which nothing is left is left out."""
    area = Box(0, 0, picture.width, picture.height)
    if within is not None:
        found = segs_of_masks(within[None], Cutting(1.0, 0), combined=True)
        if not found:
            return []
        area = Box(*(float(side) for side in found[0].crop_region))
    edges = _Edges(tiling)
    segments = []
    for box in tiles(picture, area, tiling.enlarged()):
        window = crop_region(picture, box, tiling.crop_factor)
        mask = np.zeros((int(window.height), int(window.width)), np.float32)
        mask[_pixels(box, window)] = edges.mask(box, picture)
        if without is not None:
            mask[without[_pixels(window)] != 0] = 0
        if within is not None:
            mask[within[_pixels(window)] == 0] = 0
        if mask.any():
            segments.append(Seg(None, mask, 1.0, _corners(window), _corners(box), ""))
    return segments


def tiles(picture: Size, area: Box, tiling: Tiling) -> Iterator[Box]:
    """The tiles of an area of a picture, row by row."""
    side = int(min(tiling.side, area.width, area.height))
    overlap = tiling.overlap if tiling.overlap < side else side / 2
    columns = _starts(int(area.x1), int(area.width), picture.width, side, overlap)
    for y in _starts(int(area.y1), int(area.height), picture.height, side, overlap):
        for x in columns:
            yield Box(x, y, x + side, y + side)


def picture_mask(masks: Mask, picture: Size, dilation: int) -> Mask:
    """Masks (F, H', W') of segments as one (H, W) of a picture, grown by ``dilation`` pixels."""
    united = masks.max(axis=0)
    return dilated(united if united.shape == picture.shape else resize_mask(united, picture), dilation)


def _starts(first: int, length: int, limit: int, side: int, overlap: float) -> list[int]:
    """Where the tiles of one axis start that cover ``length`` pixels from ``first``; the axis ends at ``limit``."""
    count = math.ceil(length / (side - overlap))
    if side * count < length:
        count += 1
    shared = int((side * count - length) / (count - 1)) if count > 1 else 0
    if shared == side:
        count = 1
    places = [first + index * (side - shared) for index in range(count)]
    # Flush with the end already where a single pixel would be left over. Of an axis one pixel longer than a tile this
    # moves the first tile too, so that the first pixel is left out, as in the original.
    return [place if place + side < limit - 1 else limit - side for place in places]


class _Edges:
    """Masks of tiles: full, or with frayed edges, the same ones in every run."""

    def __init__(self, tiling: Tiling) -> None:
        self._tiling, self._draw = tiling, np.random.default_rng(0)
        self._square: Mask | None = None

    def mask(self, tile: Box, picture: Size) -> Mask:
        """The mask of a tile at its size; frayed only where another tile can take over."""
        size = Size(int(tile.width), int(tile.height))
        if self._tiling.irregularity <= 0:
            return np.ones(size.shape, np.float32)
        side = _SIDES[self._tiling.mode]
        reach = _reach(side, self._tiling.irregularity)
        if self._square is None or self._tiling.mode in (EACH_FAST, EACH_QUALITY):
            self._square = _frayed(side, reach, self._draw)
        square = self._square.copy()
        if tile.x1 == 0:
            square[:, :reach] = square[:, reach : reach + 1]
        if tile.x2 == picture.width:
            square[:, -reach:] = square[:, -reach - 1 : -reach]
        if tile.y1 == 0:
            square[:reach] = square[reach]
        if tile.y2 == picture.height:
            square[-reach:] = square[-reach - 1]
        return resize_mask(square, size)


def _frayed(side: int, reach: int, draw: np.random.Generator) -> Mask:
    """A square whose edges are discs of random size, (side, side) of 0 and 1."""
    square = np.zeros((side, side), np.float32)
    square[reach : side - reach, reach : side - reach] = 1
    rows, columns = np.ogrid[:side, :side]
    for line in (reach, side - reach):
        for across in (False, True):
            place = reach
            while place < side - reach:
                radius = int(draw.integers(_LEAST_RADIUS, reach))
                y, x = (line, place) if across else (place, line)
                square[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = 1
                place += radius
    return square


def _reach(side: int, irregularity: float) -> int:
    """How far the edge of a mask drawn in a square of ``side`` pixels may be frayed, in pixels."""
    return max(_LEAST_RADIUS + 1, int(side * irregularity / 4))


def _pixels(box: Box, window: Box | None = None) -> tuple[slice, slice]:
    """Rows and columns of a box, in the picture or in a window of it."""
    x, y = (0.0, 0.0) if window is None else (window.x1, window.y1)
    return slice(int(box.y1 - y), int(box.y2 - y)), slice(int(box.x1 - x), int(box.x2 - x))


def _corners(box: Box) -> tuple[int, int, int, int]:
    return int(box.x1), int(box.y1), int(box.x2), int(box.y2)
