"""Frames and whatever says where the subjects are, to tracked segments."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from redetail.comfy.convert import Segment, frame_size, mask_frames, segment_for, segs_from
from redetail.comfy.detectors import SelectedDetector, detector_of
from redetail.comfy.frames import ImageSource
from redetail.comfy.tracked import TrackedSeg
from redetail.errors import RegionError
from redetail.imaging.masks import masks_for, resize_mask
from redetail.imaging.resample import from_float
from redetail.progress import ProgressCallback, no_progress, with_progress
from redetail.region import Region, Size
from redetail.segs import Segs
from redetail.selection.detected import detect_frames, track_detections
from redetail.tracking import regions_from_masks
from redetail.tracking.given import VISIBLE, fixed_region

logger = logging.getLogger(__name__)

SHARES = {"detect": 1.0}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which subjects are followed and how.

    ``confidence`` (0..1): what a subject must reach in some frames; ``min_size``: least shorter side of its box in
    pixels; ``subjects``: how many, the largest first (0: all); ``grow``: what a found box gets more at each side, in
    pixels or, where ``relative``, as a share of its side; ``unite_masks``: the largest value of every pixel where
    there are not as many masks as frames.
    """

    crop_factor: float
    confidence: float = 0.6
    min_size: float = 16.0
    subjects: int = 1
    grow: float = 0.0
    relative: bool = True
    unite_masks: bool = False

    @property
    def most(self) -> int | None:
        """How many subjects at most; None: any number."""
        return self.subjects or None


def tracked_from_detector(
    frames: Tensor, detector: Any, choice: Choice, progress: ProgressCallback = no_progress
) -> Segs:
    """Subjects that a BBOX_DETECTOR, or a bundled detector by name (None: of faces), finds and a tracker follows; cuts
    end a track."""
    source = ImageSource(frames.numpy(), "image_frames")
    selected = SelectedDetector(
        detector_of(detector), min_size=choice.min_size, grow=choice.grow, relative=choice.relative
    )
    detections = detect_frames(with_progress(source.glimpses(), len(frames), "detect", progress), selected)
    regions = track_detections(
        detections, frame_size(frames), choice.crop_factor, sure=choice.confidence, max_regions=choice.most
    )
    if not regions:
        logger.warning(
            "No subject was found in any frame (%d in all); set a lower confidence or min_size, or connect masks.",
            len(frames),
        )
    return _tracked(regions, frames)


def tracked_from_masks(frames: Tensor, masks: Any, choice: Choice) -> Segs:
    """The one subject that masks (1 or F, H, W) show, if it reaches the least size in any frame; masks of another size
    than the frames are scaled. Black masks are not an error: a batch of clips continues, and the log says so."""
    size = frame_size(frames)
    stack = masks_for(mask_frames(masks, "masks"), len(frames), use_maximum=choice.unite_masks)
    pictures = stack if stack.shape[1:] == size.shape else resize_mask(stack, size)
    if not _shows_anything(pictures):
        logger.warning("The masks are black in every frame (%d in all); the clip stays as it is.", len(frames))
        return size.shape, []
    regions = regions_from_masks(_bytes(pictures), size, 0, len(frames), choice.crop_factor)
    large = [region for region in regions if _shorter_side(region) >= choice.min_size]
    if not large:
        logger.warning(
            "Everything that the masks show is smaller than %g pixels (min_size); the clip stays as it is.",
            choice.min_size,
        )
    return _tracked(large, frames)


def tracked_from_segs(frames: Tensor, segs: Any, choice: Choice) -> Segs:
    """Anyone's SEGS, the largest first: one with a mask for each frame is followed, others stay where they are.

    Segments that are tracked already stay as they are; small ones and those with black masks are left out.
    """
    header, segments = segs_from(segs)
    tracked = (
        _tracked_seg(segment, header, frames, number, choice)
        for number, segment in enumerate(segments)
        if not _too_small(segment, choice.min_size)
    )
    found = [segment for segment in tracked if segment is not None]
    found.sort(key=lambda tracked: -float(np.prod(tracked.region.boxes[:, 2:] - tracked.region.boxes[:, :2], 1).sum()))
    return frame_size(frames).shape, list(found[: choice.most])


def region_of(segment: Segment, frames: int) -> Region:
    """The region of a segment that stays where it is."""
    placed, source = segment.placed, segment.source
    masks = list(_bytes(placed.masks))
    box = placed.box.intersection(placed.window)
    if box is None:
        raise RegionError(f"{segment.name} has its bbox outside its crop region; move the bbox inside.")
    label, confidence = str(source.label), float(np.asarray(source.confidence).reshape(-1)[0])
    return fixed_region(label, confidence, placed.window, box, 0, frames, masks)


def _tracked_seg(
    segment: Any, header: tuple[int, int], frames: Tensor, number: int, choice: Choice
) -> TrackedSeg | None:
    """The subject of one segment; None, and a note in the log, where its masks are black."""
    if isinstance(segment, TrackedSeg):
        return segment.fitted(frames.numpy(), "image_frames")
    placed = segment_for(segment, header, frames, number, use_maximum=choice.unite_masks)
    if not _shows_anything(placed.placed.masks):
        logger.warning("%s is left out: its mask is black.", placed.name)
        return None
    region = region_of(placed, len(frames))
    if len(placed.placed.masks) > 1:
        try:
            masks = _on_frames(placed, frame_size(frames))
            (followed,) = regions_from_masks(masks, frame_size(frames), 0, len(frames), choice.crop_factor)
        except RegionError as error:
            raise RegionError(f"{placed.name} cannot be followed: {error}") from error
        region = replace(followed, label=region.label, confidence=region.confidence)
    return TrackedSeg(
        region, frame_size(frames), len(frames), control_net_wrapper=getattr(segment, "control_net_wrapper", None)
    )


def _too_small(segment: Any, least: float) -> bool:
    if isinstance(segment, TrackedSeg):
        return False
    x1, y1, x2, y2 = segment.bbox
    return bool(min(x2 - x1, y2 - y1) < least)


def _shorter_side(region: Region) -> float:
    """Of the subject's box where that is longest."""
    return float((region.boxes[:, 2:] - region.boxes[:, :2]).min(axis=1).max())


def _shows_anything(masks: NDArray[np.float32]) -> bool:
    """Whether a pixel of masks 0..1 is as bright as a subject must be."""
    return bool(np.rint(masks.max() * 255) >= VISIBLE)


def _on_frames(segment: Segment, size: Size) -> Iterator[NDArray[np.uint8]]:
    """The masks of a segment on whole frames, one by one."""
    x1, y1, x2, y2 = (int(side) for side in segment.placed.window.as_tuple())
    for mask in segment.placed.masks:
        frame = np.zeros(size.shape, np.uint8)
        frame[y1:y2, x1:x2] = from_float(mask, np.uint8)
        yield frame


def _bytes(masks: NDArray[np.float32]) -> Iterator[NDArray[np.uint8]]:
    return (from_float(mask, np.uint8) for mask in masks)


def _tracked(regions: list[Region], frames: Tensor) -> Segs:
    size = frame_size(frames)
    return size.shape, [TrackedSeg(region, size, len(frames)) for region in regions]
