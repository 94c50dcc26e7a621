"""Stretches of a long region: what the engine gets in one call, so that memory does not grow with the clip."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from redetail.engines.base import Capabilities, Pixels
from redetail.region import Size
from redetail.settings import Settings

OVERLAP = 8
"""Frames that neighbouring stretches share and fade into one another over; their noise is continuous."""


@dataclass(frozen=True)
class Budgets:
    """What bounds a stretch.

    ``stretch_pixels``: pixels of all its frames, padding included, that an engine takes in one call;
    ``context_length``: frames of the engine's context windows, which stretches should hold whole (None: any number).
    """

    stretch_pixels: int
    context_length: int | None = None

    @classmethod
    def of(cls, capabilities: Capabilities) -> Budgets:
        """The budgets that an engine states."""
        return cls(capabilities.part_pixels, capabilities.context_length)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Frames ``start`` to ``stop`` (excluded) of a region; the first ``shared`` of them are also in the stretch
    before."""

    start: int
    stop: int
    shared: int = 0

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def added(self) -> int:
        """Frames that are not in the stretch before."""
        return len(self) - self.shared

    def over(self, before: Pixels, own: Pixels, first: int = 0) -> Pixels:
        """Shared frames ``first``, ``first + 1``, ... of this stretch: from those of the stretch before (n, h, w, C) to
        its own, linearly."""
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

    As few as possible, and as long as each other: most frames of a stretch that is much shorter than the others would
    be computed twice. Where the engine samples in windows of ``window`` frames that share ``overlap``, all stretches
    but the last hold whole windows, since a stretch that ends within a window computes that window's other frames
    again; the last is as long as need be, and no shorter than a window. The engine shortens a window that no stretch
    can hold.
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
    """The nearest length of whole windows from ``length`` on, or the longest below ``most``; else ``length``."""
    step = max(1, window - overlap)
    longest = window + (most - window) // step * step
    if longest < max(window, OVERLAP + 1):
        return length
    return min(longest, window + math.ceil(max(0, length - window) / step) * step)
