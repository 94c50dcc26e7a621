"""The background, enlarged by the engine: overlapping tiles that together cover every frame.

A tile is a region whose window never moves and whose box fills the window, so it is cropped, detailed and stored like a
subject. Only pasting differs: neighbouring tiles fade into one another, and their weights add up to one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from redetail.engines.base import Pixels
from redetail.geometry.crop import Padding, limited_size
from redetail.geometry.scale import ratios
from redetail.pipeline.paste import Crops, placed_change
from redetail.pipeline.plan import CropPlan
from redetail.pipeline.stretches import Budgets, stretches_of
from redetail.region import Region, Size
from redetail.settings import Settings
from redetail.video.base import Frame

SIDE = 512
"""The most pixels on a tile's longer side, as the engine gets it, so that memory does not grow with the frame size."""
OVERLAP = 64
"""The fewest pixels that neighbouring tiles share, as the engine gets them."""

Span = tuple[int, int]


def background_crops(
    frames: range, size: Size, output: Size, settings: Settings, size_multiple: int, budgets: Budgets
) -> tuple[CropPlan, ...]:
    """Tiles over ``frames`` of a clip of ``size`` for an output of size ``output``.

    They are processed at the output's scale, unless ``max_upscale`` is smaller.
    """
    scale = max(ratios(size, output))
    scale = min(scale, settings.max_upscale or scale)
    longest = min(SIDE, int(settings.max_size))
    side, overlap = max(2, int(longest / scale)), max(1, int(min(OVERLAP, longest / 4) / scale))
    own = replace(settings, mask_shape="given", denoise_by_size="", mask_feather=0, paste_feather=0)
    crops: list[CropPlan] = []
    for number, (y1, y2) in enumerate(spans(size.height, side, overlap)):
        for x1, x2 in spans(size.width, side, overlap):
            tile = Size(x2 - x1, y2 - y1)
            working = limited_size(Size(round(tile.width * scale), round(tile.height * scale)), longest)
            padding = Padding.to_multiple(working, size_multiple)
            path, box = np.array([[x1, y1]], np.float64), np.array([[x1, y1, x2, y2]], np.float64)
            label = f"background {len(crops) + 1}"
            count = len(frames)
            region = Region(label, 1.0, frames.start, tile, path.repeat(count, 0), box.repeat(count, 0))
            stretches = stretches_of(count, padding.padded(working), budgets, own)
            crops.append(CropPlan(region, working, padding, own, number, stretches))
    return tuple(crops)


def spans(length: int, side: int, overlap: int) -> list[Span]:
    """Start and stop of pieces that cover ``length``: as few as possible, all equally long, with at most ``side``
    pixels each, of which at least ``overlap`` are shared with the next."""
    if length <= side:
        return [(0, length)]
    count = math.ceil((length - overlap) / (side - overlap))
    own = math.ceil((length + (count - 1) * overlap) / count)
    starts = [number * (length - own) // (count - 1) for number in range(count)]
    return [(start, start + own) for start in starts]


def weights(pieces: Sequence[Span], pixels: int) -> NDArray[np.float32]:
    """The weight of each piece in every pixel of an axis that is enlarged to ``pixels``: (pieces, pixels); they sum to
    1.

    A piece fades into the next over the middle half of their overlap, away from the edges, where the engine sees less
    of the surroundings.
    """
    places = (np.arange(pixels) + 0.5) * (pieces[-1][1] / pixels)
    counted = np.ones((len(pieces), pixels))
    for number, ((_, stop), (start, _)) in enumerate(pairwise(pieces)):
        rising = np.clip(2 * (places - start) / (stop - start) - 0.5, 0, 1)
        counted[number + 1] *= rising
        counted[number] *= 1 - rising
    return counted.astype(np.float32)


@dataclass(frozen=True)
class Background:
    """Detailed tiles for frames of ``size`` that are enlarged to ``output``; ``crops`` belong to ``regions``, one by
    one."""

    regions: Sequence[Region]
    crops: Sequence[Crops]
    size: Size
    output: Size

    def change(self, frame: Frame) -> Pixels:
        """What the tiles change in a frame that is enlarged to the output's size: (H, W, 3), positive or negative."""
        output = self.output
        scale, changed = ratios(self.size, output), np.zeros((*output.shape, 3), np.float32)
        across, down = self._weights
        for region, crops in zip(self.regions, self.crops, strict=True):
            index = frame.index - region.start
            window = region.window(index)
            change, box = placed_change(frame.pixels, crops[index], window, window.scaled(*scale), output)
            rows, columns = slice(int(box.y1), int(box.y2)), slice(int(box.x1), int(box.x2))
            change *= across[window.x1, window.x2][columns, None]
            change *= down[window.y1, window.y2][rows, None, None]
            changed[rows, columns] += change
        return changed

    @cached_property
    def _weights(self) -> list[dict[tuple[float, float], NDArray[np.float32]]]:
        """The weights of every column and every row of tiles, by its position."""
        both = []
        for axis, pixels in enumerate((self.output.width, self.output.height)):
            pieces = sorted({tuple(region.boxes[0, axis::2].tolist()) for region in self.regions})
            both.append(dict(zip(pieces, weights(pieces, pixels), strict=True)))
        return both
