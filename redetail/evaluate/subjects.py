"""Measures one subject in one clip: by itself, against the source, and against an original.

Meters take a clip frame by frame. They keep a few numbers per frame and one earlier frame, however long the clip is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.evaluate import pictures
from redetail.evaluate.fidelity import psnr, ssim
from redetail.evaluate.seams import find_seam
from redetail.evaluate.temporal import SourceMotion, WarpedError, window_jitter
from redetail.region import Box, Size

_AROUND = 3.2  # side of the square in which a seam is searched for, as a multiple of the side of the subject's box
_SMALLEST = 11  # pixels: SSIM's window


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFigures:
    """The figures of one subject in one frame; differences are in 8-bit levels (0..255).

    ``sharpness``, ``noise``, ``blockiness``, ``overshoot``: see :mod:`redetail.evaluate.pictures`. ``colour``: mean
    difference in red, green and blue from the source. ``seam``: see :class:`redetail.evaluate.seams.Seam` (None:
    nothing was pasted). ``flicker``: mean difference from the previous frame, warped along the source's flow (None: no
    previous frame). Against the original, if there is one: ``psnr`` in dB, ``ssim``, and ``fine``, the correlation of
    high frequencies.
    """

    frame: int
    sharpness: float
    noise: float
    blockiness: float
    overshoot: float
    colour: tuple[float, float, float]
    seam: float | None = None
    flicker: float | None = None
    psnr: float | None = None
    ssim: float | None = None
    fine: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectFigures:
    """The figures of one subject in one clip: means over ``frames``; see :class:`FrameFigures`.

    ``flicker_ratio``: the flicker divided by the source's; 1 is as calm as the source. ``flicker_per_detail``: that
    ratio divided by the gain in detail, since no flow is exact and a sharper picture shows more of the flow's errors.
    ``jitter``: root mean square acceleration of the pasted area, in pixels per frame squared. ``vmaf``: 0..100, if
    there are an original and a program that measures VMAF.
    """

    subject: int
    label: str
    frames: tuple[FrameFigures, ...]
    sharpness: float
    noise: float
    blockiness: float
    overshoot: float
    colour: tuple[float, float, float]
    seam: float | None
    flicker: float | None
    flicker_ratio: float | None
    flicker_per_detail: float | None
    jitter: float | None
    psnr: float | None
    ssim: float | None
    fine: float | None
    vmaf: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """All figures, ready for JSON."""
        return asdict(self)


class SubjectMeter:
    """Measures one subject in one clip; the frames of source, clip and original must have the same size.

    ``motion``: the motion of the source, shared by the meters of one subject in several clips.
    """

    def __init__(self, subject: int, label: str, motion: SourceMotion | None = None) -> None:
        self._subject, self._label = subject, label
        self._frames: list[FrameFigures] = []
        self._warped = WarpedError(motion)
        self._pasted: list[Box] = []

    def add(
        self, index: int, box: Box, source: NDArray[Any], clip: NDArray[Any], original: NDArray[Any] | None = None
    ) -> None:
        """Take frame ``index``: (H, W, 3) pictures, uint8, uint16 or float 0..1, and the subject's box in them."""
        frame = Size(source.shape[1], source.shape[0])
        inside = _whole_pixels(box, frame)
        if inside is None:
            return
        rows, columns = inside
        own = clip[rows, columns]
        luma = pictures.luma_levels(own)
        flicker = self._warped.add(index, source, clip, box)
        self._frames.append(
            FrameFigures(
                frame=index,
                sharpness=pictures.sharpness(luma),
                noise=pictures.noise(luma),
                blockiness=pictures.blockiness(luma, columns.start, rows.start),
                overshoot=pictures.overshoot(luma),
                colour=pictures.colour_shift(own, source[rows, columns], np.ones(luma.shape, np.bool_)),
                seam=self._seam(box, frame, source, clip),
                flicker=None if flicker is None else flicker.output,
                **_fidelity(own, None if original is None else original[rows, columns]),
            )
        )

    def _seam(self, box: Box, frame: Size, source: NDArray[Any], clip: NDArray[Any]) -> float | None:
        around = _whole_pixels(box.grown(_AROUND), frame)
        if around is None:
            return None
        rows, columns = around
        lumas = (pictures.luma_levels(picture[rows, columns]) for picture in (source, clip))
        seam = find_seam(*lumas)
        if seam is None:
            return None
        area = seam.area
        self._pasted.append(Box(*(side + start for side, start in zip(
            area.as_tuple(), (columns.start, rows.start) * 2, strict=True))))  # fmt: skip
        return seam.step

    def figures(self, vmaf: float | None = None) -> SubjectFigures | None:
        """The figures of all frames so far; None if the subject was in none of them."""
        frames, warped = self._frames, self._warped.figures
        if not frames:
            return None
        boxes = np.array([box.as_tuple() for box in self._pasted]).reshape(-1, 4)
        colours = np.array([frame.colour for frame in frames]).mean(axis=0).tolist()
        return SubjectFigures(
            subject=self._subject,
            label=self._label,
            frames=tuple(frames),
            sharpness=_mean(frames, "sharpness") or 0.0,
            noise=_mean(frames, "noise") or 0.0,
            blockiness=_mean(frames, "blockiness") or 0.0,
            overshoot=_mean(frames, "overshoot") or 0.0,
            colour=(colours[0], colours[1], colours[2]),
            flicker=warped.output,
            flicker_ratio=warped.ratio,
            flicker_per_detail=warped.ratio_per_detail,
            jitter=window_jitter(boxes[:, :2], boxes).box if len(boxes) == len(frames) > 2 else None,
            seam=_mean(frames, "seam"),
            psnr=_mean(frames, "psnr"),
            ssim=_mean(frames, "ssim"),
            fine=_mean(frames, "fine"),
            vmaf=vmaf,
        )


def _fidelity(own: NDArray[Any], original: NDArray[Any] | None) -> dict[str, float | None]:
    if original is None:
        return {}
    pair = pictures.luma_levels(own), pictures.luma_levels(original)
    return {
        "psnr": psnr(own, original),
        "ssim": ssim(own, original) if min(own.shape[:2]) >= _SMALLEST else None,
        "fine": pictures.fine_correlation(*pair),
    }


def _mean(frames: Iterable[FrameFigures], name: str) -> float | None:
    """The mean over the frames that have the figure; None if no frame has it."""
    values = [value for value in (getattr(frame, name) for frame in frames) if value is not None]
    return float(np.mean(values)) if values else None


def _whole_pixels(box: Box, frame: Size) -> tuple[slice, slice] | None:
    """Rows and columns of the pixels that lie in a box; None if it lies outside the frame."""
    clipped = box.clipped(frame)
    if clipped is None:
        return None
    x1, y1, x2, y2 = (round(side) for side in clipped.as_tuple())
    return (slice(y1, y2), slice(x1, x2)) if x2 > x1 and y2 > y1 else None
