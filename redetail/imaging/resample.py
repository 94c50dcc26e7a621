"""Resamples once in each direction: a sub-pixel window of a frame to a crop, and a crop back onto the frame's pixels.

Both directions use a three-lobed Lanczos filter, which is widened if a picture is made smaller, so that nothing
aliases. After both directions, through a crop of 1.25 to 3.2 times the size at any sub-pixel phase, a real frame keeps
50 dB; with the Catmull-Rom cubic it keeps 46 dB, and with linear interpolation 39 dB.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from redetail.errors import RegionError
from redetail.imaging.weights import Kernel, lanczos3, resampling
from redetail.region import Box, Size

Pixels = NDArray[np.float32]
Depth = TypeVar("Depth", np.uint8, np.uint16)


def crop(frame: NDArray[Any], window: Box, size: Size, out: Pixels | None = None) -> Pixels:
    """The part of a frame under ``window``, as a picture of ``size``: (h, w, C) float32 0..1, in ``out`` where given.

    ``frame`` is (H, W, C) uint8 0..255, uint16 0..65535 or float 0..1. The window may lie between pixels and may
    reach beyond the frame, where the frame's border repeats. A window on whole pixels at its own size is copied
    exactly. Raises :class:`~redetail.errors.RegionError` for a window that is empty or wholly outside the frame.
    """
    _check_frame(frame)
    height, width = frame.shape[:2]
    _check_window(window, Size(width, height))
    across = resampling(window.x1, window.width / size.width, size.width, width)
    down = resampling(window.y1, window.height / size.height, size.height, height)
    (x1, x2), (y1, y2) = across.span, down.span
    planes = np.ascontiguousarray(to_float(frame[y1:y2, x1:x2]).transpose(2, 0, 1))
    # Limited after each pass, as in 8-bit resizers, so that the overshoot of one filter does not ring in the other.
    wide = np.clip(across.within_span().columns(planes), 0.0, 1.0)
    down, out = down.within_span(), np.empty((*size.shape, len(wide)), np.float32) if out is None else out
    for channel, plane in enumerate(wide):
        np.clip(down.rows(plane), 0.0, 1.0, out=out[..., channel])
    return out


def place(crop: Pixels, window: Box, frame: Size, kernel: Kernel = lanczos3) -> tuple[Pixels, Box]:
    """A crop back on the pixel grid of its frame: pixels (h, w, C) float32, and the box of whole pixels they fill.

    ``crop`` (h', w', C) shows what lies under ``window``; the box is every pixel of a frame of size ``frame`` that
    the window touches. The filter is linear and overshoots are kept (a difference of two crops can be placed too);
    :func:`redetail.imaging.blend.paste` limits the result to the frame's range. Raises
    :class:`~redetail.errors.RegionError` for a window that is empty or wholly outside the frame.
    """
    _check_window(window, frame)
    box = touched(window, frame)
    height, width = crop.shape[:2]
    kx, ky = width / window.width, height / window.height
    across = resampling((box.x1 - window.x1) * kx, kx, int(box.width), width, kernel)
    down = resampling((box.y1 - window.y1) * ky, ky, int(box.height), height, kernel)
    planes = np.ascontiguousarray(crop.transpose(2, 0, 1), dtype=np.float32)
    return np.stack(list(across.columns(down.rows(planes))), axis=-1), box


def touched(window: Box, frame: Size) -> Box:
    """The whole pixels of a frame that a window touches, as a box."""
    x1, y1 = max(0, math.floor(window.x1)), max(0, math.floor(window.y1))
    return Box(x1, y1, min(frame.width, math.ceil(window.x2)), min(frame.height, math.ceil(window.y2)))


def to_float(pixels: NDArray[Any]) -> Pixels:
    """Convert uint8 0..255 or uint16 0..65535 to float32 0..1; floats stay as they are."""
    if pixels.dtype.kind == "u":
        return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
    return pixels.astype(np.float32)


def from_float(pixels: Pixels, dtype: type[Depth]) -> NDArray[Depth]:
    """Convert values, limited to 0..1, to uint8 or uint16, rounded half to even."""
    levels: NDArray[Depth] = np.rint(np.clip(pixels, 0, 1) * np.float32(np.iinfo(dtype).max)).astype(dtype)
    return levels


def pad(crops: Pixels, padding: tuple[int, int, int, int]) -> Pixels:
    """(F, h, w, C) or (F, h, w) with ``padding`` (left, top, right, bottom) mirrored pixels around each picture."""
    left, top, right, bottom = padding
    if not any(padding):
        return crops
    widths = [(0, 0), (top, bottom), (left, right)] + [(0, 0)] * (crops.ndim - 3)
    return np.pad(crops, widths, mode="reflect")


def unpad(crops: Pixels, padding: tuple[int, int, int, int]) -> Pixels:
    """What :func:`pad` was given: the same pixels, bit for bit."""
    left, top, right, bottom = padding
    return crops[:, top : crops.shape[1] - bottom, left : crops.shape[2] - right]


def _check_frame(frame: NDArray[Any]) -> None:
    if frame.ndim != 3 or frame.dtype not in (np.uint8, np.uint16, np.float32, np.float64):
        raise RegionError(
            "A frame must be a uint8, uint16 or float array of shape (height, width, channels), not an array "
            f"of type {frame.dtype} and shape {frame.shape}."
        )


def _check_window(window: Box, frame: Size) -> None:
    if window.width <= 0 or window.height <= 0:
        raise RegionError(f"The window {window.as_tuple()} is empty.")
    if window.clipped(frame) is None:
        raise RegionError(f"The window {window.as_tuple()} lies outside the {frame}-pixel frame.")
