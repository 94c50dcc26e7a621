"""Context windows: a long clip as overlapping runs of frames that motion layers can take at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redetail.errors import SettingsError


@dataclass(frozen=True, eq=False, slots=True)
class ContextWindow:
    """Frames ``start`` to ``stop`` (exclusive) and how much each counts, ``weights`` (stop - start,) float64, 0..1."""

    start: int
    stop: int
    weights: NDArray[np.float64]

    @property
    def frames(self) -> slice:
        """The window as an index into the clip's frames."""
        return slice(self.start, self.stop)

    def __len__(self) -> int:
        return self.stop - self.start


def context_windows(length: int, context_length: int, overlap: int) -> list[ContextWindow]:
    """Windows of ``context_length`` frames that cover ``length`` frames; neighbours share at least ``overlap``.

    Each window has full length: the last one is moved back, not cut short, since motion layers work best with the
    number of frames that they were trained on. A clip no longer than a window is one window. The weights of all windows
    sum to one in every frame and fall off linearly where windows overlap, so that no window's edge shows.

    Raises :class:`~redetail.errors.SettingsError` unless length >= 1 and 0 <= overlap < context_length.
    """
    if length < 1:
        raise SettingsError(f"A clip needs at least one frame, not {length}.")
    if not 0 <= overlap < context_length:
        raise SettingsError(
            f"context-overlap is {overlap} with windows of {context_length} frames; it must be at least 0 and smaller "
            "than the window."
        )
    spans = _spans(length, context_length, overlap)
    raw = [_ramps(spans, index) for index in range(len(spans))]
    total = np.zeros(length)
    for (start, stop), weights in zip(spans, raw, strict=True):
        total[start:stop] += weights
    return [
        ContextWindow(start, stop, weights / total[start:stop])
        for (start, stop), weights in zip(spans, raw, strict=True)
    ]


def _spans(length: int, context_length: int, overlap: int) -> list[tuple[int, int]]:
    if length <= context_length:
        return [(0, length)]
    last = length - context_length
    starts = [*range(0, last, context_length - overlap), last]
    return [(start, start + context_length) for start in starts]


def _ramps(spans: list[tuple[int, int]], index: int) -> NDArray[np.float64]:
    """Unnormalised weights: one, with a linear ramp over the frames shared with each neighbour."""
    start, stop = spans[index]
    shared_before = max(0, spans[index - 1][1] - start) if index > 0 else 0
    shared_after = max(0, stop - spans[index + 1][0]) if index + 1 < len(spans) else 0
    position = np.arange(1, stop - start + 1, dtype=np.float64)
    rising = position / (shared_before + 1)
    falling = position[::-1] / (shared_after + 1)
    weights: NDArray[np.float64] = np.minimum(1.0, np.minimum(rising, falling))
    return weights
