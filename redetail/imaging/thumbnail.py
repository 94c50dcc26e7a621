"""Small pictures of frames, by which frames are compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from redetail.optional import require

SIDE = 64
"""Width and height of a thumbnail in pixels, whatever the shape of the frame."""


def thumbnail(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    """The picture (H, W, 3) as (SIDE, SIDE, 3) with 8 bits, averaged over areas."""
    cv2 = require("cv2")
    height, width = pixels.shape[:2]
    step = max(1, min(height, width) // 256)  # averaging every pixel of a 4K frame would take longer than the rest
    # Every step-th pixel; slicing takes several times as long.
    fewer = cv2.resize(pixels, (-(-width // step), -(-height // step)), interpolation=cv2.INTER_NEAREST)
    if fewer.dtype == np.uint16:
        fewer = (fewer >> 8).astype(np.uint8)
    small: NDArray[np.uint8] = cv2.resize(fewer, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return small
