"""Dense optical flow between two pictures: where every pixel came from."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.imaging.resample import from_float
from redetail.optional import require

Flow = NDArray[np.float32]


def dense_flow(first: NDArray[Any], second: NDArray[Any]) -> Flow:
    """Displacements (h, w, 2) in pixels (x, y): what is at p in ``first`` is at p + flow[p] in ``second``.

    Pictures are (h, w, 3) RGB of equal size, uint8, uint16 or float 0..1, at least 16 pixels per side (smaller ones
    give no motion). Dense inverse search (Kroeger et al. 2016), the medium preset. Raises
    :class:`~redetail.errors.DependencyError` without OpenCV.
    """
    cv2 = require("cv2")
    height, width = first.shape[:2]
    if min(height, width) < 16:
        return np.zeros((height, width, 2), np.float32)
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(search.calc(_grey(cv2, first), _grey(cv2, second), None), np.float32)


def small(picture: NDArray[Any], longest: int | None) -> NDArray[Any]:
    """The picture (h, w, 3) with at most ``longest`` pixels per side; each is the mean of the pixels that it
    replaces."""
    height, width = picture.shape[:2]
    if longest is None or max(height, width) <= longest:
        return picture
    cv2 = require("cv2")
    ratio = longest / max(height, width)
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def enlarged(flow: Flow, trusted: NDArray[np.bool_], shape: tuple[int, int]) -> tuple[Flow, NDArray[np.bool_]]:
    """A flow (h, w, 2) of smaller pictures, and where it can be trusted (h, w), for pictures of ``shape`` (H, W)."""
    height, width = flow.shape[:2]
    if (height, width) == shape:
        return flow, trusted
    cv2 = require("cv2")
    grown = cv2.resize(flow, shape[::-1], interpolation=cv2.INTER_LINEAR)
    certain = cv2.resize(trusted.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(grown * np.array([shape[1] / width, shape[0] / height], np.float32), np.float32), certain > 0


def warp(picture: NDArray[Any], flow: Flow, *, cubic: bool = False) -> NDArray[np.float32]:
    """The picture (h, w) or (h, w, C) sampled at p + flow[p], bilinear or bicubic, as float32 in its own range.

    With ``flow = dense_flow(now, before)``, ``warp(before, flow)`` is what ``now`` should look like. Outside the
    picture its border repeats.
    """
    cv2 = require("cv2")
    x, y = _positions(flow)
    kernel = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    values = picture.astype(np.float32, copy=False)
    return np.asarray(cv2.remap(values, x, y, kernel, borderMode=cv2.BORDER_REPLICATE), np.float32)


def occluded(forward: Flow, backward: Flow) -> NDArray[np.bool_]:
    """Where ``forward`` (h, w, 2) cannot be trusted, because ``backward`` does not lead back, or it leaves the picture.

    The test of Sundaram et al. 2010: \\|f + b\\|² > 0.01 (\\|f\\|² + \\|b\\|²) + 0.5, b sampled where f leads.
    """
    height, width = forward.shape[:2]
    returned = warp(backward, forward)
    mismatch = ((forward + returned) ** 2).sum(axis=-1)
    limit = 0.01 * ((forward**2).sum(axis=-1) + (returned**2).sum(axis=-1)) + 0.5
    x, y = _positions(forward)
    outside = (x < 0) | (y < 0) | (x > width - 1) | (y > height - 1)
    return np.asarray((mismatch > limit) | outside)


def _positions(flow: Flow) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """x and y (h, w) of the positions to which the flow leads, in pixel indices."""
    height, width = flow.shape[:2]
    y, x = np.indices((height, width), np.float32)
    return x + flow[..., 0], y + flow[..., 1]


def _grey(cv2: ModuleType, picture: NDArray[Any]) -> NDArray[np.uint8]:
    if picture.dtype == np.uint16:
        picture = (picture >> 8).astype(np.uint8)
    elif picture.dtype != np.uint8:
        picture = from_float(picture, np.uint8)
    grey: NDArray[np.uint8] = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
    return grey
