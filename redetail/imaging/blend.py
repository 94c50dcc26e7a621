"""Pastes a crop into a frame under a soft mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.errors import RegionError
from redetail.region import Box

Pixels = NDArray[np.float32]


def paste(frame: NDArray[Any], crop: Pixels, mask: NDArray[np.float32], box: Box) -> NDArray[Any]:
    """A new frame: (1 - mask) * frame + mask * crop inside ``box``; the given frame is not changed.

    ``frame`` (H, W, C) uint8, uint16 or float 0..1; ``crop`` (h, w, C) float 0..1 and ``mask`` (h, w) float 0..1 of
    the box's size, as :func:`~redetail.imaging.resample.place` and :func:`~redetail.imaging.masks.place_mask` return
    them. Integer depths round half to even; pixels whose mask is zero keep their bits, whatever the crop holds.

    Raises :class:`~redetail.errors.RegionError` if sizes do not agree, the box leaves the frame or lies between
    pixels, or the crop is not finite under the mask.
    """
    rows, columns = _window(frame, crop, mask, box)
    peak, alpha = _peak(frame.dtype), mask[..., None].astype(np.float32)
    blended = (1 - alpha) * frame[rows, columns] + alpha * (crop * peak)
    return _replaced(frame, rows, columns, blended, alpha)


def paste_change(frame: NDArray[Any], change: Pixels, mask: NDArray[np.float32], box: Box) -> NDArray[Any]:
    """A new frame: frame + mask * change inside ``box``, limited to the frame's range.

    ``change`` is the placed difference between the result and the crop that it was made from. Where nothing changed,
    the frame keeps its bits, even if the window lies between pixels, because the frame itself is not resampled.
    Arguments and errors as in :func:`paste`.
    """
    rows, columns = _window(frame, change, mask, box)
    peak, alpha = _peak(frame.dtype), mask[..., None].astype(np.float32)
    return _replaced(frame, rows, columns, frame[rows, columns] + alpha * (change * peak), alpha)


@dataclass(frozen=True)
class Layer:
    """A change (h, w, C) to a frame, positive or negative, under its mask (h, w) 0..1, over the whole pixels of
    ``box``."""

    change: Pixels
    mask: NDArray[np.float32]
    box: Box


def composited(layers: Sequence[Layer]) -> Sequence[Layer]:
    """The same changes as layers whose masks do not overlap; the order of the layers does not matter.

    Where masks overlap, changes add up, limited to a weighted mean: each counts by its mask and by how much it changes.
    So a layer that changes nothing takes nothing from another, two halves make a whole, and two equal changes count as
    one. Masks that do not overlap are returned as they are.
    """
    if len(layers) < 2:
        return layers
    whole = reduce(Box.union, (layer.box for layer in layers))
    shape = int(whole.height), int(whole.width)
    total = np.zeros((*shape, layers[0].change.shape[-1]), np.float32)
    covered, weight, strongest = (np.zeros(shape, np.float32) for _ in range(3))
    for layer in layers:
        inside = _slices(layer.box, whole)
        strength = np.abs(layer.change).max(axis=-1) * (layer.mask > 0)
        total[inside] += layer.mask[..., None] * layer.change
        weight[inside] += layer.mask * strength
        covered[inside] += layer.mask > 0
        strongest[inside] = np.maximum(strongest[inside], strength)
    if covered.max() <= 1:
        return layers
    # Masks that sum to more than 1 are reduced, each in proportion to its change relative to the strongest.
    excess: Pixels = np.maximum(1, np.divide(weight, strongest, out=np.ones_like(weight), where=strongest > 0))
    total /= excess[..., None]
    return [Layer(total, (covered > 0).astype(np.float32), whole)]


def _slices(box: Box, whole: Box) -> tuple[slice, slice]:
    """Rows and columns of a box inside the one around it."""
    y, x = int(box.y1 - whole.y1), int(box.x1 - whole.x1)
    return slice(y, y + int(box.height)), slice(x, x + int(box.width))


def _replaced(
    frame: NDArray[Any], rows: slice, columns: slice, blended: Pixels, alpha: NDArray[np.float32]
) -> NDArray[Any]:
    """A copy of the frame with the blended values (in the frame's own range) where alpha is above zero."""
    pasted = frame.copy()
    finite = bool(np.isfinite(blended).all())
    if finite and frame.dtype.kind == "u":  # where alpha is zero this writes the frame's own integers back
        pasted[rows, columns] = _to_depth(blended, frame.dtype)
        return pasted
    changed = np.broadcast_to(alpha > 0, blended.shape)
    if not finite and not np.isfinite(blended[changed]).all():
        raise RegionError("The crop to paste contains values that are not finite (NaN or infinity).")
    np.copyto(pasted[rows, columns], _to_depth(np.where(changed, blended, 0), frame.dtype), where=changed)
    return pasted


def _window(frame: NDArray[Any], crop: Pixels, mask: NDArray[np.float32], box: Box) -> tuple[slice, slice]:
    """Rows and columns of the box; raises if frame, crop, mask and box do not fit each other."""
    height, width = frame.shape[:2]
    if any(side != int(side) for side in box.as_tuple()):
        raise RegionError(
            f"The corners of the box {box.as_tuple()} are not whole numbers; place the crop on whole pixels first."
        )
    if box.x1 < 0 or box.y1 < 0 or box.x2 > width or box.y2 > height:
        raise RegionError(f"The box {box.as_tuple()} extends beyond the {width}x{height}-pixel frame.")
    shape = int(box.height), int(box.width)
    if crop.shape != (*shape, frame.shape[2]) or mask.shape != shape:
        raise RegionError(
            f"A crop of shape {crop.shape} and a mask of shape {mask.shape} do not match a "
            f"{shape[1]}x{shape[0]}-pixel box in a frame of shape {frame.shape}."
        )
    return slice(int(box.y1), int(box.y2)), slice(int(box.x1), int(box.x2))


def _peak(dtype: np.dtype[Any]) -> np.float32:
    """The value of white."""
    return np.float32(np.iinfo(dtype).max if dtype.kind == "u" else 1)


def _to_depth(values: Pixels, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Finite values in the depth's own range: limited to it, and rounded half to even for integers."""
    limited = np.clip(values, 0, _peak(dtype))
    return (np.rint(limited, out=limited) if dtype.kind == "u" else limited).astype(dtype)
