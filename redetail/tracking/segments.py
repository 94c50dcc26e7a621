"""Converts segments from other tools to regions, and regions to segments."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.documents import shown
from redetail.errors import RegionError
from redetail.imaging.masks import masks_for, normalise_mask, place_mask, resize_mask_part
from redetail.imaging.resample import touched
from redetail.region import Box, Region, Size
from redetail.segs import Seg, Segs
from redetail.tracking.given import fixed_region, frame_count, inside_frame

_LARGEST_REGION = 2**20
"""Most pixels on a crop region's side; with more, its coordinates must be in another unit."""


def regions_from_segs(document: Mapping[str, Any], frame: Size, start: int, stop: int) -> list[Region]:
    """Regions of a JSON document of segments, fixed in frames ``start`` to ``stop`` (excluded).

    The document is ``{"size": [width, height], "segs": [{"crop_region": [x1, y1, x2, y2], "bbox": [x1, y1, x2, y2],
    "label": "face", "confidence": 0.9, "mask": [[0, 0.5, 1], ...]}, ...]}``.
    ``bbox`` (by default the crop region), ``label``, ``confidence`` and ``mask`` are optional. A mask has rows of
    numbers 0..1 and covers the crop region; without a mask, the bbox is the subject. If ``size`` differs from the
    frame's, each axis is scaled by its own ratio.

    Raises :class:`~redetail.errors.RegionError`, which names the segment, for anything missing or unusable.
    """
    width, height = _numbers(document, "size", 2, "The document")
    if width < 1 or height < 1:
        raise RegionError(
            f"The size in the segments document is {width:g}x{height:g}; "
            "it must be a positive width and height in pixels."
        )
    entries = document.get("segs")
    if not isinstance(entries, Sequence) or isinstance(entries, str) or not entries:
        raise RegionError('The segments document contains no segments; list at least one under the key "segs".')
    header = Size(round(width), round(height))
    return [_region(_seg(entry, number), header, frame, start, stop, number) for number, entry in enumerate(entries)]


def _region(seg: Seg, header: Size, frame: Size, start: int, stop: int, number: int) -> Region:
    region = region_from_seg(seg, header, frame, start, stop, name=f"Segment {number}")
    # A segment without a mask is a box, like one that a detector reports.
    return replace(region, masks=None) if seg.cropped_mask is None else region


@dataclass(frozen=True, eq=False)
class PlacedSeg:
    """A segment in the coordinates of a frame, ready to be cropped.

    ``whole`` is its crop region and ``window`` the part inside the frame, both on whole pixels; ``box`` is the
    subject's own box, which can reach beyond them; ``masks`` are (1, h, w) for all frames or (F, h, w), float32 0..1,
    of the window's size.
    """

    whole: Box
    window: Box
    box: Box
    masks: NDArray[np.float32]


def place_seg(
    seg: Seg, header: Size, frame: Size, frames: int, *, name: str = "The segment", use_maximum: bool = False
) -> PlacedSeg:
    """One segment, whose coordinates refer to a picture of size ``header``, for ``frames`` frames of size ``frame``.

    Each axis is scaled by its own ratio, corners are cut to whole pixels (the recorded rule), and region and mask are
    clipped to the frame together (with a warning in the log). ``cropped_mask`` may be None (the whole crop), (h, w), or
    (F, h, w); with ``use_maximum``, any other number of masks is united by taking the largest values. Messages begin
    with ``name``. Raises :class:`~redetail.errors.RegionError` for anything that cannot be used.
    """
    kx, ky = frame.width / header.width, frame.height / header.height
    whole = _scaled_window(_box(seg.crop_region, name), kx, ky, name)
    window = inside_frame(whole, frame, f"{name} (crop region {_list(whole)})")
    mask = np.ones((1, 1), np.float32) if seg.cropped_mask is None else seg.cropped_mask
    masks = _window_masks(mask, whole, window, frames, name, use_maximum)
    box = _box(seg.bbox, name)
    return PlacedSeg(whole, window, box if kx == ky == 1 else _whole_pixels(box.scaled(kx, ky)), masks)


def region_from_seg(seg: Seg, header: Size, frame: Size, start: int, stop: int, *, name: str = "The segment") -> Region:
    """The fixed region of one segment in frames ``start`` to ``stop``; see :func:`place_seg`."""
    placed = place_seg(seg, header, frame, frame_count(start, stop), name=name)
    box = placed.box.intersection(placed.window)
    if box is None:
        raise RegionError(f"{name} has a bbox {_list(seg.bbox)} outside its crop region {_list(seg.crop_region)}.")
    masks = [np.rint(mask * 255).astype(np.uint8) for mask in placed.masks]
    return fixed_region(str(seg.label), float(seg.confidence), placed.window, box, start, stop, masks)


def seg_from_region(region: Region, frame: Size, start: int | None = None, stop: int | None = None) -> Seg:
    """The segment of a region: its crop is the union of its windows, with the masks placed in it.

    ``cropped_mask`` is float32 0..1: (h, w) if window and mask never change, else (F, h, w) for the frames ``start`` to
    ``stop`` (by default the region's own), zero in frames that the region does not have. ``cropped_image`` is None.
    """
    start, stop = region.start if start is None else start, region.stop if stop is None else stop
    crop, bbox = union_window(region, frame), bounds(region.boxes)
    corners = int(crop.x1), int(crop.y1), int(crop.x2), int(crop.y2)
    if (start, stop) == (region.start, region.stop) and _constant(region):
        mask = _mask_in(region, 0, crop)
    else:
        mask = np.zeros((frame_count(start, stop), int(crop.height), int(crop.width)), np.float32)
        for index in range(max(start, region.start), min(stop, region.stop)):
            mask[index - start] = _mask_in(region, index - region.start, crop)
    return Seg(None, mask, region.confidence, corners, bbox, region.label)


def union_window(region: Region, frame: Size) -> Box:
    """The smallest box of whole pixels that contains all windows of a region."""
    return Box(*bounds([touched(region.window(index), frame).as_tuple() for index in range(len(region))]))


def segs_from_regions(
    regions: Iterable[Region], frame: Size, start: int | None = None, stop: int | None = None
) -> Segs:
    """All regions as segments, with the header (height, width); see :func:`seg_from_region`."""
    return frame.shape, [seg_from_region(region, frame, start, stop) for region in regions]


def _seg(entry: Any, number: int) -> Seg:
    """A segment of the document, still in the document's coordinates."""
    name = f"Segment {number}"
    if not isinstance(entry, Mapping):
        raise RegionError(f"{name} must be an object with a crop_region, not {type(entry).__name__}.")
    crop = _numbers(entry, "crop_region", 4, name)
    bbox = crop if entry.get("bbox") is None else _numbers(entry, "bbox", 4, name)
    confidence = 1.0 if entry.get("confidence") is None else entry["confidence"]
    if isinstance(confidence, bool) or not isinstance(confidence, int | float) or not 0 <= confidence <= 1:
        raise RegionError(f"{name} has the confidence {shown(confidence)}; it must be a number from 0 to 1.")
    mask = None if entry.get("mask") is None else _mask_rows(entry["mask"], name)
    # Rounding is left to region_from_seg, which first scales the corners to the frame.
    return Seg(None, mask, float(confidence), crop, bbox, str(entry.get("label", "segment")))  # type: ignore[arg-type]


def _mask_rows(rows: Any, name: str) -> NDArray[np.float32]:
    try:
        mask = np.array(rows, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise RegionError(f"{name} has a mask that is not a table of numbers; give rows of equal length.") from error
    if mask.ndim != 2 or mask.size == 0 or not ((mask >= 0) & (mask <= 1)).all():
        raise RegionError(
            f"{name} has an invalid mask of shape {mask.shape}; give rows of equal length that contain only numbers "
            "from 0 to 1."
        )
    return mask


def _numbers(mapping: Mapping[str, Any], key: str, count: int, name: str) -> tuple[float, ...]:
    """``count`` finite numbers under ``key``."""
    values = mapping.get(key)
    numbers = values if isinstance(values, Sequence) and not isinstance(values, str) else ()
    if len(numbers) != count or any(isinstance(v, bool) or not isinstance(v, int | float) for v in numbers):
        raise RegionError(f"{name} needs {count} numbers under {key!r}, not {shown(values)}.")
    if not np.isfinite(np.array(numbers, dtype=np.float64)).all():
        raise RegionError(f"{name} has {shown(values)} under {key!r}; all numbers must be finite.")
    return tuple(float(v) for v in numbers)


def _box(values: Iterable[Any], name: str) -> Box:
    """A segment's box; the error for a bad one names the segment."""
    try:
        return Box(*(float(value) for value in values))
    except RegionError as error:
        raise RegionError(f"{name} cannot be used: {error}") from error


def _scaled_window(box: Box, kx: float, ky: float, name: str) -> Box:
    scaled = box.scaled(kx, ky)
    window = _whole_pixels(scaled)
    if window.area == 0:
        raise RegionError(f"{name} has the crop region {_list(box)}, which does not cover a whole pixel of the frame.")
    return window


def _whole_pixels(box: Box) -> Box:
    """The box with its corners cut to whole pixels; a rounding error in a product must not cost a pixel."""
    return Box(*(float(math.floor(value + 1e-6)) for value in box.as_tuple()))


def _window_masks(mask: Any, whole: Box, window: Box, frames: int, name: str, use_maximum: bool) -> NDArray[np.float32]:
    """Masks of the crop region at the frame's scale, cut like the window: (1, h, w), or (F, h, w)."""
    shape = np.shape(mask)
    if len(shape) not in (2, 3) or 0 in shape:
        raise RegionError(f"{name} has a mask of shape {shape}; give (height, width) or (frames, height, width).")
    try:
        masks = masks_for(normalise_mask(mask, Size(shape[-1], shape[-2])), frames, use_maximum=use_maximum)
    except RegionError as error:
        raise RegionError(f"{name} cannot be used: {error}") from error
    if max(whole.width, whole.height) > _LARGEST_REGION:
        raise RegionError(
            f"{name} has the crop region {_list(whole)}, with a side longer than {_LARGEST_REGION} pixels; give a "
            "smaller one."
        )
    return resize_mask_part(masks, Size(int(whole.width), int(whole.height)), window.moved(-whole.x1, -whole.y1))


def _mask_in(region: Region, index: int, crop: Box) -> NDArray[np.float32]:
    """The region's mask of one frame on the pixels of ``crop``."""
    window = region.window(index)
    moved = Box(window.x1 - crop.x1, window.y1 - crop.y1, window.x2 - crop.x1, window.y2 - crop.y1)
    canvas = np.zeros((int(crop.height), int(crop.width)), np.float32)
    placed, at = place_mask(region.mask(index), moved, Size(int(crop.width), int(crop.height)))
    canvas[int(at.y1) : int(at.y2), int(at.x1) : int(at.x2)] = placed
    return canvas


def _constant(region: Region) -> bool:
    shared = len(region.masks) == 1 if region.masks is not None else bool((region.boxes == region.boxes[0]).all())
    return region.fixed and shared


def bounds(boxes: Any) -> tuple[float, float, float, float]:
    """The smallest box around boxes (N, 4)."""
    corners = np.asarray(boxes, dtype=np.float64)
    low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _list(box: Any) -> str:
    values = box.as_tuple() if isinstance(box, Box) else box
    return "[" + ", ".join(f"{float(value):g}" for value in values) + "]"
