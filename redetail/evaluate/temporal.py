"""Figures over time: flicker, untouched pixels, jitter of the window.

Each meter takes a clip frame by frame and keeps at most one frame.

Differences are in 8-bit levels (0..255), whatever the depth of the frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.errors import InputError
from redetail.imaging.flow import dense_flow, enlarged, occluded, small, warp
from redetail.imaging.resample import to_float
from redetail.region import Box, Size

_MARGIN = 24  # pixels around the subject that the flow sees, so that whatever moves in or out has a counterpart
FEWEST = 2
"""The fewest pairs of neighbouring frames for a ratio: a single pair says little."""


@dataclass(frozen=True, slots=True)
class TemporalFigures:
    """What changes between neighbouring frames once motion is removed, in the source and in the output.

    ``source`` and ``output``: mean absolute difference in levels (0..255); ``source_mse`` and ``output_mse``: mean
    squared difference; ``source_detail`` and ``output_detail``: mean absolute difference between neighbouring pixels of
    a frame. These are None if nothing could be compared. ``frames``: the number of pairs of frames that were compared;
    ``pixels``: the number of pixels that were compared in all of them.
    """

    frames: int
    pixels: int
    source: float | None
    output: float | None
    source_mse: float | None
    output_mse: float | None
    source_detail: float | None
    output_detail: float | None

    @property
    def ratio(self) -> float | None:
        """The output's mean absolute difference divided by the source's; 1 is as calm as the source. None if the source
        stands still, and for fewer than ``FEWEST`` pairs of frames, which say nothing about a clip."""
        if self.frames < FEWEST or not self.source or self.output is None:
            return None
        return self.output / self.source

    @property
    def ratio_per_detail(self) -> float | None:
        """The ratio divided by the gain in detail, which removes the effect of sharpness itself.

        No flow is exact, so even a steady picture shows more difference the more detail it has: a clip measured against
        its own blurred copy has a ratio of 1.6 to 1.8 without any flicker.
        """
        if self.ratio is None or not self.source_detail or not self.output_detail:
            return None
        return self.ratio * self.source_detail / self.output_detail


class SourceMotion:
    """The optical flow of a source from each frame to the previous one, along which several outputs are judged.

    ``longest``: the flow is computed on pictures with at most this many pixels per side (None: any number).
    """

    def __init__(self, longest: int | None = None) -> None:
        self._longest = longest
        self._of: tuple[int, tuple[slice, slice]] | None = None
        self._motion: tuple[NDArray[np.float32], NDArray[np.bool_]] | None = None

    def between(
        self, index: int, area: tuple[slice, slice], now: NDArray[Any], before: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Flow (h, w, 2) from ``now``, which is frame ``index`` under ``area``, to ``before``, and where it can be
        trusted."""
        shape = now.shape[0], now.shape[1]
        if self._motion is None or self._of != (index, area):
            now, before = small(now, self._longest), small(before, self._longest)
            flow = dense_flow(now, before)
            trusted = ~occluded(flow, dense_flow(before, now))
            self._of, self._motion = (index, area), enlarged(flow, trusted, shape)
        return self._motion


class WarpedError:
    """Flicker of one subject: frame t compared with frame t-1 moved along the optical flow (Lai et al. 2018).

    The flow is computed on the source, so that source and output are judged along the same motion. Pixels without a
    counterpart (occluded, or just come into view) are left out. ``motion``: shared by the outputs of one source.
    """

    def __init__(self, motion: SourceMotion | None = None) -> None:
        self._motion = motion or SourceMotion()
        self._previous: tuple[int, NDArray[Any], NDArray[Any], Box] | None = None
        self._frames = self._pixels = 0
        self._sums = np.zeros((2, 3))  # (source, output) x (absolute, squared, detail)

    def add(
        self,
        index: int,
        source: NDArray[Any],
        output: NDArray[Any],
        box: Box,
        mask: NDArray[np.float32] | None = None,
    ) -> TemporalFigures | None:
        """Take frame ``index``: (H, W, 3) pictures of the same size, and the subject's box in them.

        ``mask`` (H, W) restricts the figures to pixels above one half. A frame whose predecessor was not given is only
        remembered. Returns the figures of just this frame and its predecessor, or None if it has no predecessor. Raises
        :class:`~redetail.errors.InputError` if the pictures differ in size.
        """
        if source.shape != output.shape:
            raise InputError(f"The source and the output differ in size: {source.shape} and {output.shape}.")
        previous, self._previous = self._previous, (index, source, output, box)
        if previous is None or previous[0] != index - 1 or previous[1].shape != source.shape:
            return None
        area = _area(box, previous[3], Size(source.shape[1], source.shape[0]))
        inside = _inside(box, source.shape[:2]) if mask is None else _inside(box, source.shape[:2]) & (mask > 0.5)
        if area is None:
            return None
        rows, columns = area
        now, before = (source[rows, columns], output[rows, columns]), (previous[1], previous[2])
        last = before[0][rows, columns], before[1][rows, columns]
        flow, trusted = self._motion.between(index, area, now[0], last[0])
        return self._compare(now, last, flow, inside[rows, columns] & trusted)

    @property
    def figures(self) -> TemporalFigures:
        """The figures of all frames so far."""
        return _figures(self._frames, self._pixels, self._sums)

    def _compare(
        self,
        now: tuple[NDArray[Any], NDArray[Any]],
        before: tuple[NDArray[Any], NDArray[Any]],
        flow: NDArray[np.float32],
        valid: NDArray[np.bool_],
    ) -> TemporalFigures | None:
        if not valid.any():
            return None
        pair, pixels = np.zeros_like(self._sums), int(valid.sum())
        for sums, current, last in zip(pair, now, before, strict=True):
            values = to_float(current) * 255
            difference = (values - warp(to_float(last) * 255, flow))[valid].astype(np.float64)
            gradient = _gradient(values)[valid]
            totals = np.abs(difference).sum(), np.square(difference).sum(), gradient.sum(dtype=np.float64)
            sums += np.array(totals) / difference.shape[-1]
        self._sums += pair
        self._frames += 1
        self._pixels += pixels
        return _figures(1, pixels, pair)


def _figures(frames: int, pixels: int, sums: NDArray[np.float64]) -> TemporalFigures:
    """Means of sums of (source, output) x (absolute, squared, detail) over pixels."""
    if not pixels:
        return TemporalFigures(0, 0, *[None] * 6)
    return TemporalFigures(frames, pixels, *(sums / pixels).T.ravel().tolist())


class UntouchedCheck:
    """Counts pixels that changed although nothing was pasted there."""

    def __init__(self) -> None:
        self.frames = 0
        self.differing = 0

    def add(self, source: NDArray[Any], output: NDArray[Any], touched: NDArray[np.bool_]) -> None:
        """Take one frame: the pictures (H, W, C) before and after, and a mask (H, W) of where something was pasted.

        Raises :class:`~redetail.errors.InputError` if sizes or depths differ.
        """
        if source.shape != output.shape or source.dtype != output.dtype or touched.shape != source.shape[:2]:
            raise InputError(
                f"The source (shape {source.shape}, {source.dtype}), the output (shape {output.shape}, {output.dtype}) "
                f"and the mask (shape {touched.shape}) of a frame differ in size or depth."
            )
        self.frames += 1
        if output is source:
            return
        # Channel by channel: any() along so short an axis takes twenty times as long.
        changed = [source[..., c] != output[..., c] for c in range(source.shape[-1])]
        self.differing += int(np.count_nonzero(np.logical_or.reduce(changed) & ~touched))


@dataclass(frozen=True, slots=True)
class Jitter:
    """How unsteadily a window and the subject's own box move: root mean square acceleration of their centres.

    In pixels per frame squared; 0 for a window that stands still or moves at constant velocity, and for fewer than 3
    frames.
    """

    window: float
    box: float

    @property
    def ratio(self) -> float | None:
        """The window's jitter divided by the box's; None if the box moves at constant velocity."""
        return self.window / self.box if self.box > 0 else None


def window_jitter(path: NDArray[np.float64], boxes: NDArray[np.float64]) -> Jitter:
    """Jitter of a window whose corners are ``path`` (F, 2), around boxes (F, 4) x1, y1, x2, y2."""
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    return Jitter(_acceleration(path), _acceleration(centers))


def _acceleration(points: NDArray[np.float64]) -> float:
    second = np.diff(points, n=2, axis=0)
    return float(np.sqrt(np.square(second).sum(axis=1).mean())) if len(second) else 0.0


def _area(box: Box, before: Box, frame: Size) -> tuple[slice, slice] | None:
    """Rows and columns of both boxes and a margin; None if they lie outside the frame."""
    both = box.union(before)
    wide = Box(both.x1 - _MARGIN, both.y1 - _MARGIN, both.x2 + _MARGIN, both.y2 + _MARGIN).clipped(frame)
    if wide is None:
        return None
    return slice(int(wide.y1), int(np.ceil(wide.y2))), slice(int(wide.x1), int(np.ceil(wide.x2)))


def _gradient(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much each value (h, w, C) differs from the values to its left and above it, averaged."""
    left = np.abs(np.diff(values, axis=1, prepend=values[:, :1]))
    above = np.abs(np.diff(values, axis=0, prepend=values[:1]))
    return np.asarray((left + above) / 2)


def _inside(box: Box, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Mask (H, W) of the pixels whose centre lies in the box."""
    rows, columns = np.arange(shape[0]) + 0.5, np.arange(shape[1]) + 0.5
    return np.logical_and.outer((rows >= box.y1) & (rows < box.y2), (columns >= box.x1) & (columns < box.x2))
