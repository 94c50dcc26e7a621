"""What an output is like as it was written: outside the masks it differs from its source by what its codec loses.

Some pixels of some frames are remembered while frames go by, and looked up in the file once it is complete.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.errors import RedetailError
from redetail.pipeline.paste import PastedFrame
from redetail.video import open_source
from redetail.video.base import RGB

GROUPS, IN_GROUP = 3, 4
"""Frames lie in few groups, each of them decoded from one key frame; a group holds frames of every kind of picture."""
SHARED = 3
"""Pixels beyond a changed one whose colour may change with it: most codecs halve the resolution of colours, and the
bicubic filter that enlarges them again looks at two samples to either side."""
POINTS = 50_000
"""Pixels of a frame; a mean over this many is certain to a hundredth of a level."""


@dataclass(frozen=True, slots=True)
class WrittenChange:
    """How far pixels outside every mask are from the decoded source in the decoded output, over some ``frames``.

    ``mean`` and ``largest`` difference of a colour, in 8-bit levels. Pixels nearer than four to a mask are left
    out: they share their colour with pasted ones.
    """

    frames: int
    mean: float
    largest: float

    def to_document(self) -> dict[str, float]:
        """The document that docs/report.md describes."""
        return {"frames": self.frames, "mean": round(self.mean, 4), "largest": round(self.largest, 4)}


@dataclass(frozen=True, slots=True)
class _Sample:
    """Pixels of one frame: where they lie in it, and their decoded values (P, 3)."""

    places: NDArray[np.intp]
    values: RGB


class WrittenCheck:
    """Keeps pixels of frames ``start`` to ``stop``, a few megabytes whatever the length of the clip."""

    def __init__(self, start: int, stop: int) -> None:
        self._start = start
        self._samples: dict[int, _Sample] = {}
        last = max(0, stop - start - IN_GROUP)
        self._groups = sorted({last * number // (GROUPS - 1) for number in range(GROUPS)})
        self._wanted = {first + number for first in self._groups for number in range(IN_GROUP)}

    def add(self, frame: PastedFrame, touched: NDArray[np.bool_]) -> None:
        """Take the next frame; ``touched`` (H, W) says where something was pasted."""
        index = frame.source.index - self._start
        if index not in self._wanted:
            return
        places = np.flatnonzero(~_grown(touched))
        places = places[:: max(1, len(places) // POINTS)].copy()
        self._samples[index] = _Sample(places, frame.source.pixels.reshape(-1, 3)[places])

    def of(self, path: Path) -> WrittenChange | None:
        """Decode those frames of the output; None if there is nothing to compare, such as for a copy of the source."""
        if not self._samples:
            return None
        try:
            found = self._differences(path)
        except RedetailError:  # a kind of file that can be written but not read again
            return None
        differences = [one for one in found if one.size]
        if not differences:
            return None
        mean = sum(float(one.mean()) for one in differences) / len(differences)
        return WrittenChange(len(differences), mean, max(float(one.max()) for one in differences))

    def _differences(self, path: Path) -> list[NDArray[np.float32]]:
        source, found = open_source(path), {}
        for first in self._groups:
            for frame in source.frames(first, first + IN_GROUP):
                sample = self._samples.get(frame.index)
                if sample is not None:
                    written = frame.pixels.reshape(-1, 3)[sample.places]
                    found[frame.index] = np.abs(_levels(written) - _levels(sample.values))
        return list(found.values())


def _grown(touched: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels (H, W) that are touched or so near that they share colours with those."""
    for axis in (0, 1):
        edges = [(SHARED, SHARED) if one == axis else (0, 0) for one in (0, 1)]
        padded = np.pad(touched, edges)
        count, shifts = touched.shape[axis], range(2 * SHARED + 1)
        touched = np.logical_or.reduce([np.take(padded, np.arange(shift, shift + count), axis) for shift in shifts])
    return touched


def _levels(pixels: NDArray[Any]) -> NDArray[np.float32]:
    return pixels.astype(np.float32) * np.float32(255 / np.iinfo(pixels.dtype).max)
