"""Masks to SEGS and back, and what detectors do to the masks of segments.

Segments of a mask are its connected parts (diagonal neighbours count), holes and what lies in them included, listed
from the one that begins lowest to the one that begins highest: the order that saved workflows know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from redetail.comfy.convert import as_array, plain_seg
from redetail.errors import InputError, RegionError
from redetail.geometry.crop import crop_region
from redetail.imaging.masks import Mask
from redetail.region import Box, Size
from redetail.segs import Seg
from redetail.tracking.segments import PlacedSeg, place_seg

Area = NDArray[np.bool_]

LABEL = "A"
"""What segments that come from masks are called."""

_VISIBLE = np.float32(1 / 255)  # below it a pixel belongs to no segment


@dataclass(frozen=True)
class Cutting:
    """How segments are cut out of masks.

    ``crop_factor``: the crop is this many times as long as the part's box; ``drop_size``: a part no wider or no higher
    than this is left out; ``bbox_fill``: the mask is the whole box; ``contour_fill``: holes and soft edges become full.
    """

    crop_factor: float = 3.0
    drop_size: int = 1
    bbox_fill: bool = False
    contour_fill: bool = False


class _Part(NamedTuple):
    """A connected part: its box, and which of the box's pixels it covers with its holes filled."""

    box: Box
    area: Area


def segs_of_masks(masks: Mask, cut: Cutting, *, combined: bool = False) -> list[Seg]:
    """The segments of masks (F, H, W), each mask by itself; ``combined``: all of a mask is one segment.

    A combined segment's bbox ends on its last pixel, not after it: recorded, and crops stay where saved workflows have
    them. Its ``bbox_fill`` does include that pixel, and a single row or column is a segment too.
    """
    cutter = _whole_seg if combined else _part_segs
    return [seg for mask in masks for seg in cutter(mask, cut)]


def clip_segs_of_masks(masks: Mask, cut: Cutting, *, combined: bool = False) -> list[Seg]:
    """The segments of a clip with one mask (F, H, W) for each frame: cropped_mask is a tensor (F, h, w).

    Parts, boxes and crops are those of the largest value that each pixel has in any frame; every frame's mask is what
    that frame has in the crop, its neighbours' parts included. ``bbox_fill`` and ``contour_fill`` act on each frame.
    A single mask is shared by all frames: then cropped_mask is an array (h, w).
    """
    if len(masks) == 1:
        return segs_of_masks(masks, cut, combined=combined)
    plain = Cutting(cut.crop_factor, cut.drop_size)
    united = segs_of_masks(masks.max(axis=0, keepdims=True), plain, combined=combined)
    return [_with_frames(seg, _filled_frames(_cut(masks, seg.crop_region), seg, cut)) for seg in united]


def follow_segs(pivots: Sequence[Any], masks: Mask) -> list[Seg]:
    """Segments that follow their subject: each pivot with the masks (F, H, W) of all frames inside its crop.

    What is followed are the connected parts of the clip's united mask that the pivot's own mask touches, so that a
    neighbour who reaches into the crop stays out of it.
    """
    from scipy import ndimage

    labels, _ = ndimage.label(masks.max(axis=0) >= _VISIBLE, np.ones((3, 3)))
    size = Size(masks.shape[2], masks.shape[1])
    followed = []
    for number, pivot in enumerate(pivots):
        placed = placed_seg(pivot, size, number)
        region = _corners(placed.window)
        inside = _cut(labels[None], region)[0]
        touched = np.unique(inside[(placed.masks.max(axis=0) >= _VISIBLE) & (inside > 0)])
        kept = np.where(np.isin(inside, touched), _cut(masks, region), np.float32(0))
        followed.append(_with_frames(plain_seg(pivot, crop_region=region), kept))
    return followed


def combined_mask(header: tuple[int, int], segments: Sequence[Any]) -> Mask:
    """All masks of SEGS on the picture: (1, H, W), or (F, H, W) where a segment has one for each frame; the largest
    value of each pixel. Raises RegionError for a segment outside the picture and for differing numbers of frames."""
    if not all(header):
        raise InputError(
            "The header of segs gives the size of the picture as 0x0; connect SEGS that were made from an image."
        )
    size = Size(header[1], header[0])
    frames = common_count(segments)
    canvas = np.zeros((frames, *header), np.float32)
    for number, segment in enumerate(segments):
        placed = placed_seg(segment, size, number)
        view = _cut(canvas, _corners(placed.window))
        np.maximum(view, placed.masks, out=view)
    return canvas


def placed_seg(segment: Any, header: Size, number: int, picture: Size | None = None) -> PlacedSeg:
    """Anyone's segment on a picture, by default of the size that it refers to, with as many masks as it has."""
    seg = plain_seg(segment, cropped_mask=as_array(segment.cropped_mask))
    return place_seg(seg, header, picture or header, _mask_count(segment), name=seg_name(segment, number))


def seg_name(segment: Any, number: int) -> str:
    """What messages call a segment."""
    return f"Segment {number} ({segment.label!r})"


def masked(segments: Sequence[Any], mask: Mask) -> list[Seg]:
    """The segments with their masks cut down to ``mask`` (H, W): the smaller value of each pixel."""
    size = Size(mask.shape[1], mask.shape[0])
    results = []
    for number, segment in enumerate(segments):
        placed = placed_seg(segment, size, number)
        region = _corners(placed.window)
        both = np.minimum(placed.masks, _cut(mask[None], region))
        results.append(with_masks(plain_seg(segment, crop_region=region), both))
    return results


def dilated(mask: Mask, amount: int) -> Mask:
    """Masks (h, w) or (F, h, w) grown by a square of ``amount`` pixels, shrunk where it is negative.

    An even square reaches one pixel further to the left and up: growing moves edges right and down (recorded).
    """
    if amount in (-1, 0, 1):
        return mask
    from scipy import ndimage

    square = (1,) * (mask.ndim - 2) + (abs(amount), abs(amount))
    if amount > 0:
        grown: Mask = ndimage.maximum_filter(mask, size=square, mode="constant", cval=0.0)
        return grown
    shrunk: Mask = ndimage.minimum_filter(mask, size=square, mode="constant", cval=1.0)
    return shrunk


def _part_segs(mask: Mask, cut: Cutting) -> list[Seg]:
    size = Size(mask.shape[1], mask.shape[0])
    segs = []
    for box, area in _parts(mask >= _VISIBLE):
        if box.width <= cut.drop_size or box.height <= cut.drop_size:
            continue
        window = crop_region(size, box, cut.crop_factor)
        values = np.zeros((int(window.height), int(window.width)), np.float32)
        if cut.bbox_fill:
            piece = np.ones_like(area, np.float32)
        elif cut.contour_fill:
            piece = area.astype(np.float32)
        else:
            piece = _cut(mask[None], _corners(box))[0] * area
        _put(values, piece, box, window)
        segs.append(_seg(values, window, box))
    return segs


def _whole_seg(mask: Mask, cut: Cutting) -> list[Seg]:
    extent = _extent(mask > 0)
    if extent is None:
        return []
    recorded = Box(extent.x1, extent.y1, max(extent.x2 - 1, extent.x1 + 1), max(extent.y2 - 1, extent.y1 + 1))
    window = crop_region(Size(mask.shape[1], mask.shape[0]), recorded, cut.crop_factor)
    values = _cut(mask[None], _corners(window))[0].copy()
    if cut.bbox_fill:
        _put(values, np.ones((int(extent.height), int(extent.width)), np.float32), extent, window)
    return [_seg(values, window, recorded)]


def _parts(area: Area) -> list[_Part]:
    """Connected parts, the one whose first row is lowest first; in one row the rightmost first."""
    from scipy import ndimage

    labels, _ = ndimage.label(_without_holes(area), np.ones((3, 3)))
    found = []
    for index, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[rows, columns] == index
        begin = (rows.start, columns.start + int(inside[0].argmax()))
        found.append((begin, _Part(Box(columns.start, rows.start, columns.stop, rows.stop), inside)))
    return [part for _, part in sorted(found, key=lambda item: item[0], reverse=True)]


def _without_holes(area: Area) -> Area:
    """The area with all that it encloses."""
    from scipy import ndimage

    background, count = ndimage.label(~area)
    outside = np.zeros(count + 1, np.bool_)
    for edge in (background[0], background[-1], background[:, 0], background[:, -1]):
        outside[edge] = True
    outside[0] = False
    enclosed: Area = ~outside[background]
    return enclosed


def _filled_frames(masks: Mask, seg: Seg, cut: Cutting) -> Mask:
    """Every frame's mask (F, h, w) of a segment's crop with box or contours filled, where that is asked for."""
    masks = masks.copy()
    x, y = seg.crop_region[:2]
    x1, y1, x2, y2 = (int(side) for side in (seg.bbox[0] - x, seg.bbox[1] - y, seg.bbox[2] - x, seg.bbox[3] - y))
    for mask in masks:
        if cut.bbox_fill:
            own = mask[max(0, y1) : y2, max(0, x1) : x2]
            extent = _extent(own >= _VISIBLE)
            if extent is not None:
                _cut(own[None], _corners(extent))[...] = 1
        elif cut.contour_fill:
            mask[_without_holes(mask >= _VISIBLE)] = 1
    return masks


def _extent(area: Area) -> Box | None:
    """The smallest box around an area, or None for an empty one."""
    rows, columns = np.flatnonzero(area.any(axis=1)), np.flatnonzero(area.any(axis=0))
    if not len(rows):
        return None
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def _seg(mask: Mask, window: Box, box: Box) -> Seg:
    return Seg(None, mask, 1.0, _corners(window), _corners(box), LABEL)


def _with_frames(seg: Seg, masks: Mask) -> Seg:
    """Masks of many frames leave as a tensor, of which every pack can show and unite them."""
    return seg._replace(cropped_mask=torch.from_numpy(masks))


def with_masks(seg: Seg, masks: Mask) -> Seg:
    """The segment with masks (1 or F, h, w): a shared mask leaves as an array (h, w), several as a tensor (F, h, w)."""
    return seg._replace(cropped_mask=masks[0]) if len(masks) == 1 else _with_frames(seg, masks)


def _put(values: Mask, piece: Mask, box: Box, window: Box) -> None:
    """Write the piece of a box into the mask of a window, as far as the two overlap."""
    common = box.intersection(window)
    if common is not None:
        x1, y1, x2, y2 = _corners(common)
        target = values[y1 - int(window.y1) : y2 - int(window.y1), x1 - int(window.x1) : x2 - int(window.x1)]
        target[...] = piece[y1 - int(box.y1) : y2 - int(box.y1), x1 - int(box.x1) : x2 - int(box.x1)]


def _cut(stack: NDArray[Any], corners: Sequence[int]) -> NDArray[Any]:
    """A view of a rectangle of every picture (F, H, W)."""
    x1, y1, x2, y2 = corners
    return stack[:, y1:y2, x1:x2]


def _corners(box: Box) -> tuple[int, int, int, int]:
    return int(box.x1), int(box.y1), int(box.x2), int(box.y2)


def _mask_count(segment: Any) -> int:
    """How many masks a segment has; a shared one and none count as one."""
    shape = np.shape(segment.cropped_mask)
    return shape[0] if len(shape) == 3 else 1


def common_count(segments: Sequence[Any]) -> int:
    """How many masks the segments of a clip have, 1 where all are shared; raises RegionError if they differ."""
    counts = sorted({_mask_count(segment) for segment in segments} - {1})
    if len(counts) > 1:
        raise RegionError(
            f"Some segments have {counts[0]} masks and others have {counts[1]}; connect segments of the same clip."
        )
    return counts[0] if counts else 1
