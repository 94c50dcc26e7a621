"""Measures how sharp a part of a picture is for its number of pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from redetail.optional import require
from redetail.region import Box

LUMA: NDArray[np.float32] = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue (ITU-R BT.601)."""
SIGMAS = (0.8, 1.6)
"""Sigmas in pixels of the Gaussians that remove the finest octave and the next one."""
FLAT = 0.5
"""Least root mean square of the coarser octave, in 8-bit levels, from which there is anything to measure."""
LEAST_SIDE = 12
"""Pixels that the shorter side of a box must have."""


def sharpness(rgb: NDArray[np.uint8] | NDArray[np.uint16], box: Box) -> float | None:
    """Root mean square of the finest octave divided by that of the next one, inside a box of a picture (H, W, 3).

    Natural pictures have about the same contrast in every octave (Field, "Relations between the statistics of natural
    images", 1987), so the ratio is near 1 for a sharp picture, whatever its contrast, and much lower for one that was
    blurred or enlarged. Noise counts as detail. None if the box is too small, outside the picture or flat.
    """
    cv2 = require("cv2")
    height, width = rgb.shape[:2]
    x1, y1 = max(0, round(box.x1)), max(0, round(box.y1))
    part = rgb[y1 : min(height, round(box.y2)), x1 : min(width, round(box.x2))]
    if min(part.shape[:2]) < LEAST_SIDE:
        return None
    levels = part.astype(np.float32) * np.float32(255 / np.iinfo(rgb.dtype).max)
    luma = levels @ LUMA
    fine, (middle, coarse) = luma, (cv2.GaussianBlur(luma, (0, 0), sigma) for sigma in SIGMAS)
    finest, next_one = (float(np.sqrt(((one - two) ** 2).mean())) for one, two in ((fine, middle), (middle, coarse)))
    return None if next_one < FLAT else finest / next_one
