"""Measuring and sorting out segments."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from redetail.comfy.convert import frame_size, plain_seg, segs_from
from redetail.comfy.stills import carried_images, seg_on
from redetail.comfy.tracked import TrackedSeg
from redetail.errors import RegionError
from redetail.imaging import resample
from redetail.region import Box, Size
from redetail.segs import Seg, Segs

logger = logging.getLogger(__name__)

Pair = tuple[Segs, Segs]
"""The segments that were asked for, and the others."""


def crop_of(segment: Any) -> Box:
    """Where a segment's crop lies. The crop of a tracked one is its window, at its mean place over time: the union of
    all its places would say how far it moves and not how large it is."""
    if isinstance(segment, TrackedSeg):
        (x, y), size = segment.region.path.mean(axis=0), segment.region.size
        return Box(float(x), float(y), float(x) + size.width, float(y) + size.height)
    return Box(*(float(side) for side in segment.crop_region))


def confidence_of(segment: Any) -> np.floating[Any]:
    """A segment's confidence in its own precision: some detectors give an array of one number."""
    number: np.floating[Any] = np.asarray(segment.confidence).reshape(-1)[0]
    return number


def _elongation(segment: Any) -> float:
    crop = crop_of(segment)
    if crop.area == 0:
        raise RegionError(
            f"Segment {segment.label!r} has an empty crop region {tuple(segment.crop_region)}; "
            "its width and height must be above 0."
        )
    return max(crop.height / crop.width, crop.width / crop.height)


Measure = Callable[[Any], float]

_OF_CROPS: dict[str, Measure] = {
    "area(=w*h)": lambda segment: crop_of(segment).area,
    "width": lambda segment: crop_of(segment).width,
    "height": lambda segment: crop_of(segment).height,
    "x1": lambda segment: crop_of(segment).x1,
    "y1": lambda segment: crop_of(segment).y1,
    "x2": lambda segment: crop_of(segment).x2,
    "y2": lambda segment: crop_of(segment).y2,
}
RANGE_MEASURES: dict[str, Measure] = {
    **_OF_CROPS,
    "length_percent": lambda segment: _elongation(segment) * 100,
    "confidence(0-100)": lambda segment: float(confidence_of(segment) * 100),
}
"""What the range filter can measure."""
ORDER_MEASURES: dict[str, Measure] = {**_OF_CROPS, "confidence": lambda segment: float(confidence_of(segment))}
"""What the ordered filter can sort by."""


def parted(segs: Any, wanted: Callable[[Any], bool]) -> Pair:
    """The segments that are wanted, and the others, each in the order that they came in."""
    header, segments = segs_from(segs)
    kept: list[Seg] = []
    others: list[Seg] = []
    for segment in segments:
        (kept if wanted(segment) else others).append(plain_seg(segment))
    return (header, kept), (header, others)


def picked_places(text: str, count: int) -> list[int]:
    """Indices of the segments that ``text`` names by number from 1, in the order of the segments, each once.

    What names none of ``count`` segments is left out, with a warning in the log.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    places = {int(word) - 1 for word in words if word.lstrip("+-").isdecimal()}
    found = sorted(place for place in places if 0 <= place < count)
    if len(found) < len(set(words)):
        logger.warning(
            "The picks %r match %d of %d segments; give the numbers of segments, counted from 1.",
            text,
            len(found),
            count,
        )
    return found


def segs_on(segs: tuple[tuple[int, int], Sequence[Any]], frames: Tensor) -> Segs:
    """SEGS with their pictures and masks at the size of ``frames`` (F, H, W, C), each axis by its own ratio; as they
    are where they have that size already or name none."""
    header, segments = segs
    size = frame_size(frames)
    if header == size.shape or not all(header):
        return header, [plain_seg(segment) for segment in segments]
    return size.shape, [_scaled(segment, header, frames, number) for number, segment in enumerate(segments)]


def _scaled(segment: Any, header: tuple[int, int], frames: Tensor, number: int) -> Seg:
    if isinstance(segment, TrackedSeg):
        return segment.fitted(frames.float().numpy(), "fallback_image_opt")
    seg = seg_on(segment, header, frame_size(frames), number)
    images = carried_images(segment, number)
    if images is None:
        return seg
    x1, y1, x2, y2 = seg.crop_region
    size, whole = Size(x2 - x1, y2 - y1), Box(0, 0, images.shape[2], images.shape[1])
    return seg._replace(cropped_image=np.stack([resample.crop(image, whole, size) for image in images.numpy()]))
