"""Seams: whether the border of what was pasted can be seen, for the output of any tool.

No mask is needed: whatever differs from the source was pasted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.evaluate.pictures import Luma, ndimage
from redetail.region import Box

_BLUR = 2.0  # sigma in pixels over which change is averaged
_CHANGED = 1.25  # levels by which pasted pixels change more than the calmest tenth, which an encoder changed
_CLOSE = 9  # pixels: holes up to this wide in a pasted area belong to it
_RIM = 4  # pixels on either side of the border in which its step is searched for
_INSIDE = 14  # pixels further inside, where there is no border
_SECTORS = 16  # parts of the border: within a part, a step has one sign, while texture has both
_LEAST = 256  # pixels that must have changed
_VISIBLE = 2.0  # levels: 8-bit rounding hides steps of 1; the eye finds steps of 3 in smooth skin


@dataclass(frozen=True, slots=True)
class Seam:
    """What was pasted into one frame, and how abruptly it ends.

    ``area``: the box around it, in pixels of the picture. ``step``: the height in levels of a hard edge in brightness
    that would be as steep as the change at the border; almost 0 for a change that fades out over many pixels.
    """

    area: Box
    step: float

    @property
    def visible(self) -> bool:
        """Whether an eye would find it."""
        return self.step > _VISIBLE


def find_seam(source: Luma, result: Luma) -> Seam | None:
    """The border of the largest area in which two lumas (h, w) in levels differ; None if nothing was pasted."""
    filters = ndimage()
    amount = filters.gaussian_filter(np.abs(result - source), _BLUR, mode="nearest")
    pasted = _largest(amount - np.quantile(amount, 0.1) > _CHANGED)
    if pasted is None:
        return None
    rows, columns = np.flatnonzero(pasted.any(axis=1)), np.flatnonzero(pasted.any(axis=0))
    area = Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return Seam(area, _step(filters.gaussian_filter(result - source, _BLUR, mode="nearest"), pasted))


def _step(change: NDArray[np.float32], pasted: NDArray[np.bool_]) -> float:
    """The height of the largest hard edge along the border that the blurred change (h, w) can come from.

    A step of height h that is blurred with sigma s has the slope h / (s sqrt(2 pi)) at its middle. The slope across the
    border is averaged over each sector, where the slopes of texture cancel out.
    """
    filters = ndimage()
    distance = filters.distance_transform_edt(pasted) - filters.distance_transform_edt(~pasted)
    down, across = np.gradient(filters.gaussian_filter(distance.astype(np.float32), _BLUR, mode="nearest"))
    rise, run = np.gradient(change)
    slope = (rise * down + run * across) / np.maximum(np.hypot(down, across), 1e-3)
    y, x = np.indices(pasted.shape)
    middle = filters.center_of_mass(pasted)
    angle = np.arctan2(y - middle[0], x - middle[1])
    sector = np.minimum(((angle + math.pi) / (2 * math.pi) * _SECTORS).astype(int), _SECTORS - 1)
    depth = np.where(_beside_frame(pasted.shape), -(10**6), np.rint(distance).astype(int))
    # The slope that texture has by chance is measured further inside, where there is no border, and subtracted.
    steep = _steepest(slope, sector, depth) - _steepest(slope, sector, depth - _INSIDE)
    return max(0.0, float(steep.mean())) * _BLUR * math.sqrt(2 * math.pi)


def _steepest(slope: NDArray[Any], sector: NDArray[Any], depth: NDArray[Any]) -> NDArray[np.float64]:
    """The steepest mean slope of each sector over the depths near 0, since the threshold places the border slightly
    beside the edge."""
    near = np.abs(depth.astype(float)) <= _RIM
    counts = np.zeros((_SECTORS, 2 * _RIM + 1))
    sums = np.zeros_like(counts)
    np.add.at(counts, (sector[near], depth[near] + _RIM), 1)
    np.add.at(sums, (sector[near], depth[near] + _RIM), slope[near])
    means = np.abs(np.divide(sums, counts, out=np.zeros_like(sums), where=counts >= _RIM))
    return np.asarray(means.max(axis=1))


def _beside_frame(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Pixels at the border of the picture, where a pasted area ends without a seam."""
    beside = np.ones(shape, np.bool_)
    beside[_RIM:-_RIM, _RIM:-_RIM] = False
    return beside


def _largest(changed: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The largest connected area without its holes; None if it is only a speck."""
    filters = ndimage()
    side = 2 * _CLOSE + 1
    spread = filters.maximum_filter(np.pad(changed, side), side)
    closed = filters.minimum_filter(spread, side)[side:-side, side:-side]
    labels, count = filters.label(filters.binary_fill_holes(closed))
    if count == 0:
        return None
    sizes = np.bincount(labels.ravel())[1:]
    if sizes.max() < _LEAST:
        return None
    return np.asarray(labels == int(sizes.argmax()) + 1)
