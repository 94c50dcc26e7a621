"""Parts of a long segment: what the engine gets in one call, so that memory does not grow with the clip."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from redetail.engines.base import Capabilities, Pixels
from redetail.pipeline.plan import CropPlan
from redetail.settings import Settings

# Parts overlap by so many frames and fade into one another; their noise is continuous.
PART_OVERLAP = 8


class Part(NamedTuple):
    """Frames ``start`` to ``stop`` (excluded) of a region; the first ``shared`` of them are in the part before too."""

    start: int
    stop: int
    shared: int = 0

    def over(self, before: Pixels, own: Pixels) -> Pixels:
        """The shared frames: from those of the part before (shared, h, w, C) to this part's own, linearly."""
        share = (np.arange(1, self.shared + 1, dtype=np.float32) / (self.shared + 1))[:, None, None, None]
        faded: Pixels = before + share * (own - before)
        return faded


def parts_of(crop: CropPlan, capabilities: Capabilities, settings: Settings) -> list[Part]:
    """The parts of a region, as few as its size and ``capabilities.part_pixels`` allow."""
    padded = crop.padding.padded(crop.working)
    most = max(2 * PART_OVERLAP, capabilities.part_pixels // (padded.width * padded.height))
    window = settings.context_length or capabilities.context_length
    return split(len(crop.region), most, window, settings.context_overlap)


def split(frames: int, most: int, window: int | None = None, overlap: int = 0) -> list[Part]:
    """Parts of at most ``most`` frames (no fewer than twice PART_OVERLAP).

    As few as possible, and as long as each other: of a part that is much shorter than the others most would be frames
    that another has computed already. Where the engine samples in windows of ``window`` frames that share ``overlap``,
    all parts but the last hold whole windows, since a part that ends within a window computes that window's other
    frames once more; the last is as long as need be, and no shorter than a window. A window that no part
    can hold is the engine's to shorten.
    """
    if frames <= most:
        return [Part(0, frames)]
    count = math.ceil((frames - PART_OVERLAP) / (most - PART_OVERLAP))
    length = math.ceil((frames + (count - 1) * PART_OVERLAP) / count)
    if window is not None:
        length = _whole_windows(length, most, window, overlap)
    count = math.ceil((frames - PART_OVERLAP) / (length - PART_OVERLAP))
    least = window if window is not None and window <= most else 1
    last = min((count - 1) * (length - PART_OVERLAP), frames - least)
    starts = [number * (length - PART_OVERLAP) for number in range(count - 1)]
    parts = [Part(start, start + length, PART_OVERLAP if start else 0) for start in starts]
    return [*parts, Part(last, frames, parts[-1].stop - last)]


def _whole_windows(length: int, most: int, window: int, overlap: int) -> int:
    """The nearest length of whole windows from ``length`` on, or the longest below ``most``; else ``length``."""
    step = max(1, window - overlap)
    longest = window + (most - window) // step * step
    if longest < max(window, PART_OVERLAP + 1):
        return length
    return min(longest, window + math.ceil(max(0, length - window) / step) * step)
