"""Colour: keeps the light and colour of the source in the result."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from redetail.imaging.weights import AxisWeights, gaussian, resampling, triangle

Pixels = NDArray[np.float32]

_LEAST = 1e-3  # share of the blur that must lie under the mask for its mean to count


def match_low_frequencies(
    result: Pixels, source: Pixels, mask: NDArray[np.float32], radius: float | None = None
) -> Pixels:
    """The result with its low frequencies (brightness, colour) replaced by the source's: (F, h, w, C) float32 0..1.

    ``result`` and ``source`` are (F, h, w, C) 0..1; ``mask`` (h, w), (1, h, w) or (F, h, w), 0..1, says where they
    show the same subject; ``radius`` is the sigma, in pixels, of the Gaussian that separates low from high
    frequencies (None: a sixteenth of the shorter side, which keeps shading and leaves features alone). The blur is
    normalised by the mask (Knutsson and Westin 1993), so that nothing from outside of it colours its edge; where no
    mask is near, the result stays as it is.

    Every frame is matched to its own source, so the correction moves as the source does and adds no flicker.
    """
    height, width = result.shape[1:3]
    low_pass = _LowPass(height, width, min(height, width) / 16 if radius is None else radius)
    weights = np.broadcast_to(mask if mask.ndim == 3 else mask[None], result.shape[:3])
    matched = np.empty_like(result)
    for index, (ours, theirs, weight) in enumerate(zip(result, source, weights, strict=True)):
        matched[index] = ours + low_pass.normalised(theirs - ours, weight)
    return np.clip(matched, 0.0, 1.0, out=matched)


class _LowPass:
    """A wide Gaussian: reduced to a coarse grid first, since a smooth picture needs few samples."""

    def __init__(self, height: int, width: int, radius: float) -> None:
        step = max(1.0, radius / 2)
        self._down, self._across = _axis(height, step), _axis(width, step)
        self._blur_down = _blur(self._down[0].count, radius / step)
        self._blur_across = _blur(self._across[0].count, radius / step)

    def normalised(self, picture: Pixels, weight: NDArray[np.float32]) -> Pixels:
        """The weighted mean of the picture (h, w, C) around every pixel; 0 where there is no weight."""
        planes = np.concatenate([(picture * weight[..., None]).transpose(2, 0, 1), weight[None]])
        coarse = self._across[0].columns(self._down[0].rows(planes))
        coarse = self._blur_across.columns(self._blur_down.rows(coarse))
        mean = coarse[:-1] / np.maximum(coarse[-1:], _LEAST)
        smooth = self._across[1].columns(self._down[1].rows(mean))
        return np.asarray(smooth.transpose(1, 2, 0), np.float32)


def _axis(length: int, step: float) -> tuple[AxisWeights, AxisWeights]:
    """From ``length`` pixels to a grid about ``step`` pixels wide, and back."""
    count = max(1, round(length / step))
    reduce = resampling(0, length / count, count, length, triangle)
    return reduce, resampling(0, count / length, length, count, triangle)


def _blur(count: int, sigma: float) -> AxisWeights:
    return gaussian(count, 2 * int(np.ceil(3 * sigma)) + 1, sigma)
