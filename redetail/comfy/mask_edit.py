"""Changing the masks of segments: one for all frames, one for each frame, or those of a tracked, moving window.

Two masks are combined as 8-bit grey levels, bit by bit, because that is what saved workflows were made with: it is the
smaller or larger value where one of them is black or white. Tracked segments, which only we know, take the smaller
value itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.comfy.convert import plain_seg
from redetail.comfy.mask_segs import common_count, dilated, placed_seg, seg_name, with_masks
from redetail.comfy.tracked import TrackedSeg
from redetail.errors import RegionError
from redetail.imaging.masks import Mask, feather, place_mask, resize_mask
from redetail.imaging.resample import touched
from redetail.region import Box, Region, Size
from redetail.segs import Seg

Levels = NDArray[np.uint8]

MERGED = "merged"
"""What a segment that unites others is called."""


def dilated_seg(segment: Any, amount: int, number: int = 0) -> Seg:
    """The segment with its masks grown inside its crop, shrunk where ``amount`` is negative; see
    :func:`~redetail.comfy.mask_segs.dilated`."""
    return plain_seg(segment) if amount == 0 else _edited(segment, lambda masks: dilated(masks, amount), number)


def blurred_seg(segment: Any, radius: int, sigma: float, number: int = 0) -> Seg:
    """The segment with its masks blurred inside its crop; see :func:`~redetail.imaging.masks.feather`."""
    return plain_seg(segment) if radius == 0 else _edited(segment, lambda masks: feather(masks, radius, sigma), number)


def intersected_seg(segment: Any, masks: Mask, number: int = 0) -> Seg:
    """The segment with its masks cut down to ``masks`` (1 or F, H, W) of the whole picture, and without a ControlNet.

    Raises :class:`~redetail.errors.RegionError` if both have masks for several frames and not equally many.
    """
    if isinstance(segment, TrackedSeg):
        return _intersected_tracked(segment, masks, number)
    own, there = _own_masks(segment, number), _under(masks, _corners(segment.crop_region))
    if 1 not in (len(own), len(there)) and len(own) != len(there):
        raise RegionError(
            f"{seg_name(segment, number)} has {len(own)} masks, but the mask input has {len(there)}; connect one mask "
            "for all frames or one for each."
        )
    return with_masks(plain_seg(segment, control_net_wrapper=None), _grey(_levels(own) & _levels(there)))


def with_scaled_box(segment: Any, scale: float, number: int = 0) -> Seg:
    """The segment with its bbox scaled about its centre, and nothing masked outside the new bbox.

    Each side moves by whole pixels. The last row and column of the crop count as outside (recorded); for tracked
    segments, whose boxes lie between pixels, neither holds.
    """
    if isinstance(segment, TrackedSeg):
        return _tracked_with_scaled_boxes(segment, scale)
    x1, y1, x2, y2 = segment.bbox
    width, height = x2 - x1, y2 - y1
    across, down = int((width * scale - width) / 2), int((height * scale - height) / 2)
    box = (x1 - across, y1 - down, x2 + across, y2 + down)
    masks = _own_masks(segment, number)
    kept = np.zeros_like(masks)
    left, top = _corners(segment.crop_region)[:2]
    columns = _clamped(box[0] - left, box[2] - left, masks.shape[2] - 1)
    rows = _clamped(box[1] - top, box[3] - top, masks.shape[1] - 1)
    kept[:, rows, columns] = masks[:, rows, columns]
    return with_masks(plain_seg(segment, bbox=box), kept)


def merged_seg(header: tuple[int, int], segments: Sequence[Any]) -> Seg:
    """One segment around all ``segments`` (at least one) of a picture of size ``header``, with their united masks: a
    shared mask, or one for each frame. Its confidence is the least of theirs."""
    size = Size(header[1], header[0])
    placed = [placed_seg(segment, size, number) for number, segment in enumerate(segments)]
    window = _around([found.window for found in placed])
    levels = np.zeros((common_count(segments), int(window.height), int(window.width)), np.uint8)
    for found in placed:
        levels[:, *_pixels(found.window, window.x1, window.y1)] |= _levels(found.masks)
    box = tuple(limit(segment.bbox[side] for segment in segments) for side, limit in enumerate((min, min, max, max)))
    confidence = min(1.0, *(float(np.asarray(segment.confidence).reshape(-1)[0]) for segment in segments))
    return with_masks(Seg(None, None, confidence, _corners(window.as_tuple()), box, MERGED), _grey(levels))


def picture_masks(header: tuple[int, int], segments: Sequence[Any]) -> list[Mask]:
    """The masks (1 or F, H, W) of each segment on the whole picture, in 256 levels."""
    size = Size(header[1], header[0])
    masks = []
    for number, segment in enumerate(segments):
        placed = placed_seg(segment, size, number)
        levels = np.zeros((len(placed.masks), *header), np.uint8)
        levels[:, *_pixels(placed.window)] = _levels(placed.masks)
        masks.append(_grey(levels))
    return masks


def _edited(segment: Any, edit: Callable[[Mask], Mask], number: int) -> Seg:
    """The segment with ``edit`` made to its masks; a tracked one stays tracked."""
    if isinstance(segment, TrackedSeg):
        shared = segment.region.masks is not None and len(segment.region.masks) == 1
        return _with_window_masks(segment, lambda _, mask: edit(mask), 1 if shared else len(segment.region))
    return with_masks(plain_seg(segment), edit(_own_masks(segment, number)))


def _own_masks(segment: Any, number: int) -> Mask:
    """The masks of an ordinary segment at the size of its crop, (1 or F, h, w); all of it where it has none."""
    x1, y1, x2, y2 = _corners(segment.crop_region)
    if x2 <= x1 or y2 <= y1:
        raise RegionError(
            f"{seg_name(segment, number)} has an empty crop region {tuple(segment.crop_region)}; "
            "its width and height must be above 0."
        )
    whole = (0, 0, x2 - x1, y2 - y1)
    return placed_seg(plain_seg(segment, crop_region=whole, bbox=whole), Size(x2 - x1, y2 - y1), number).masks


def _with_window_masks(segment: TrackedSeg, edit: Callable[[int, Mask], Mask], count: int) -> TrackedSeg:
    """The segment with ``edit(index, mask)`` made to the masks of its window, of which there are ``count``."""
    region = segment.region
    masks = [np.rint(edit(index, region.mask(index)) * 255).astype(np.uint8) for index in range(count)]
    return segment.with_region(replace(region, masks=masks))


def _intersected_tracked(segment: TrackedSeg, masks: Mask, number: int) -> Seg:
    if len(masks) not in (1, segment.clip_frames):
        raise RegionError(
            f"{seg_name(segment, number)} was tracked in {segment.clip_frames} frames, but the mask input has "
            f"{len(masks)} masks; connect one mask for all frames or one for each."
        )
    region = segment.region
    pictures = masks if masks.shape[1:] == segment.frame.shape else resize_mask(masks, segment.frame)

    def both(index: int, mask: Mask) -> Mask:
        picture = pictures[0 if len(pictures) == 1 else region.start + index]
        return np.minimum(mask, _through_window(picture, region.window(index), region.size))

    return _with_window_masks(segment, both, len(region))._replace(control_net_wrapper=None)


def _through_window(picture: Mask, window: Box, size: Size) -> Mask:
    """What a window sees of a mask (H, W): (h, w), zero beyond the picture."""
    inside = touched(window, Size(picture.shape[1], picture.shape[0]))
    x, y = window.x1, window.y1
    moved = Box(inside.x1 - x, inside.y1 - y, inside.x2 - x, inside.y2 - y)
    placed, at = place_mask(picture[_pixels(inside)], moved, size)
    seen = np.zeros(size.shape, np.float32)
    seen[_pixels(at)] = placed
    return seen


def _tracked_with_scaled_boxes(segment: TrackedSeg, scale: float) -> Seg:
    region = segment.region
    first, last = region.boxes[:, :2], region.boxes[:, 2:]
    centre, reach = (first + last) / 2, (last - first) * scale / 2
    scaled: Region = replace(region, boxes=np.hstack([centre - reach, centre + reach]), masks=None)
    masks = [np.rint(np.minimum(region.mask(i), scaled.mask(i)) * 255).astype(np.uint8) for i in range(len(region))]
    return segment.with_region(replace(scaled, masks=masks))


def _under(masks: Mask, corners: Sequence[int]) -> Mask:
    """The part of masks (F, H, W) under a crop region, zero where it reaches beyond the picture."""
    x1, y1, x2, y2 = corners
    cut = np.zeros((len(masks), y2 - y1, x2 - x1), np.float32)
    inside = masks[:, max(0, y1) : max(0, y2), max(0, x1) : max(0, x2)]
    top, left = max(0, -y1), max(0, -x1)
    cut[:, top : top + inside.shape[1], left : left + inside.shape[2]] = inside
    return cut


def _clamped(start: float, stop: float, limit: int) -> slice:
    return slice(min(limit, max(0, round(start))), min(limit, max(0, round(stop))))


def _levels(masks: Mask) -> Levels:
    """Masks 0..1 as grey levels, cut and not rounded: recorded."""
    return (masks * np.float32(255)).astype(np.uint8)


def _grey(levels: Levels) -> Mask:
    return levels.astype(np.float32) / np.float32(255)


def _around(boxes: Sequence[Box]) -> Box:
    """The smallest box that holds all of them."""
    union = boxes[0]
    for box in boxes[1:]:
        union = union.union(box)
    return union


def _corners(sides: Sequence[float]) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (int(side) for side in sides)
    return x1, y1, x2, y2


def _pixels(box: Box, x: float = 0, y: float = 0) -> tuple[slice, slice]:
    """Rows and columns of a box on whole pixels in a picture whose corner is at (x, y)."""
    return slice(int(box.y1 - y), int(box.y2 - y)), slice(int(box.x1 - x), int(box.x2 - x))
