"""Which subjects are to be detailed, and finding them in a clip."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.detection import Detector, detector_names, load_detector
from redetail.errors import InputError, RegionError, UnknownNameError
from redetail.imaging.masks import normalise_mask
from redetail.imaging.resample import to_float
from redetail.pipeline.plan import extent, follow, look, watched
from redetail.pipeline.timecode import Span
from redetail.progress import CancelToken, ProgressCallback, no_progress
from redetail.region import Box, Region, Size
from redetail.tracking import region_from_box, regions_from_masks, regions_from_segs
from redetail.video import Frame, FrameSource, open_source
from redetail.video.base import RGB


@dataclass(frozen=True, kw_only=True)
class Subjects:
    """What to detail. Boxes, a mask or segments given by the user take the place of the detector."""

    detect: str | Detector = "face"
    boxes: Sequence[Box] = ()
    mask: Path | NDArray[Any] | None = None
    segs: Path | Mapping[str, Any] | None = None

    @property
    def given(self) -> bool:
        """Whether the user said where the subjects are."""
        return bool(self.boxes) or self.mask is not None or self.segs is not None


@dataclass(frozen=True)
class Found:
    """Frames ``start`` to ``stop`` that exist, and the subjects in them."""

    start: int
    stop: int
    regions: list[Region]
    notices: tuple[str, ...] = ()


def find(
    source: FrameSource,
    subjects: Subjects,
    crop_factor: float,
    span: Span,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Found:
    """Read the frames of ``span`` once and tell who is where in them.

    Raises :class:`~redetail.errors.InputError` where no frame lies in the span, and what detectors, masks and
    segments raise; what is wrong with a box or a file is told before any frame is read.
    """
    if subjects.given:
        _check_given(subjects, source.info.size)
    detector = None if subjects.given else loaded(subjects.detect)
    frames = searched_frames(source, span, progress, cancel)
    if detector is None:
        start, stop = extent(frames)
        return Found(start, stop, _given(subjects, source.info.size, start, stop, crop_factor))
    sightings = look(frames, detector)
    regions = follow(sightings, source.info.size, crop_factor)
    return Found(sightings.start, sightings.stop, regions, () if regions else (_nobody(subjects),))


def searched_frames(
    source: FrameSource, span: Span, progress: ProgressCallback = no_progress, cancel: CancelToken | None = None
) -> Iterator[Frame]:
    """The frames of ``span`` as the first pass reads them: reported and cancellable."""
    return watched(span.select(source), span.estimated_frames(source.info), "detect", progress, cancel)


def loaded(detector: str | Detector) -> Detector:
    """The detector itself, or the one of that name."""
    return load_detector(detector) if isinstance(detector, str) else detector


def _nobody(subjects: Subjects) -> str:
    what = subjects.detect if isinstance(subjects.detect, str) else "subject"
    return f"No {what} was found, so nothing was detailed; say where the subject is with --box or --mask."


def _check_given(subjects: Subjects, size: Size) -> None:
    """Raise what can be told without the clip's frames, which may take an hour to count.

    The detector is not needed, so it is not loaded, nor OpenCV with it; a name that does not exist is a mistake all the
    same.
    """
    if isinstance(subjects.detect, str) and subjects.detect not in detector_names():
        raise UnknownNameError("detector", subjects.detect, detector_names())
    for box in subjects.boxes:
        if box.area == 0 or box.clipped(size) is None:
            region_from_box(box, size, 0, 1, crop_factor=1)  # raises, and has the words for it
    if isinstance(subjects.mask, Path):
        own = open_source(subjects.mask).info.size
        if own != size:
            raise RegionError(f"{subjects.mask} has {own} pixels and the frames {size}; make them the same size.")
    if subjects.segs is not None:
        _segs_document(subjects.segs)


def _given(subjects: Subjects, size: Size, start: int, stop: int, crop_factor: float) -> list[Region]:
    regions = [region_from_box(box, size, start, stop, crop_factor=crop_factor) for box in subjects.boxes]
    if subjects.mask is not None:
        with _naming(subjects.mask):
            regions += regions_from_masks(_mask_pictures(subjects.mask, start, stop), size, start, stop, crop_factor)
    if subjects.segs is not None:
        with _naming(subjects.segs):
            regions += regions_from_segs(_segs_document(subjects.segs), size, start, stop)
    return regions


@contextmanager
def _naming(given: object) -> Iterator[None]:
    """Put the file's name before what is wrong with its content."""
    try:
        yield
    except RegionError as error:
        if isinstance(given, Path) and given.name not in str(error):
            raise RegionError(f"{given}: {error}") from error
        raise


def _mask_pictures(mask: Path | NDArray[Any], start: int, stop: int) -> Iterator[NDArray[np.uint8]]:
    """(H, W) uint8 masks: one for a still, else those of frames start..stop."""
    if isinstance(mask, Path):
        source = open_source(mask)
        still = source.info.frames == 1
        frames = source.frames() if still else source.frames(start, stop)
        yield from (luma(frame.pixels) for frame in frames)
        return
    if mask.ndim not in (2, 3):
        raise RegionError(f"The mask has the shape {mask.shape}; give (H, W), or (F, H, W) for the frames of the clip.")
    pictures = normalise_mask(mask, Size(mask.shape[-1], mask.shape[-2]))
    stack = pictures[None] if pictures.ndim == 2 else pictures
    yield from (
        np.rint(picture * 255).astype(np.uint8) for picture in (stack if len(stack) == 1 else stack[start:stop])
    )


def luma(pixels: RGB) -> NDArray[np.uint8]:
    """(H, W) brightness 0..255 of an RGB picture (weights of BT.601): how a picture is read as a mask."""
    grey = to_float(pixels) @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.rint(grey * 255).astype(np.uint8)


def _segs_document(segs: Path | Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(segs, Path):
        return segs
    try:
        document = json.loads(segs.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"The segments {segs} cannot be read ({error.strerror}); check the name.") from error
    except ValueError as error:
        raise InputError(f"{segs} is not a JSON document ({error}); write segments as docs/segs.md shows.") from error
    if not isinstance(document, dict):
        raise RegionError(f"{segs} must hold an object with size and segs, not {type(document).__name__}.")
    return document
