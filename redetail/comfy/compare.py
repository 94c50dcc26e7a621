"""Before and after for the eye and in figures: side by side, difference, flicker over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redetail.comfy.convert import frame_size
from redetail.comfy.frames import enlarged_frames
from redetail.comfy.stills import save_preview
from redetail.comfy.tracked import TrackedSeg
from redetail.detection import CutDetector
from redetail.errors import InputError
from redetail.evaluate.sheet import Picture, side_by_side
from redetail.evaluate.temporal import TemporalFigures, WarpedError
from redetail.geometry.scale import ratios
from redetail.imaging.resample import crop
from redetail.progress import Progress, ProgressCallback, no_progress
from redetail.region import Box, Size

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""One frame before and after, (H, W, 3)."""

LABELS = ("before", "after")
PREVIEWS = 24
"""Frames that the slider in the node can show."""
PREVIEW_SIDE = 1024
"""Longest side of a frame under the slider, in pixels."""
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 1024, 448, 72, 24, 56, 56  # of the chart and its margins, in pixels
_PAPER, _INK, _FAINT = (24, 24, 24), (220, 220, 220), (70, 70, 70)
_COLOURS = ((120, 170, 255), (255, 170, 60))


@dataclass(frozen=True)
class Flicker:
    """One subject over a clip: figures of the step to each frame, None if there is none (the first, a cut)."""

    label: str
    steps: tuple[TemporalFigures | None, ...]

    @property
    def figures(self) -> dict[str, Any]:
        """Of all steps together, weighted by pixels, ready for JSON. Differences in 8-bit levels."""
        known = [step for step in self.steps if step is not None and step.pixels]
        if not known:
            return {"label": self.label, "before": None, "after": None, "ratio": None, "ratio_per_detail": None}
        weights = np.array([step.pixels for step in known], np.float64)
        fields = ("source", "output", "source_detail", "output_detail")
        before, after, blunt, sharp = (
            np.average([getattr(step, f) for step in known], weights=weights) for f in fields
        )
        ratio = after / before if before else None
        per_detail = None if ratio is None or not blunt or not sharp else ratio * blunt / sharp
        return {
            "label": self.label,
            "before": _rounded(before),
            "after": _rounded(after),
            "ratio": _rounded(ratio),
            "ratio_per_detail": _rounded(per_detail),
        }

    def values(self, name: str) -> list[float | None]:
        """``source`` or ``output`` of every frame."""
        return [None if step is None or not step.pixels else getattr(step, name) for step in self.steps]


def matched(before: Tensor, after: Tensor) -> Tensor:
    """The clip ``before`` at the size of ``after``, to compare the two frame by frame; enlarged where that is larger.

    Raises :class:`~redetail.errors.InputError` if frames are not as many, or are smaller afterwards.
    """
    if len(before) != len(after):
        raise InputError(
            f"The before input has {len(before)} frames, but the after input has {len(after)}; connect the same part "
            "of the clip to both."
        )
    small, large = frame_size(before), frame_size(after)
    if small == large:
        return before
    if large.width < small.width or large.height < small.height:
        raise InputError(
            f"The frames of the before input are {small} pixels, but those of the after input are {large}; scale both "
            "to the same size."
        )
    return enlarged_frames(before, large)


def beside(before: Tensor, after: Tensor) -> Tensor:
    """Every frame before and after, side by side and labelled: (F, h, 2w, 3) float32."""
    first = side_by_side(_pair(before, after, 0), LABELS)
    out = torch.empty((len(before), *first.shape), dtype=torch.float32)
    for index in range(len(before)):
        out[index] = torch.from_numpy(side_by_side(_pair(before, after, index), LABELS)).float() / 255
    return out


def preview_pairs(before: Tensor, after: Tensor) -> list[dict[str, Any]]:
    """Frames spread over the clips, as temporary pictures for the slider in the node: ``before`` and ``after`` are
    files, ``frame`` the index of a frame and ``frames`` how many the clip has."""
    indices = sorted({round(float(place)) for place in np.linspace(0, len(before) - 1, PREVIEWS)})
    files = [save_preview(_scaled(frames[indices])) for frames in (before, after)]
    return [
        {"frame": index, "frames": len(before), "before": one, "after": other}
        for index, one, other in zip(indices, *files, strict=True)
    ]


def _scaled(frames: Tensor) -> Tensor:
    """Frames (F, H, W, C), none of them with a side of more than :data:`PREVIEW_SIDE` pixels."""
    size = frame_size(frames)
    scale = PREVIEW_SIDE / max(size.width, size.height)
    if scale >= 1:
        return frames
    small = Size(max(1, round(size.width * scale)), max(1, round(size.height * scale)))
    whole = Box(0, 0, size.width, size.height)
    return torch.from_numpy(np.stack([crop(frame[..., :3].numpy(), whole, small) for frame in frames]))


def difference(before: Tensor, after: Tensor, factor: float) -> Tensor:
    """After less before, times ``factor``, around mid grey: (F, H, W, 3) float32 0..1. Grey did not change."""
    out = torch.empty((*before.shape[:3], 3), dtype=torch.float32)
    for index in range(len(before)):
        out[index] = ((after[index, ..., :3] - before[index, ..., :3]) * factor + 0.5).clamp(0, 1)
    return out


def flicker(
    before: Tensor,
    after: Tensor,
    segments: Sequence[Any],
    progress: ProgressCallback = no_progress,
    header: tuple[int, int] = (0, 0),
) -> list[Flicker]:
    """Flicker of the whole picture, or inside the boxes of each segment where there are any.

    ``header`` is the (height, width) that the segments refer to; (0, 0): the frames' own.
    """
    size = frame_size(before)
    scale = ratios(Size(header[1], header[0]), size) if all(header) else (1.0, 1.0)
    whole = Box(0, 0, size.width, size.height)
    names = [str(segment.label) for segment in segments] or ["whole picture"]
    steps: list[list[TemporalFigures | None]] = [[] for _ in names]
    shots = CutDetector()
    last = _bytes(before[0]), _bytes(after[0])
    for index in range(len(before)):
        now = _bytes(before[index]), _bytes(after[index])
        cut = shots.update(now[0]) or index == 0
        for number, found in enumerate(steps):
            boxes = (_box(segments, number, place, whole, scale) for place in (index - 1, index))
            found.append(None if cut else _step(last, now, *boxes))
        last = now
        progress(Progress("measure", index + 1, len(before)))
    return [Flicker(name, tuple(found)) for name, found in zip(names, steps, strict=True)]


def chart(curves: Sequence[Flicker]) -> Picture:
    """Flicker over time as a picture (h, w, 3): one panel for each subject, before in blue, after in orange."""
    return np.concatenate([_panel(curve) for curve in curves])


def _step(last: Pair, now: Pair, before: Box | None, after: Box | None) -> TemporalFigures | None:
    """The step from one frame to the next, where the subject is in both."""
    if before is None or after is None:
        return None
    error = WarpedError()
    error.add(0, last[0], last[1], before)
    error.add(1, now[0], now[1], after)
    return error.figures


def _box(segments: Sequence[Any], number: int, index: int, whole: Box, scale: tuple[float, float]) -> Box | None:
    """Where a subject is in a frame, whose sides are ``scale`` times those that the segments refer to; None if it is
    not there."""
    if not segments:
        return whole
    segment = segments[number]
    if not isinstance(segment, TrackedSeg):
        return Box(*(float(side) for side in segment.bbox)).scaled(*scale)
    inside = index - segment.region.start
    return segment.region.box(inside).scaled(*scale) if 0 <= inside < len(segment.region) else None


def _panel(curve: Flicker) -> Picture:
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (_WIDTH, _HEIGHT), _PAPER)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=17)
    lines = curve.values("source"), curve.values("output")
    top = _round_limit(max((value for line in lines for value in line if value is not None), default=1.0))
    x0, x1, y0, y1 = _LEFT, _WIDTH - _RIGHT, _TOP, _HEIGHT - _BOTTOM
    for part in range(5):
        y = y1 - (y1 - y0) * part / 4
        draw.line((x0, y, x1, y), _FAINT)
        draw.text((x0 - 10, y), f"{top * part / 4:.3g}", _INK, font, anchor="rm")
    frames = len(curve.steps)
    for mark in sorted({round(frames * part / 4) for part in range(4)} | {frames - 1}):
        draw.text((_across(mark, frames), y1 + 10), str(mark), _INK, font, anchor="ma")
    draw.text(((x0 + x1) / 2, _HEIGHT - 8), "frame", _INK, font, anchor="mb")
    for line, colour in zip(lines, _COLOURS, strict=True):
        for run in _runs(line):
            points = [(_across(i, frames), y1 - (y1 - y0) * value / top) for i, value in run]
            if len(points) > 1:
                draw.line(points, colour, 3, joint="curve")
            else:
                draw.circle(points[0], 3, colour)
    _legend(draw, curve, font)
    return np.asarray(image, np.uint8)


def _legend(draw: Any, curve: Flicker, font: Any) -> None:
    figures = curve.figures
    x = float(_LEFT)
    title = f"{curve.label}: change between frames, motion removed, in 8-bit levels (0 to 255)"
    draw.text((x, 8), title, _INK, font)
    for name, colour in zip(LABELS, _COLOURS, strict=True):
        value = figures[name]
        text = f"{name} {'-' if value is None else f'{value:.2f}'}"
        draw.text((x, 30), text, colour, font)
        x += draw.textlength(text, font) + 28
    if figures["ratio"] is not None:
        draw.text((x, 30), f"after / before {figures['ratio']:.2f}", _INK, font)


def _across(frame: int, frames: int) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * frame / max(1, frames - 1)


def _runs(line: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """Neighbouring frames that have a value; a curve is not drawn over a cut."""
    runs: list[list[tuple[int, float]]] = [[]]
    for index, value in enumerate(line):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((index, value))
    return [run for run in runs if run]


def _round_limit(value: float) -> float:
    """The next of 1, 2, 4, 8 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(step * power for step in (1, 2, 4, 8, 10) if step * power >= value))


def _pair(before: Tensor, after: Tensor, index: int) -> list[NDArray[np.uint8]]:
    return [_bytes(frames[index]) for frames in (before, after)]


def _bytes(frame: Tensor) -> NDArray[np.uint8]:
    values: NDArray[np.uint8] = (frame[..., :3].clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return values


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)
