"""Context windows: overlapping parts of a long clip that are short enough for motion layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redetail.errors import SettingsError
from redetail.settings import ContextBlend

Frames = slice | NDArray[np.intp]
"""Some frames of a clip, as an index into anything that exists once per frame."""


@dataclass(frozen=True, eq=False, slots=True)
class ContextWindow:
    """Frames ``start``, ``start + stride`` ... before ``stop``, and how much each counts: ``weights``, float64 0..1.

    In a closed loop, a window can reach beyond the clip: after its ``clip`` frames it continues at the first one.
    """

    start: int
    stop: int
    weights: NDArray[np.float64]
    stride: int = 1
    clip: int | None = None

    @property
    def frames(self) -> Frames:
        """The window as an index into the clip's frames, with each frame once."""
        if self.clip is None or self.stop <= self.clip:
            return slice(self.start, self.stop) if self.stride == 1 else slice(self.start, self.stop, self.stride)
        return np.arange(self.start, self.stop, self.stride) % self.clip

    def __len__(self) -> int:
        return len(self.weights)


def context_windows(
    length: int, context_length: int, overlap: int, *, stride: int = 1, loop: bool = False, blend: ContextBlend = "ramp"
) -> list[ContextWindow]:
    """Windows of ``context_length`` frames that cover ``length`` frames; neighbours share at least ``overlap``.

    Every window has the full length: the last one is moved back rather than cut short, since motion layers work best
    with the number of frames that they were trained on. A clip that is no longer than a window is a single window. The
    weights of all windows sum to one in every frame.

    ``stride``: also use windows over every 2nd, 4th ... up to every ``stride``-th frame, which see further (the uniform
    schedule of AnimateDiff's tools), if the clip is long enough for them; every stride covers all frames and counts
    equally. ``loop``: the clip's end continues at its beginning. ``blend``: within a window, all frames count equally
    ("flat"), count less towards both ends ("pyramid"), or count less only where neighbours overlap ("ramp").

    Raises :class:`~redetail.errors.SettingsError` unless length >= 1, stride >= 1 and 0 <= overlap < context_length.
    """
    _check(length, context_length, overlap, stride)
    if length <= context_length:
        return [ContextWindow(0, length, np.ones(length))]
    levels = [
        [*_level(length, context_length, overlap, step, loop=loop, blend=blend)]
        for step in (2**power for power in range(stride.bit_length()))
        if step == 1 or step * context_length <= length
    ]
    return [_scaled(window, 1 / len(levels)) for windows in levels for window in _normalised(windows, length)]


def shuffled_frames(first: int, last: int, window: int, step: int, seed: int) -> NDArray[np.intp]:
    """The frame among the first ``window`` whose noise each of the frames ``first`` .. ``last`` (excluded) gets.

    FreeNoise (Qiu et al. 2023, arXiv:2310.15169, section 3.2): the first window has its own noise; each following group
    of ``step`` frames (window - overlap) takes the noise of the frames ``window`` earlier, in another order. So all
    windows see the same noise in different orders, and distant frames agree. The order depends only on the seed.
    """
    source = np.arange(max(last, window), dtype=np.intp)
    for number, start in enumerate(range(window, last, step)):
        # Sorted random numbers rather than a permutation: their stream is the same in every version of NumPy.
        order = np.argsort(np.random.default_rng((seed, number)).random(step), kind="stable")
        stop = min(start + step, len(source))
        source[start:stop] = source[start - window + order][: stop - start]
    return source[first:last]


def _check(length: int, context_length: int, overlap: int, stride: int) -> None:
    if length < 1:
        raise SettingsError(f"A clip needs at least one frame, not {length}.")
    if stride < 1:
        raise SettingsError(f"context-stride is {stride}; it must be at least 1.")
    if not 0 <= overlap < context_length:
        raise SettingsError(
            f"context-overlap is {overlap} and context-length is {context_length}; the overlap must be at least 0 and "
            "smaller than the length."
        )


def _level(
    length: int, context_length: int, overlap: int, stride: int, *, loop: bool, blend: ContextBlend
) -> list[ContextWindow]:
    """Windows over every ``stride``-th frame, with one row of them for each starting frame; weights are not
    normalised."""
    windows = []
    for phase in range(stride):
        count = len(range(phase, length, stride))
        starts = _around(count, context_length - overlap) if loop else _along(count, context_length, overlap)
        for number, start in enumerate(starts):
            weights = _weights(starts, number, context_length, count if loop else None, blend)
            begin = phase + start * stride
            end = begin + (context_length - 1) * stride + 1
            windows.append(ContextWindow(begin, end, weights, stride, length))
    return windows


def _along(count: int, context_length: int, overlap: int) -> list[int]:
    """Where windows start in a row of frames with two ends."""
    last = count - context_length
    return [*range(0, last, context_length - overlap), last]


def _around(count: int, step: int) -> list[int]:
    """Where windows start in a ring of frames: evenly, at most ``step`` apart."""
    windows = -(-count // step)
    return [number * count // windows for number in range(windows)]


def _weights(
    starts: Sequence[int], number: int, context_length: int, ring: int | None, blend: ContextBlend
) -> NDArray[np.float64]:
    """Unnormalised weights (context_length,) of one window of a row or of a ring of ``ring`` frames."""
    position = np.arange(1, context_length + 1, dtype=np.float64)
    if blend == "flat":
        return np.ones(context_length)
    if blend == "pyramid":
        return np.minimum(position, position[::-1])
    before, after = (_shared(starts, number, side, context_length, ring) for side in (-1, 1))
    ramps: NDArray[np.float64] = np.minimum(position / (before + 1), position[::-1] / (after + 1))
    return np.minimum(1.0, ramps)


def _shared(starts: Sequence[int], number: int, side: int, context_length: int, ring: int | None) -> int:
    """The number of frames that a window shares with its neighbour before (-1) or after (1) it."""
    neighbour = number + side
    if ring is not None:
        if len(starts) == 1:
            return max(0, context_length - ring)
        apart = (starts[neighbour % len(starts)] - starts[number]) * side % ring
    elif 0 <= neighbour < len(starts):
        apart = abs(starts[neighbour] - starts[number])
    else:
        return 0
    return max(0, context_length - apart)


def _normalised(windows: list[ContextWindow], length: int) -> list[ContextWindow]:
    """The same windows with weights that sum to one in every frame."""
    total = np.zeros(length)
    for window in windows:
        total[window.frames] += window.weights
    return [ContextWindow(w.start, w.stop, w.weights / total[w.frames], w.stride, w.clip) for w in windows]


def _scaled(window: ContextWindow, factor: float) -> ContextWindow:
    return ContextWindow(window.start, window.stop, window.weights * factor, window.stride, window.clip)
