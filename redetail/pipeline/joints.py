"""Joints: stretches of a region share frames, over which each fades into the next when their results are read."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from redetail.engines.base import Pixels
from redetail.pipeline.crop_store import StoredCrops
from redetail.pipeline.stretches import Stretch


class JoinedCrops:
    """The enhanced crops of one region, (F, h, w, 3) float32 0..1; ``results`` are those of its stretches.

    Results are stored unblended, so stretches can be enhanced in any order. A frame needs only the stretches that
    contain it; the others are released, so that reading a long region in order holds at most two results.
    """

    def __init__(self, stretches: Sequence[Stretch], results: Sequence[StoredCrops]) -> None:
        self._stretches, self._results = stretches, results
        self._stops = [stretch.stop for stretch in stretches]
        self._read: set[int] = set()
        self.shape = (self._stops[-1], *results[0].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> Pixels:
        """The crop of one frame, (h, w, 3)."""
        crop: Pixels = self.read(index, index + 1)[0]
        return crop

    def read(self, start: int, stop: int) -> Pixels:
        """Frames start..stop of the region as a new array."""
        joined, used = np.empty((stop - start, *self.shape[1:]), np.float32), set()
        for number in range(bisect_right(self._stops, start), len(self._stretches)):
            stretch = self._stretches[number]
            if stretch.start >= stop:
                break
            first, last = max(start, stretch.start), min(stop, stretch.stop)
            used.add(number)
            own = self._results[number].read(first - stretch.start, last - stretch.start)
            into = joined[first - start : last - start]
            faded = max(0, min(last, stretch.start + stretch.shared) - first)
            into[:faded] = stretch.over(into[:faded], own[:faded], first - stretch.start)
            into[faded:] = own[faded:]
        for number in self._read - used:
            self._results[number].release()
        self._read = used
        return joined
