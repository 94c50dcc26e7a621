"""Figures of one picture, and of one picture against another: sharpness, noise, blocks, overshoot, colour.

Everything is measured on luma in 8-bit levels (0..255, weights of BT.601), whatever the depth of the frames.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.imaging.resample import crop, to_float
from redetail.imaging.sharpness import LUMA
from redetail.optional import require
from redetail.region import Box, Size

Luma = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Immerkaer's difference of two Laplacians: blind to constants, ramps and straight edges along the axes.
_NOISE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_NOISE_GAIN = math.sqrt(math.pi / 2) / 6
_BLOCK = 8  # side of the transform blocks of JPEG, MPEG-2 and H.264
_LEAST, _DARK = 8, 0.01  # pixels per side, and levels: less is too little to measure
_EDGE_BLUR, _EDGE_REACH = 2.0, 9  # sigma of the blur that removes overshoot, and side of an edge's neighbourhood


def ndimage() -> ModuleType:
    """SciPy's image filters; raises :class:`~redetail.errors.DependencyError` if SciPy is not installed."""
    return require("scipy.ndimage")


def luma_levels(picture: NDArray[Any]) -> Luma:
    """(h, w, 3) uint8, uint16 or float 0..1 -> (h, w) float32 luma in levels 0..255."""
    return np.asarray(to_float(picture) @ LUMA * np.float32(255), np.float32)


def sharpness(luma: Luma, inside: Mask | None = None) -> float:
    """Mean absolute Laplacian in levels: how much fine structure there is, whether detail or noise."""
    return _mean(np.abs(ndimage().laplace(luma, mode="nearest")), inside)


def finest_octave(picture: NDArray[Any], box: Box) -> float:
    """The detail of a picture between half size and full size, divided by the detail in the octave below: what halving
    the picture loses, divided by what halving it again loses. Both are mean absolute differences of luma under ``box``.

    About 1 at any size if amplitudes fall as 1/f, and 0.4 to 0.7 for sharp faces; lower for softer pictures, and higher
    for noisy ones. 0 if there is no detail, and for boxes of less than 8 pixels.
    """
    size = Size(max(1, round(box.width)), max(1, round(box.height)))
    if min(size.width, size.height) < _LEAST:
        return 0.0
    own, half, quarter = (_shrunk(picture, box, size, times) for times in (1, 2, 4))
    below = float(np.abs(half - quarter).mean())
    return float(np.abs(own - half).mean()) / below if below > _DARK else 0.0


def _shrunk(picture: NDArray[Any], box: Box, size: Size, times: int) -> Luma:
    """The luma under a box, without the detail that is lost when the picture is made ``times`` as small."""
    small = Size(max(1, size.width // times), max(1, size.height // times))
    shrunk = crop(picture, box, small)
    if times > 1:
        shrunk = crop(shrunk, Box(0, 0, small.width, small.height), size)
    return luma_levels(shrunk)


def noise(luma: Luma, inside: Mask | None = None) -> float:
    """Standard deviation of the noise in levels, from the smoother half of the picture (Immerkaer 1996).

    Only pixels whose gradient is below the median count, since texture and edges are not noise; the gradient is blurred
    so much that noise hardly affects the choice.
    """
    filters = ndimage()
    slope = filters.gaussian_gradient_magnitude(luma, 3.0, mode="nearest")
    area = np.ones(luma.shape, np.bool_) if inside is None else inside
    if not area.any():
        return 0.0
    smooth = area & (slope <= np.median(slope[area]))
    return _NOISE_GAIN * _mean(np.abs(filters.convolve(luma, _NOISE, mode="nearest")), smooth)


def blockiness(luma: Luma, left: int = 0, top: int = 0) -> float:
    """How much stronger the steps across the borders of 8x8 blocks are than all other steps; 0 means no blocks.

    The ratio of the mean absolute differences, minus 1 (after Wang, Bovik and Evans 2000). ``left`` and ``top`` are the
    position of the picture in its frame, where the grid of blocks starts. 0 for pictures without block borders or
    steps.
    """
    ratios = []
    for axis, offset in ((1, left), (0, top)):
        steps = np.abs(np.diff(luma, axis=axis)).mean(axis=1 - axis)
        border = (np.arange(1, len(steps) + 1) + offset) % _BLOCK == 0
        if border.any() and not border.all() and steps[~border].mean() > 0:
            ratios.append(float(steps[border].mean() / steps[~border].mean()))
    return max(0.0, float(np.mean(ratios)) - 1) if ratios else 0.0


def overshoot(luma: Luma, inside: Mask | None = None) -> float:
    """Mean in levels of how far values at an edge lie beyond their surroundings; the halos of plain sharpening raise
    it."""
    filters = ndimage()
    smooth = filters.gaussian_filter(luma, _EDGE_BLUR, mode="nearest")
    above = luma - filters.maximum_filter(smooth, _EDGE_REACH, mode="nearest")
    below = filters.minimum_filter(smooth, _EDGE_REACH, mode="nearest") - luma
    return _mean(np.clip(above, 0, None) + np.clip(below, 0, None), inside)


def fine_correlation(luma: Luma, reference: Luma) -> float:
    """Correlation of the high frequencies of two pictures, -1..1; added noise and invented structure do not raise it.

    High frequencies are those above a quarter of the sampling rate in any direction. 0 if a picture has none.
    """
    one, other = _fine(luma), _fine(reference)
    scale = math.sqrt(float(np.square(one).sum()) * float(np.square(other).sum()))
    return float((one * other).sum()) / scale if scale > 0 else 0.0


def colour_shift(picture: NDArray[Any], reference: NDArray[Any], inside: Mask) -> tuple[float, float, float]:
    """Mean difference of red, green and blue from the reference in levels, inside a mask (h, w)."""
    if not inside.any():
        return 0.0, 0.0, 0.0
    means = (to_float(picture)[inside] - to_float(reference)[inside]).mean(axis=0, dtype=np.float64) * 255
    red, green, blue = map(float, means)
    return red, green, blue


def _fine(luma: Luma) -> NDArray[np.float64]:
    """The picture without frequencies below a quarter of the sampling rate; a window function suppresses its
    borders."""
    height, width = luma.shape
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    spectrum = np.fft.rfft2((luma - luma.mean()) * window)
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    return np.asarray(np.fft.irfft2(np.where(radius > 0.25, spectrum, 0), s=(height, width)))


def _mean(values: NDArray[Any], inside: Mask | None) -> float:
    chosen = values if inside is None else values[inside]
    return float(chosen.mean(dtype=np.float64)) if chosen.size else 0.0
