"""Aligns faces, so that eyes, nose and mouth are where a descriptor expects them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from redetail.errors import RegionError
from redetail.imaging.resample import to_float
from redetail.optional import require

Points = NDArray[np.float64]

# Eyes, tip of the nose and corners of the mouth of dlib's mean face, in the square that its landmarks span (King 2009);
# each eye is the mean of six landmarks. Rows are x, y in YuNet's order: of each pair, the one further left comes first.
MEAN_FACE: Points = np.array(
    [[0.22549, 0.21599], [0.75476, 0.21599], [0.49013, 0.51563], [0.25415, 0.78023], [0.72610, 0.78023]]
)
PADDING = 0.25
"""Width of the margin around the mean face in the picture that is described, as a share of its side."""


def aligned_face(picture: NDArray[np.uint8] | NDArray[np.uint16], landmarks: Points, side: int) -> NDArray[np.float32]:
    """The face with these landmarks, upright in a square: (side, side, 3) float32 0..1.

    ``landmarks``: (5, 2) x, y in pixels of the picture (H, W, 3): the eyes, the tip of the nose and the corners of the
    mouth; of each pair, the one further left in the picture comes first. The face is turned, scaled and moved but not
    distorted (least squares, Umeyama 1991). Outside the picture, its border repeats. Raises
    :class:`~redetail.errors.RegionError` for landmarks of another shape, or if all lie in the same place.
    """
    if landmarks.shape != (5, 2) or not np.isfinite(landmarks).all() or landmarks.std(axis=0).max() < 1e-3:
        raise RegionError(
            "A face needs five landmarks, finite and not all in one place, in an array of shape (5, 2); this array has "
            f"the shape {landmarks.shape}."
        )
    cv2 = require("cv2")
    there = (MEAN_FACE + PADDING) / (1 + 2 * PADDING) * side
    matrix = similarity(landmarks, there)
    pixels, corner = _around(picture, matrix, side)
    matrix[:, 2] += matrix[:, :2] @ corner
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 0.5:  # a large face is averaged first, since bilinear sampling would skip pixels
        factor = 2 ** int(np.floor(-np.log2(scale)))
        size = (max(1, pixels.shape[1] // factor), max(1, pixels.shape[0] // factor))
        matrix[:, :2] *= np.array([pixels.shape[1] / size[0], pixels.shape[0] / size[1]])
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    # Landmarks count from the picture's corner, OpenCV from the centre of its first pixel.
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    warped = cv2.warpAffine(pixels, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.float32)


def _around(
    picture: NDArray[np.uint8] | NDArray[np.uint16], matrix: Points, side: int
) -> tuple[NDArray[np.float32], Points]:
    """The part of the picture that the matrix maps into the square, as float 0..1, and its corner x, y."""
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    corners = np.array([[0, 0], [side, 0], [0, side], [side, side]]) @ back[:2, :2].T + back[:2, 2]
    last = np.array(picture.shape[1::-1]) - 1
    x1, y1 = np.clip(np.floor(corners.min(axis=0)).astype(int) - 2, 0, last)
    x2, y2 = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 2, 0, last) + 1
    return to_float(picture[y1:y2, x1:x2]), np.array([x1, y1], np.float64)


def similarity(points: Points, there: Points) -> Points:
    """The rotation, scale and shift (2, 3) that brings ``points`` (N, 2) closest to ``there`` (Umeyama 1991)."""
    middle, other = points.mean(axis=0), there.mean(axis=0)
    x, y = (points - middle).T
    u, v = (there - other).T
    spread = float((x * x + y * y).sum())
    a, b = float((x * u + y * v).sum()) / spread, float((x * v - y * u).sum()) / spread
    turn = np.array([[a, -b], [b, a]])
    return np.column_stack([turn, other - turn @ middle])
