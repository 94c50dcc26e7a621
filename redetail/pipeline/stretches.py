"""Cuts a long region into stretches. The engine gets one per call, so that memory does not grow with the clip."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from redetail.engines.base import Capabilities, Pixels
from redetail.region import Size
from redetail.settings import Settings

OVERLAP = 8
"""Number of frames that neighbouring stretches share, over which they fade into one another; the noise is
continuous."""


@dataclass(frozen=True)
class Budgets:
    """What limits the length of a stretch.

    ``stretch_pixels``: the most pixels, over all frames and including padding, that an engine takes in one call;
    ``context_length``: the length of the engine's context windows in frames (None: any); stretches should consist of
    whole windows.
    """

    stretch_pixels: int
    context_length: int | None = None

    @classmethod
    def of(cls, capabilities: Capabilities) -> Budgets:
        """The budgets that an engine states."""
        return cls(capabilities.part_pixels, capabilities.context_length)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Frames ``start`` to ``stop`` (excluded) of a region; the first ``shared`` of them are also in the previous
    stretch."""

    start: int
    stop: int
    shared: int = 0

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def added(self) -> int:
        """The number of frames that are not in the previous stretch."""
        return len(self) - self.shared

    def over(self, before: Pixels, own: Pixels, first: int = 0) -> Pixels:
        """Shared frames ``first``, ``first + 1``, ... of this stretch: a linear fade from those of the previous stretch
        (n, h, w, C) to this stretch's own."""
        position = np.arange(first + 1, first + 1 + len(own), dtype=np.float32)
        share = (position / (self.shared + 1))[:, None, None, None]
        faded: Pixels = before + share * (own - before)
        return faded


def stretches_of(frames: int, padded: Size, budgets: Budgets, settings: Settings) -> tuple[Stretch, ...]:
    """The stretches of a region whose crops have ``padded`` pixels: as few as the budgets allow."""
    most = max(2 * OVERLAP, budgets.stretch_pixels // (padded.width * padded.height))
    window = settings.context_length or budgets.context_length
    return tuple(split(frames, most, window, settings.context_overlap))


def split(frames: int, most: int, window: int | None = None, overlap: int = 0) -> list[Stretch]:
    """Stretches of at most ``most`` frames (no fewer than twice OVERLAP).

    There are as few stretches as possible, and all are equally long, because most frames of a much shorter stretch
    would be computed twice. If the engine samples in windows of ``window`` frames that share ``overlap``, all stretches
    but the last consist of whole windows, since a stretch that ends within a window computes that window's other frames
    again; the last stretch has the frames that are left, but is no shorter than a window. The engine shortens a window
    that no stretch can hold.
    """
    if frames <= most:
        return [Stretch(0, frames)]
    count = math.ceil((frames - OVERLAP) / (most - OVERLAP))
    length = math.ceil((frames + (count - 1) * OVERLAP) / count)
    if window is not None:
        length = _whole_windows(length, most, window, overlap)
    count = math.ceil((frames - OVERLAP) / (length - OVERLAP))
    least = window if window is not None and window <= most else 1
    last = min((count - 1) * (length - OVERLAP), frames - least)
    starts = [number * (length - OVERLAP) for number in range(count - 1)]
    stretches = [Stretch(start, start + length, OVERLAP if start else 0) for start in starts]
    return [*stretches, Stretch(last, frames, stretches[-1].stop - last)]


def _whole_windows(length: int, most: int, window: int, overlap: int) -> int:
    """The shortest length of whole windows that is at least ``length``, or the longest one up to ``most``; else
    ``length``."""
    step = max(1, window - overlap)
    longest = window + (most - window) // step * step
    if longest < max(window, OVERLAP + 1):
        return length
    return min(longest, window + math.ceil(max(0, length - window) / step) * step)
