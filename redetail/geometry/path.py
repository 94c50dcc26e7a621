"""Smooths boxes over time, and computes the path of a crop window of constant size.

Smoothing is local linear regression with Gaussian weights (Cleveland 1979; Fan and Gijbels 1996), which looks as far
ahead as back: motion at constant velocity is unchanged, without lag, even at the ends. Outliers are found with Hampel's
rule (Hampel 1974) and get no weight; neither do frames without a detection.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from redetail.errors import RegionError, SettingsError
from redetail.region import Size

Floats = NDArray[np.float64]

BOX_SIGMA = 2.0
"""Smoothing of a subject's centre, in frames (standard deviation): follows a nodding head, removes detector noise."""
SIZE_SIGMA = 6.0
"""Smoothing of a subject's width and height, in frames: heads move quickly, but change their size slowly."""
WINDOW_SIGMA = 8.0
"""Smoothing of the window, in frames: the subject may move inside it, so it can be calmer than the subject."""
STILL = 0.06
"""A window whose centre would move by less than this share of its side does not move."""
SIZE_PERCENTILE = 95.0


def smoothed(values: Floats, sigma: float, weights: Floats | None = None) -> Floats:
    """``values`` (F, C) smoothed along time by local linear regression; the result has the same shape.

    ``sigma`` is the standard deviation of the Gaussian in frames; 0 changes nothing. ``weights`` (F,) >= 0: the weight
    of each frame; where no frame in reach has weight, the result is interpolated linearly (held constant at the ends).
    """
    if not (sigma >= 0 and math.isfinite(sigma)):
        raise SettingsError(f"The smoothing is {sigma} frames; it must be 0 or more.")
    weights = np.ones(len(values)) if weights is None else weights
    filled = _filled(values, weights > 0)
    if sigma == 0 or len(values) < 3:
        return filled
    reach = math.ceil(4 * sigma)
    offsets = np.arange(-reach, reach + 1, dtype=np.float64)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    # Filled-in frames get a little weight: they keep the regression determined in long gaps and do not matter in short
    # ones.
    weights = np.maximum(weights, 1e-3)
    s0, s1, s2 = (_correlated(weights, kernel * offsets**power) for power in range(3))
    spread = s0 * s2 - s1**2
    columns = []
    for column in filled.T:
        t0, t1 = (_correlated(weights * column, kernel * offsets**power) for power in range(2))
        columns.append((s2 * t0 - s1 * t1) / spread)
    return np.stack(columns, axis=1)


def outliers(values: Floats, *, reach: int = 3, limit: float = 4.0, floor: float = 0.0) -> NDArray[np.bool_]:
    """Which of ``values`` (F,) lie more than ``limit`` robust standard deviations from the median of their
    neighbours (``reach`` on each side, 1.4826 times the median absolute deviation, at least ``floor``)."""
    if len(values) < 2 * reach + 1:
        return np.zeros(len(values), dtype=bool)
    windows = np.lib.stride_tricks.sliding_window_view(values, 2 * reach + 1)
    # Near an end the window is one-sided, so its median is biased for a moving subject; nothing counts as an outlier
    # there.
    medians = np.median(windows, axis=1)
    deviation = 1.4826 * np.median(np.abs(windows - medians[:, None]), axis=1)
    found = np.zeros(len(values), dtype=bool)
    found[reach : len(values) - reach] = np.abs(values[reach : len(values) - reach] - medians) > limit * np.maximum(
        deviation, floor
    )
    return found


def smoothed_boxes(
    boxes: Floats,
    detected: NDArray[np.bool_] | None = None,
    *,
    sigma: float = BOX_SIGMA,
    size_sigma: float = SIZE_SIGMA,
) -> Floats:
    """Boxes (F, 4) x1, y1, x2, y2 whose centres are smoothed over ``sigma`` frames and sizes over ``size_sigma``.

    Frames that are not ``detected`` (F,), and boxes that jump away for a moment, do not count.
    """
    centers, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    trusted = np.ones(len(boxes), dtype=bool) if detected is None else detected.copy()
    floor = 0.04 * float(np.median(sizes))
    for column in (*centers.T, *sizes.T):
        trusted &= ~outliers(column, floor=floor)
    weights = trusted.astype(np.float64)
    centers = smoothed(centers, sigma, weights)
    sizes = np.maximum(smoothed(sizes, size_sigma, weights), 1e-3)
    return np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)


def clipped_boxes(boxes: Floats, frame: Size) -> Floats:
    """Boxes (F, 4) with the parts outside the frame cut off; a box that lies outside is left with no area."""
    limits = np.array([frame.width, frame.height] * 2, dtype=np.float64)
    return np.clip(boxes, 0.0, limits)


def check_crop_factor(crop_factor: float) -> None:
    """Raise SettingsError unless the window is at least as large as the subject."""
    if not (crop_factor >= 1 and math.isfinite(crop_factor)):
        raise SettingsError(f"crop-factor is {crop_factor}; it must be at least 1.")


def window_size(boxes: Floats, frame: Size, crop_factor: float) -> Size:
    """The window size for all boxes (F, 4) inside the frame: ``crop_factor`` times a high percentile of their sides,
    but no smaller than the largest box and no larger than the frame.

    A subject that comes much nearer does not get two windows: the joint between them could be visible, while a window
    that is too large for some frames only costs detail in those. Raises SettingsError for a crop_factor below 1.
    """
    check_crop_factor(crop_factor)
    sides = boxes[:, 2:] - boxes[:, :2]
    wanted = np.maximum(crop_factor * np.percentile(sides, SIZE_PERCENTILE, axis=0), sides.max(axis=0))
    width, height = (max(1, math.ceil(side - 1e-6)) for side in wanted)
    return Size(min(width, frame.width), min(height, frame.height))


def window_path(boxes: Floats, size: Size, frame: Size, *, sigma: float = WINDOW_SIGMA) -> Floats:
    """Top left corners (F, 2) of a window of this size that follows boxes (F, 4), all of which lie inside the frame.

    The window is always inside the frame, and every box inside the window (both exactly). At the frame's edge the
    window slows down instead of stopping abruptly. If it would hardly move, it stays at a whole pixel throughout, so
    that nothing is resampled. Raises RegionError if a box does not fit.
    """
    sides = np.array([size.width, size.height], dtype=np.float64)
    ends = np.array([frame.width, frame.height], dtype=np.float64) - sides
    lowest = np.maximum(boxes[:, 2:] - sides, 0.0)
    highest = np.minimum(boxes[:, :2], ends)
    if (ends < 0).any() or (lowest > highest + 1e-6).any():
        raise RegionError(f"A {size}-pixel window in a {frame}-pixel frame cannot contain every box of its subject.")
    highest = np.maximum(highest, lowest)
    wanted = (boxes[:, :2] + boxes[:, 2:] - sides) / 2
    columns = [_axis_path(wanted[:, i], lowest[:, i], highest[:, i], STILL * sides[i], sigma) for i in range(2)]
    return np.stack(columns, axis=1)


def _axis_path(wanted: Floats, lowest: Floats, highest: Floats, still: float, sigma: float) -> Floats:
    """One coordinate of the path, between ``lowest`` and ``highest`` in every frame.

    Clipping leaves kinks, and smoothing crosses the bounds. Alternating the two, ever more finely, gives a path that
    lies inside the bounds and bends before it meets one (projections onto convex sets).
    """
    path = np.clip(smoothed(wanted[:, None], sigma)[:, 0], lowest, highest)
    low, high = float(lowest.max()), float(highest.min())
    if np.ptp(path) <= still and low <= high:
        return np.full(len(path), _resting_place(float(np.median(path)), low, high))
    for finer in (1, 2, 4):
        calm = smoothed(path[:, None], sigma / finer)[:, 0]
        path = np.clip(calm, lowest, highest)
        if (path == calm).all():
            break
    return path


def _resting_place(wanted: float, low: float, high: float) -> float:
    """The whole number in low..high nearest to ``wanted``; if there is none, the nearest value."""
    whole = min(max(round(wanted), math.ceil(low)), math.floor(high))
    return float(whole) if low <= whole <= high else min(max(wanted, low), high)


def _filled(values: Floats, known: NDArray[np.bool_]) -> Floats:
    """Values (F, C) with the unknown frames interpolated; unchanged if no frame is known."""
    if known.all() or not known.any():
        return np.array(values, dtype=np.float64)
    frames = np.arange(len(values))
    return np.stack([np.interp(frames, frames[known], column[known]) for column in values.T], axis=1)


def _correlated(values: Floats, kernel: Floats) -> Floats:
    """Sum over k of values[i + k] * kernel[k], with values of 0 beyond the ends."""
    reach = len(kernel) // 2
    result: Floats = np.convolve(values, kernel[::-1])[reach : reach + len(values)]
    return result
