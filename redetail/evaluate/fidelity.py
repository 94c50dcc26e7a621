"""How near a picture is to the one it should be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.errors import InputError
from redetail.imaging.resample import to_float
from redetail.imaging.weights import AxisWeights, gaussian

_TAPS, _SIGMA = 11, 1.5  # the window of Wang et al. 2004
_C1, _C2 = 0.01**2, 0.03**2


def psnr(picture: NDArray[Any], reference: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio in dB, infinite for equal pictures.

    Arrays of one shape and dtype, uint8, uint16 or float 0..1. Raises :class:`~redetail.errors.InputError` where
    shapes or dtypes differ.
    """
    _check_alike(picture, reference)
    error = float(np.square(to_float(picture).astype(np.float64) - to_float(reference)).mean())
    return float("inf") if error == 0 else -10 * float(np.log10(error))


def ssim(picture: NDArray[Any], reference: NDArray[Any]) -> float:
    """Structural similarity, 1 for equal pictures: mean over all places and channels (Wang et al. 2004).

    (h, w) or (h, w, C), both sides at least 11 pixels; Gaussian window of 11 pixels, sigma 1.5, only where it fits
    wholly into the picture. Raises :class:`~redetail.errors.InputError` where shapes or dtypes differ, or for smaller
    pictures.
    """
    _check_alike(picture, reference)
    if min(picture.shape[:2]) < _TAPS:
        raise InputError(f"SSIM needs pictures of at least {_TAPS}x{_TAPS} pixels, not {picture.shape[1::-1]}.")
    x, y = (_planes(to_float(each)) for each in (picture, reference))
    window = _Window(*x.shape[-2:])
    mean_x, mean_y = window(x), window(y)
    spread = window(x * x) + window(y * y) - mean_x**2 - mean_y**2
    shared = window(x * y) - mean_x * mean_y
    similarity = (2 * mean_x * mean_y + _C1) * (2 * shared + _C2)
    return float((similarity / ((mean_x**2 + mean_y**2 + _C1) * (spread + _C2))).mean())


class _Window:
    """Gaussian means of (C, h, w), at the places where the window fits."""

    def __init__(self, height: int, width: int) -> None:
        self._down, self._across = _inner(height), _inner(width)

    def __call__(self, planes: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(self._across.columns(self._down.rows(planes)), np.float64)


def _inner(length: int) -> AxisWeights:
    blur, margin = gaussian(length, _TAPS, _SIGMA), _TAPS // 2
    return AxisWeights(blur.indices[margin:-margin], blur.weights[margin:-margin], length)


def _planes(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """(h, w) or (h, w, C) as (C, h, w)."""
    stacked = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return stacked.astype(np.float64)


def _check_alike(picture: NDArray[Any], reference: NDArray[Any]) -> None:
    if picture.shape != reference.shape or picture.dtype != reference.dtype or picture.size == 0:
        raise InputError(
            f"Only pictures of one size and depth can be compared, not {picture.shape} of {picture.dtype} with "
            f"{reference.shape} of {reference.dtype}."
        )
