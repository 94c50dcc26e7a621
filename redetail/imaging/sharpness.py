"""How sharp a part of a picture is for its number of pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from redetail.optional import require
from redetail.region import Box

LUMA: NDArray[np.float32] = np.array([0.299, 0.587, 0.114], np.float32)
"""Of red, green and blue (ITU-R BT.601)."""
SIGMAS = (0.8, 1.6)
"""Of the Gaussians that take away the finest octave and the next one, in pixels."""
FLAT = 0.5
"""Least root mean square of the coarser octave, in 8-bit levels, from which there is anything to measure."""
LEAST_SIDE = 12
"""Pixels that the shorter side of a box must have."""


def sharpness(rgb: NDArray[np.uint8] | NDArray[np.uint16], box: Box) -> float | None:
    """Root mean square of the finest octave over that of the next one, inside a box of a picture (H, W, 3).

    Natural pictures have about as much contrast in every octave (Field, "Relations between the statistics of natural
    images", 1987), so this is near 1 where the pixels are used, whatever the contrast, and falls to a fraction of it
    where the picture was blurred or enlarged. Noise counts as detail. None if the box is small, outside or flat.
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
