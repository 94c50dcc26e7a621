"""Compares several clips of one scene: the source, results of any tool, and the original if there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from redetail.errors import InputError
from redetail.evaluate.fidelity import VmafMeter
from redetail.evaluate.subjects import FrameFigures, SubjectFigures, SubjectMeter
from redetail.evaluate.temporal import SourceMotion
from redetail.evaluate.verdict import COLOUR, SEAM, SHARPER, Verdict, judge, score
from redetail.imaging.resample import crop, to_float
from redetail.progress import CancelToken, Progress, ProgressCallback, no_progress
from redetail.region import Box, Region, Size
from redetail.video.base import FrameSource

VERSION = 1
STAGE = "evaluate"
SOURCE = "source"
_SHAPE = 0.01  # how much the shapes of two clips may differ: as much as rounding does, not a different crop
_TILE = 224  # pixels: side of the squares that VMAF sees; VMAF was trained on whole pictures


@dataclass(frozen=True, slots=True)
class ClipFigures:
    """The figures of one clip: ``subjects`` and ``verdicts`` are in the order of the regions (None: never seen).

    The source has no verdicts. Results are ordered by ``score``; see :func:`redetail.evaluate.verdict.score`.
    """

    name: str
    subjects: tuple[SubjectFigures | None, ...]
    verdicts: tuple[Verdict | None, ...] = ()
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Moment:
    """A frame that is worth a look: ``why`` says the reason in a few words, ``weight`` how many times as bad as usual
    it is."""

    frame: int
    subject: int
    why: str
    weight: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What :func:`compare` measured on frames of ``size``: the figures of ``clips``, the source first.

    ``original``: whether there was an original; ``frames``: how many frames were compared; ``regions``: the subjects,
    in pixels of frames with the size ``framed``.
    """

    size: Size
    frames: int
    original: bool
    clips: tuple[ClipFigures, ...]
    regions: tuple[Region, ...]
    framed: Size

    @property
    def results(self) -> tuple[ClipFigures, ...]:
        """All clips but the source."""
        return self.clips[1:]

    @property
    def ranking(self) -> list[str]:
        """Names of all clips, best first."""
        return [clip.name for clip in sorted(self.clips, key=lambda clip: -clip.score)]

    def as_document(self) -> dict[str, Any]:
        """The whole comparison, ready for JSON, with a version."""
        return {
            "evaluation_version": VERSION,
            "size": [self.size.width, self.size.height],
            "frames": self.frames,
            "against_original": self.original,
            "ranking": self.ranking,
            "clips": [
                {
                    "name": clip.name,
                    "score": clip.score,
                    "subjects": [figures and figures.as_dict() for figures in clip.subjects],
                    "verdicts": [verdict and verdict.sentence for verdict in clip.verdicts],
                }
                for clip in self.clips
            ],
        }


def worst_moments(source: ClipFigures, clip: ClipFigures, most: int = 5) -> list[Moment]:
    """The frames in which a result is worst compared with the source, worst first; one frame for each reason."""
    found: list[Moment] = []
    for before, after in zip(source.subjects, clip.subjects, strict=True):
        if before is None or after is None:
            continue
        pairs = list(zip(before.frames, after.frames, strict=True))
        for why, badness in _BADNESS.items():
            rated = [(badness(own, other), other.frame) for own, other in pairs]
            weight, frame = max(rated, default=(0.0, 0))
            if weight > 1:
                found.append(Moment(frame, after.subject, why, weight))
    return sorted(found, key=lambda moment: -moment.weight)[:most]


# How bad a frame of a result is compared with the source's frame; it counts from 1 on.
_BADNESS: Mapping[str, Callable[[FrameFigures, FrameFigures], float]] = {
    "flickers most": lambda own, other: (other.flicker or 0.0) / (1.5 * (own.flicker or 0.0) + 1.0),
    "seam around the paste": lambda own, other: (other.seam or 0.0) / SEAM,
    "colours shift": lambda own, other: max(map(abs, other.colour)) / COLOUR,
    "softer than the source": lambda own, other: own.sharpness / max(other.sharpness, 1e-3) / SHARPER,
    "furthest from the original": lambda own, other: 1 + (own.psnr or 0.0) - (other.psnr or 0.0),
}


def compare(
    source: FrameSource,
    results: Mapping[str, FrameSource],
    regions: Sequence[Region],
    original: FrameSource | None = None,
    *,
    framed: Size | None = None,
    vmaf: str | None = None,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Comparison:
    """Measure every subject in the source and in the named results, frame by frame.

    Smaller clips are enlarged to the size of the largest with a Lanczos filter. ``regions`` are in pixels of frames
    with the size ``framed`` (None: the source's). ``vmaf``: the program that measures VMAF (see
    :func:`~redetail.evaluate.fidelity.vmaf_program`). Raises :class:`~redetail.errors.InputError` for clips that differ
    in shape, or that have fewer frames than the regions span.
    """
    clips = {SOURCE: source, **results}
    size = common_size(clips if original is None else {**clips, "the original": original})
    start = min((region.start for region in regions), default=0)
    stop = max((region.stop for region in regions), default=0)
    with ExitStack() as stack:
        program = None if original is None else vmaf
        motions = [SourceMotion() for _ in regions]
        meters = {
            name: [_Meter(n, *of, program, stack) for n, of in enumerate(zip(regions, motions, strict=True), 1)]
            for name in clips
        }
        rows = rows_of([*clips.items(), *([] if original is None else [("the original", original)])], start, stop, size)
        for done, (index, pictures) in enumerate(rows):
            if cancel is not None:
                cancel.check()
            progress(Progress(STAGE, done, stop - start))
            true = pictures.pop() if original is not None else None
            for number, region in enumerate(regions):
                if region.start <= index < region.stop:
                    box = _scaled(region.box(index - region.start), framed or source.info.size, size)
                    for name, picture in zip(clips, pictures, strict=True):
                        meters[name][number].add(index, box, pictures[0], picture, true)
        measured = {name: tuple(meter.figures() for meter in of_clip) for name, of_clip in meters.items()}
    progress(Progress(STAGE, stop - start, stop - start))
    judged = tuple(_judged(name, measured[name], measured[SOURCE]) for name in clips)
    framed = framed or source.info.size
    return Comparison(size, stop - start, original is not None, judged, tuple(regions), framed)


class _Meter:
    """The meter of one subject in one clip, and what VMAF sees of it."""

    def __init__(self, number: int, region: Region, motion: SourceMotion, vmaf: str | None, stack: ExitStack) -> None:
        self._meter = SubjectMeter(number, region.label, motion)
        self._vmaf = None if vmaf is None else VmafMeter(vmaf, (_TILE, _TILE))
        if self._vmaf is not None:
            stack.callback(self._vmaf.close)

    def add(self, index: int, box: Box, source: Any, picture: Any, true: Any | None) -> None:
        self._meter.add(index, box, source, picture, true)
        if self._vmaf is not None and true is not None:
            tiles = (crop(each, box, Size(_TILE, _TILE)) for each in (picture, true))
            self._vmaf.add(*tiles)

    def figures(self) -> SubjectFigures | None:
        return self._meter.figures(None if self._vmaf is None else self._vmaf.figure())


def _judged(
    name: str, own: tuple[SubjectFigures | None, ...], source: tuple[SubjectFigures | None, ...]
) -> ClipFigures:
    pairs = [(before, after) for before, after in zip(source, own, strict=True)]
    if name == SOURCE:
        return ClipFigures(name, own)
    verdicts = tuple(judge(before, after) if before and after else None for before, after in pairs)
    scores = [score(before, after) for before, after in pairs if before and after]
    return ClipFigures(name, own, verdicts, float(np.mean(scores)) if scores else 0.0)


def rows_of(
    clips: Sequence[tuple[str, FrameSource]], start: int, stop: int, size: Size
) -> Iterator[tuple[int, list[Any]]]:
    """Index and pictures of frames start..stop of all clips together, at one size and depth; raises
    :class:`~redetail.errors.InputError` if a clip ends early."""
    readers = [(name, source.frames(start, stop)) for name, source in clips]
    for index in range(start, stop):
        pictures = []
        for name, reader in readers:
            frame = next(reader, None)
            if frame is None:
                raise InputError(
                    f"{name} has only {index} frames, but the comparison needs {stop}; give clips of the same length."
                )
            pictures.append(_at_size(frame.pixels, size))
        kinds = {picture.dtype for picture in pictures}
        yield index, pictures if len(kinds) == 1 else [to_float(picture) for picture in pictures]


def _at_size(picture: Any, size: Size) -> Any:
    height, width = picture.shape[:2]
    return picture if (height, width) == size.shape else crop(picture, Box(0, 0, width, height), size)


def common_size(clips: Mapping[str, FrameSource]) -> Size:
    """The largest size among clips that have the same shape."""
    sizes = {name: clip.info.size for name, clip in clips.items()}
    largest = max(sizes.values(), key=lambda size: size.width * size.height)
    for name, size in sizes.items():
        if abs(size.width * largest.height / (size.height * largest.width) - 1) > _SHAPE:
            raise InputError(
                f"{name} is {size} pixels and another clip is {largest}; compare clips with the same aspect ratio."
            )
    return largest


def _scaled(box: Box, own: Size, size: Size) -> Box:
    return box.scaled(size.width / own.width, size.height / own.height)
