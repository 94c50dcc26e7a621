"""Reads masks of any kind, softens their edges, resizes them and places them on frames.

Sums are computed in double precision and rounded once, so that a flat area of ones stays exactly 1.0: differential
diffusion compares masks with 1 at its first step, and with 0.9999999 the area would stay closed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.errors import RegionError
from redetail.imaging.resample import place
from redetail.imaging.weights import AxisWeights, gaussian, resampling, triangle
from redetail.region import Box, Size

Mask = NDArray[np.float32]

_SIGMA = 10.0  # of the feather, for any width, as recorded from the original
_EXCESS = 1e-5  # how far a float mask may exceed 0..1 because of rounding in a blur


def feather(masks: Mask, feather: int, sigma: float = _SIGMA) -> Mask:
    """Masks (h, w) or (F, h, w) with soft edges: a Gaussian blur of 2 * feather + 1 pixels, ``sigma`` in pixels.

    A kernel as long as the shorter side or longer is reduced to half that side, made odd; below 3 pixels nothing is
    blurred. Borders are mirrored without repeating the last pixel. Flat areas keep their value exactly; the input is
    not changed.
    """
    height, width = masks.shape[-2:]
    taps = _kernel_width(feather, min(height, width))
    if taps < 3:
        return masks.astype(np.float32)
    return _filtered(masks, gaussian(height, taps, sigma), gaussian(width, taps, sigma))


def feather_reach(feather: int, size: Size) -> int:
    """How many pixels :func:`feather` spreads an edge by, to either side, in masks of that size."""
    return _kernel_width(feather, min(size.shape)) // 2


def fade_to_border(mask: Mask, window: Box, frame: Size, feather: int) -> Mask:
    """A mask (h, w) of a window that falls linearly to zero over ``feather`` pixels towards each side of the window.

    A side that the window shares with its frame stays as it is, since nothing lies beyond it. A side within ``feather``
    pixels of the frame's falls less, in proportion to its distance, so that nothing jumps when the window moves.
    """
    if feather == 0:
        return mask
    height, width = mask.shape
    down = _border_ramp(height, feather, window.y1, frame.height - window.y2)
    across = _border_ramp(width, feather, window.x1, frame.width - window.x2)
    return mask * np.minimum(down[:, None], across)


def resize_mask(masks: Mask, size: Size) -> Mask:
    """Masks (h, w) or (F, h, w) at another size: bilinear, pixel areas aligned, without antialiasing."""
    return resize_mask_part(masks, size, Box(0, 0, size.width, size.height))


def resize_mask_part(masks: Mask, size: Size, part: Box) -> Mask:
    """The part of :func:`resize_mask`'s result under ``part``, a box of whole pixels; the rest is not computed."""
    down = resampling(0, masks.shape[-2] / size.height, size.height, masks.shape[-2], triangle, antialias=False)
    across = resampling(0, masks.shape[-1] / size.width, size.width, masks.shape[-1], triangle, antialias=False)
    return _filtered(masks, down.part(int(part.y1), int(part.y2)), across.part(int(part.x1), int(part.x2)))


def noise_mask(masks: Mask, size: Size, feather_width: int) -> Mask:
    """The area that is re-diffused in crops that are scaled to ``size``: masks (h, w) or (F, h, w) of the crops, first
    feathered at the crops' own size and then scaled, in the order of the detailer node."""
    return resize_mask(feather(masks, feather_width), size)


def place_mask(mask: Mask, window: Box, frame: Size) -> tuple[Mask, Box]:
    """A mask (h, w) of a window on the pixel grid of its frame: (h', w') 0..1, and the box of pixels it fills.

    Interpolation is linear, so the result never leaves 0..1. A pixel that the window half covers counts half, so that
    the edge of a full mask does not jump when the window moves by a fraction of a pixel. A window on whole pixels at
    its own size gives a copy.
    """
    placed, box = place(mask[..., None], window, frame, triangle)
    columns = _covered(window.x1, window.x2, int(box.x1), int(box.x2))
    rows = _covered(window.y1, window.y2, int(box.y1), int(box.y2))
    return placed[..., 0] * np.outer(rows, columns).astype(np.float32), box


def normalise_mask(mask: Any, size: Size) -> Mask:
    """A mask of any kind for a picture of ``size``, as float32 0..1 with shape (h, w) or (F, h, w).

    The mask can be an array or a torch tensor; None is a full mask (h, w). Booleans and integers 0 and 1 count as 0 and
    1; uint8 0..255 is divided by 255 (the type decides, even if all values are 0 or 1); floats are used as they are.

    Raises :class:`~redetail.errors.RegionError` for another size or shape, NaN and values out of range.
    """
    if mask is None:
        return np.ones(size.shape, np.float32)
    array = np.asarray(mask.detach().cpu() if hasattr(mask, "detach") else mask)
    if array.ndim not in (2, 3) or array.shape[-2:] != size.shape or 0 in array.shape:
        raise RegionError(
            f"The mask has the shape {array.shape}; it must be (height, width) or (frames, height, width) "
            f"with {size.height} rows of {size.width} pixels."
        )
    return _unit_range(array)


def masks_for(masks: Mask, frames: int, *, use_maximum: bool = False) -> Mask:
    """Masks (h, w) or (M, h, w) as (1, h, w), shared by all frames, or (frames, h, w).

    M must be 1 or ``frames``. With ``use_maximum``, any other number is united into one mask that has the largest value
    of each pixel; otherwise it raises :class:`~redetail.errors.RegionError` with both counts.
    """
    stack = masks[None] if masks.ndim == 2 else masks
    if len(stack) in (1, frames):
        return stack
    if use_maximum:
        united: Mask = stack.max(axis=0, keepdims=True)
        return united
    raise RegionError(
        f"There are {len(stack)} masks for {frames} frames; give one mask for all frames or one for each frame."
    )


def _border_ramp(length: int, feather: int, before: float, after: float) -> Mask:
    """Factors 0..1 for ``length`` pixels between borders that are ``before`` and ``after`` pixels from the frame's."""
    cells = np.arange(length, dtype=np.float32) / np.float32(feather)
    first, last = (np.float32(1 - np.clip(gap / feather, 0, 1)) for gap in (before, after))
    ramp: Mask = np.minimum(np.minimum(np.maximum(cells, first), np.maximum(cells[::-1], last)), np.float32(1))
    return ramp


def _unit_range(array: NDArray[Any]) -> Mask:
    if array.dtype == np.bool_:
        return array.astype(np.float32)
    if array.dtype == np.uint8:
        return array.astype(np.float32) / np.float32(255)
    if array.dtype.kind not in "iuf":
        raise RegionError(f"The mask has the type {array.dtype}; give booleans, uint8 0..255 or floats 0..1.")
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise RegionError("The mask contains values that are not finite (NaN or infinity); give values from 0 to 1.")
    if low < -_EXCESS or high > 1 + _EXCESS:
        raise RegionError(f"The mask has values from {low:g} to {high:g}; give floats 0..1 or uint8 0..255.")
    return np.asarray(np.clip(array, 0, 1), np.float32)


def _kernel_width(feather: int, shorter: int) -> int:
    """Taps of the blur for a picture whose shorter side has this length; below 3, there is no blur."""
    taps = 2 * feather + 1
    return taps if shorter > taps else shorter // 2 | 1


def _filtered(masks: Mask, down: AxisWeights, across: AxisWeights) -> Mask:
    """Apply both filters to every mask in double precision, one mask at a time to save memory."""
    flat = masks.reshape(-1, *masks.shape[-2:])
    out = np.empty((len(flat), down.count, across.count), np.float32)
    for index, mask in enumerate(flat):
        out[index] = across.columns(down.rows(mask.astype(np.float64)))
    return out.reshape(*masks.shape[:-2], down.count, across.count)


def _covered(start: float, stop: float, first: int, last: int) -> NDArray[np.float64]:
    """How much of each pixel from first to last lies between start and stop, 0..1."""
    cells = np.arange(first, last, dtype=np.float64)
    share: NDArray[np.float64] = np.clip(np.minimum(cells + 1, stop) - np.maximum(cells, start), 0.0, 1.0)
    return share
