"""What the write pass measures while frames pass through it: the consistency of every subject, and that nothing else
changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from redetail.evaluate.pictures import finest_octave, luma_levels, sharpness
from redetail.evaluate.temporal import Jitter, SourceMotion, TemporalFigures, UntouchedCheck, WarpedError, window_jitter
from redetail.imaging.resample import crop
from redetail.pipeline.paste import PastedFrame
from redetail.pipeline.written import WrittenChange, WrittenCheck
from redetail.region import Box, Region, Size

_FLOW_SIDE = 384
"""Side in pixels of the pictures on which every run measures motion; ``redetail evaluate`` measures at full size."""


@dataclass(frozen=True, slots=True)
class FrameMeasures:
    """One subject in one frame, in 8-bit levels.

    ``region``: the region's position in the plan; ``change``: mean absolute difference between result and source under
    the mask; ``flicker_source`` and ``flicker_output``: mean difference from the previous frame, moved along the
    optical flow. None if there was nothing to measure.
    """

    region: int
    frame: int
    change: float | None
    flicker_source: float | None
    flicker_output: float | None


@dataclass(frozen=True, slots=True)
class Octaves:
    """Means of :func:`redetail.evaluate.pictures.finest_octave` under the subject's box, before and after; ``sharper``:
    the ratio of :func:`redetail.evaluate.pictures.sharpness` after to before."""

    source: float
    output: float
    sharper: float


@dataclass(frozen=True)
class RegionMeasures:
    """The figures of one subject; differences are in 8-bit levels.

    ``mean_change``: mean absolute difference between result and source under the mask (None: there was no mask);
    ``frames``: the figures of each of the subject's frames; ``octave``: the finest detail in some of its frames (None:
    the subject is too small to tell).
    """

    flicker: TemporalFigures
    jitter: Jitter
    mean_change: float | None
    frames: tuple[FrameMeasures, ...] = ()
    octave: Octaves | None = None

    def curves(self) -> dict[str, list[float | None]]:
        """Curves with a value for each of the subject's frames, as docs/report.md describes them."""
        return {
            name: [_rounded(getattr(one, name)) for one in self.frames]
            for name in ("change", "flicker_source", "flicker_output")
        }

    def to_document(self) -> dict[str, Any]:
        """The document that docs/report.md describes."""
        return {
            "warped_error": {
                "source": _rounded(self.flicker.source),
                "output": _rounded(self.flicker.output),
                "ratio": _rounded(self.flicker.ratio),
                "ratio_per_detail": _rounded(self.flicker.ratio_per_detail),
                "frame_pairs": self.flicker.frames,
            },
            "window_acceleration": _rounded(self.jitter.window),
            "subject_acceleration": _rounded(self.jitter.box),
            "mean_change": _rounded(self.mean_change),
            "finest_octave": None
            if self.octave is None
            else {"source": _rounded(self.octave.source), "output": _rounded(self.octave.output)},
            "sharper": None if self.octave is None else _rounded(self.octave.sharper),
        }


@dataclass(frozen=True)
class Untouched:
    """``changed_pixels``: the number of pixels, over all ``frames``, that lie outside every mask and differ from the
    decoded source; it must be 0. ``as_written``: how much the encoded output differs from the source there (None: not
    measured)."""

    frames: int
    changed_pixels: int
    as_written: WrittenChange | None = None

    def to_document(self) -> dict[str, Any]:
        """The document that docs/report.md describes."""
        written = {} if self.as_written is None else {"as_written": self.as_written.to_document()}
        return {"frames": self.frames, "changed_pixels_outside_masks": self.changed_pixels, **written}


OCTAVE_FRAMES = 8
"""Number of frames in which a subject's finest detail is measured: enough for a mean, in a fraction of the time."""


class Measures:
    """Measures pasted frames; holds one earlier frame and a few numbers for each, however long the clip is.

    ``scale``: pixels of the pasted frames per pixel of the regions' coordinates, across and down; ``frames``: the first
    frame, and the frame after the last.
    """

    def __init__(
        self, regions: Sequence[Region], scale: tuple[float, float] = (1.0, 1.0), frames: tuple[int, int] = (0, 0)
    ) -> None:
        self._regions, self._scale = regions, scale
        self._flicker = [WarpedError(SourceMotion(_FLOW_SIDE)) for _ in regions]
        self._changed = [_Change() for _ in regions]
        self._frames: list[list[FrameMeasures]] = [[] for _ in regions]
        self._sampled = [spread(region.start, region.stop, OCTAVE_FRAMES) for region in regions]
        self._octaves: list[list[Octaves]] = [[] for _ in regions]
        self._untouched = UntouchedCheck()
        self._written = WrittenCheck(*frames)

    def pass_over(self, frames: int) -> None:
        """Count frames that stay unchanged and are not read."""
        self._untouched.frames += frames

    def add(self, frame: PastedFrame) -> list[FrameMeasures]:
        """Take the next frame; returns the figures of the subjects in it."""
        taken = []
        before, after = frame.source.pixels, frame.result.pixels
        touched = np.zeros(before.shape[:2], dtype=bool)
        for patch in frame.patches:
            rows, columns = slice(int(patch.box.y1), int(patch.box.y2)), slice(int(patch.box.x1), int(patch.box.x2))
            touched[rows, columns] |= patch.mask > 0
            if patch.region is None:
                continue
            region = self._regions[patch.region]
            subject = region.box(frame.source.index - region.start).scaled(*self._scale)
            pair = self._flicker[patch.region].add(frame.source.index, before, after, subject)
            if frame.source.index in self._sampled[patch.region]:
                self._octaves[patch.region].append(_octaves(before, after, subject))
            change = self._changed[patch.region].add(before[rows, columns], after[rows, columns], patch.mask)
            flicker = (None, None) if pair is None else (pair.source, pair.output)
            taken.append(FrameMeasures(patch.region, frame.source.index, change, *flicker))
            self._frames[patch.region].append(taken[-1])
        self._untouched.add(before, after, touched)
        self._written.add(frame, touched)
        return taken

    @property
    def regions(self) -> tuple[RegionMeasures, ...]:
        """The figures of every subject."""
        return tuple(
            RegionMeasures(
                self._flicker[number].figures,
                window_jitter(region.path, region.boxes),
                self._changed[number].mean,
                tuple(self._frames[number]),
                _mean_octaves(self._octaves[number]),
            )
            for number, region in enumerate(self._regions)
        )

    def untouched(self, output: Path | None = None) -> Untouched:
        """The figures outside every mask, for the frames and for the complete ``output``, some frames of which are
        decoded."""
        written = None if output is None else self._written.of(output)
        return Untouched(self._untouched.frames, self._untouched.differing, written)


class _Change:
    """Mean absolute change under a mask, in 8-bit levels."""

    def __init__(self) -> None:
        self._sum = self._weight = 0.0

    def add(self, before: Any, after: Any, mask: Any) -> float | None:
        """Take a frame; returns the mean of this frame."""
        levels = 255 / (np.iinfo(before.dtype).max)
        difference = np.abs(after.astype(np.float32) - before.astype(np.float32)).mean(axis=-1) * levels
        inside = mask > 0.5
        total, weight = float(difference[inside].sum()), int(inside.sum())
        self._sum += total
        self._weight += weight
        return total / weight if weight else None

    @property
    def mean(self) -> float | None:
        return self._sum / self._weight if self._weight else None


def spread(start: int, stop: int, count: int) -> frozenset[int]:
    """Up to ``count`` frames spread over start..stop."""
    return frozenset(start + (stop - start) * (2 * n + 1) // (2 * count) for n in range(count))


def _mean_octaves(some: Sequence[Octaves]) -> Octaves | None:
    told = [one for one in some if one.source > 0]
    if not told:
        return None
    return Octaves(*(float(np.mean([getattr(one, name) for one in told])) for name in ("source", "output", "sharper")))


def _octaves(before: Any, after: Any, box: Box) -> Octaves:
    size = Size(max(1, round(box.width)), max(1, round(box.height)))
    own, result = (sharpness(luma_levels(crop(picture, box, size))) for picture in (before, after))
    return Octaves(finest_octave(before, box), finest_octave(after, box), result / own if own > 0 else 1.0)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
