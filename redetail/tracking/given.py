"""Subjects that the user points at: a box, a mask, a video of masks."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import overload

import numpy as np
from numpy.typing import NDArray

from redetail.errors import RegionError
from redetail.geometry.crop import crop_region
from redetail.geometry.path import Floats, check_crop_factor
from redetail.imaging.masks import place_mask
from redetail.imaging.resample import touched
from redetail.region import Box, Region, Size
from redetail.tracking.mask_faults import unlike_frames, without_specks
from redetail.tracking.regions import region_from_boxes

logger = logging.getLogger(__name__)

VISIBLE = 16
"""Least mask value (0..255) that counts as subject, since black is not quite black after lossy compression."""
MARGIN = 16
"""Pixels kept around the visible part, so that a soft edge fades out completely."""


def region_from_box(box: Box, frame: Size, start: int, stop: int, *, crop_factor: float, label: str = "box") -> Region:
    """A subject that stays where it is in frames ``start`` to ``stop`` (excluded).

    Any part of the box outside the frame is cut off, with a warning in the log. Raises
    :class:`~redetail.errors.RegionError` for a box that is empty or outside, and for an empty range of frames.
    """
    check_crop_factor(crop_factor)
    inside = inside_frame(box, frame, f"The box {_numbers(box)}")
    window = crop_region(frame, inside, crop_factor).union(touched(inside, frame))
    return fixed_region(label, 1.0, window, inside, start, stop)


def fixed_region(
    label: str,
    confidence: float,
    window: Box,
    box: Box,
    start: int,
    stop: int,
    masks: Sequence[NDArray[np.uint8]] | None = None,
) -> Region:
    """A region whose window, on whole pixels, does not move."""
    frames = frame_count(start, stop)
    size = Size(round(window.width), round(window.height))
    path = np.tile([window.x1, window.y1], (frames, 1)).astype(np.float64)
    boxes = np.tile(box.as_tuple(), (frames, 1)).astype(np.float64)
    return Region(label, confidence, start, size, path, boxes, masks)


def frame_count(start: int, stop: int) -> int:
    """Frames from start to stop; raises RegionError if there are none."""
    if stop <= start:
        raise RegionError(f"There are no frames from {start} to {stop}; the end must come after the start.")
    return stop - start


def inside_frame(box: Box, frame: Size, what: str) -> Box:
    """The part of the box inside the frame; errors and warnings start with ``what``."""
    if box.area == 0:
        raise RegionError(f"{what} has a side of length zero; give a box that covers the subject.")
    inside = box.clipped(frame)
    if inside is None:
        raise RegionError(f"{what} lies outside the {frame}-pixel frame; give coordinates inside the frame.")
    if inside != box:
        logger.warning("%s extends beyond the %s-pixel frame and was clipped to %s.", what, frame, _numbers(inside))
    return inside


def regions_from_masks(
    masks: Iterable[NDArray[np.uint8]],
    frame: Size,
    start: int,
    stop: int,
    crop_factor: float,
    label: str = "mask",
    cuts: Iterable[int] = (),
) -> list[Region]:
    """The subject that masks show: one still mask for all frames ``start`` to ``stop``, or one mask for each.

    ``masks`` are (H, W) uint8 0..255 (or bool) of the frame's size, read one by one. The window follows the visible
    part; frames before the first and after the last visible mask are left out. In frames in between whose mask is
    empty, the window keeps moving and nothing is selected. Everything that a mask shows is one subject; at the frames
    ``cuts``, where new shots start, a new region of the subject starts, too. Specks, and parts that only single frames
    have, are left out, with a warning in the log.

    Raises :class:`~redetail.errors.RegionError` for masks of the wrong size, type or number, and if all are empty.
    """
    frames = frame_count(start, stop)
    packed = [_packed(mask, frame, index) for index, mask in enumerate(masks)]
    if len(packed) not in (1, frames):
        raise RegionError(
            f"There are {len(packed)} masks for {frames} frames; give one mask for all frames or one for each frame."
        )
    seen = [index for index, mask in enumerate(packed) if mask is not None]
    if not seen:
        raise RegionError(
            f"The mask is empty: every pixel is below {VISIBLE} on a scale of 0 to 255; paint the area to detail in "
            "white."
        )
    if len(packed) == 1 and packed[0] is not None:
        boxes = np.tile(packed[0].visible.as_tuple(), (frames, 1)).astype(np.float64)
        return [_masked_region(label, start, boxes, packed, frame, crop_factor)]
    packed = _without_faults(packed, start)
    shots = [0, *sorted(cut - start for cut in set(cuts) if start < cut < stop), frames]
    regions = []
    for first, last in pairwise(shots):
        seen = [index for index in range(first, last) if packed[index] is not None]
        if seen:
            shown = packed[seen[0] : seen[-1] + 1]
            boxes = _filled_boxes(shown, [index - seen[0] for index in seen])
            regions.append(_masked_region(label, start + seen[0], boxes, shown, frame, crop_factor))
    return regions if len(regions) == 1 else [replace(region, person=0) for region in regions]


def _without_faults(packed: Sequence[_Packed | None], start: int) -> list[_Packed | None]:
    """The masks; in a frame unlike all those around it, only the parts near the expected position."""
    seen = [(index, mask) for index, mask in enumerate(packed) if mask is not None]
    unlike = unlike_frames(np.array([mask.visible.as_tuple() for _, mask in seen], np.float64))
    steady = list(packed)
    for place, expected in unlike.items():
        index, mask = seen[place]
        steady[index] = mask.within(Box(*map(float, expected)))
    if unlike:
        frames = ", ".join(str(start + seen[place][0]) for place in list(unlike)[:8])
        more = f" and {len(unlike) - 8} more" if len(unlike) > 8 else ""
        logger.warning(
            "In %s %s%s, the mask differs from those of the neighbouring frames; only its parts near the neighbouring "
            "masks are used.",
            "frame" if len(unlike) == 1 else "frames",
            frames,
            more,
        )
    return steady


@dataclass(frozen=True, slots=True)
class _Packed:
    """The visible part of a mask: the box of visible pixels, and the compressed pixels of a slightly larger box."""

    visible: Box
    kept: Box
    data: bytes

    def levels(self) -> NDArray[np.uint8]:
        shape = int(self.kept.height), int(self.kept.width)
        return np.frombuffer(zlib.decompress(self.data), np.uint8).reshape(shape)

    def pixels(self) -> NDArray[np.float32]:
        return self.levels().astype(np.float32) / np.float32(255)

    def within(self, box: Box) -> _Packed | None:
        """The part in the box, or None if nothing visible is in it."""
        part = Box(*np.floor(box.as_tuple()[:2]), *np.ceil(box.as_tuple()[2:])).intersection(self.kept)
        if part is None:
            return None
        values = self.levels()
        rows = slice(int(part.y1 - self.kept.y1), int(part.y2 - self.kept.y1))
        columns = slice(int(part.x1 - self.kept.x1), int(part.x2 - self.kept.x1))
        inside = np.zeros_like(values)
        inside[rows, columns] = values[rows, columns]
        return _cropped(inside, self.kept)


class WindowMasks(Sequence[NDArray[np.uint8]]):
    """Masks of frames, seen through a moving window; each is unpacked when it is read, so that a long clip takes little
    memory."""

    def __init__(self, packed: Sequence[_Packed | None], path: Floats, size: Size) -> None:
        self._packed, self._path, self._size = packed, path, size

    def __len__(self) -> int:
        return len(self._packed)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...

    @overload
    def __getitem__(self, index: slice) -> WindowMasks: ...

    def __getitem__(self, index: int | slice) -> NDArray[np.uint8] | WindowMasks:
        if isinstance(index, slice):
            return WindowMasks(self._packed[index], self._path[index], self._size)
        packed = self._packed[index]
        window = np.zeros(self._size.shape, np.uint8)
        if packed is None:
            return window
        x, y = map(float, self._path[index])
        kept = Box(packed.kept.x1 - x, packed.kept.y1 - y, packed.kept.x2 - x, packed.kept.y2 - y)
        placed, at = place_mask(packed.pixels(), kept, self._size)
        window[int(at.y1) : int(at.y2), int(at.x1) : int(at.x2)] = np.rint(placed * 255)
        return window


def _masked_region(
    label: str, start: int, boxes: Floats, packed: Sequence[_Packed | None], frame: Size, crop_factor: float
) -> Region:
    outline = region_from_boxes(label, 1.0, start, boxes, frame, crop_factor)
    masks = WindowMasks(packed, outline.path[: len(packed)], outline.size)
    return Region(label, 1.0, start, outline.size, outline.path, boxes, masks)


def _packed(mask: NDArray[np.uint8], frame: Size, index: int) -> _Packed | None:
    """The mask's visible part, or None; raises RegionError for a mask that does not fit the frame."""
    if mask.ndim != 2 or mask.dtype not in (np.uint8, np.bool_):
        raise RegionError(
            f"Mask {index} must be a uint8 or bool array of shape (height, width), not an array of type {mask.dtype} "
            f"and shape {mask.shape}."
        )
    if mask.shape != frame.shape:
        raise RegionError(
            f"Mask {index} is {mask.shape[1]}x{mask.shape[0]} pixels, but the frame is {frame}; make them the same "
            "size."
        )
    values = mask.astype(np.uint8) * np.uint8(255) if mask.dtype == np.bool_ else mask
    return _cropped(values, Box(0, 0, frame.width, frame.height))


def _cropped(values: NDArray[np.uint8], at: Box) -> _Packed | None:
    """The visible part of a mask (h, w) that lies at a box of the frame, without specks; None if there is none."""
    visible_pixels = values >= VISIBLE
    seen = without_specks(visible_pixels)
    if seen is not visible_pixels:
        values = np.where(visible_pixels & ~seen, 0, values).astype(np.uint8)
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not len(rows):
        return None
    visible = Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    height, width = values.shape
    x1, y1 = max(0, int(visible.x1) - MARGIN), max(0, int(visible.y1) - MARGIN)
    x2, y2 = min(width, int(visible.x2) + MARGIN), min(height, int(visible.y2) + MARGIN)
    data = zlib.compress(values[y1:y2, x1:x2].tobytes(), 1)
    return _Packed(_moved(visible, at), _moved(Box(x1, y1, x2, y2), at), data)


def _moved(box: Box, by: Box) -> Box:
    return Box(box.x1 + by.x1, box.y1 + by.y1, box.x2 + by.x1, box.y2 + by.y1)


def _filled_boxes(packed: Sequence[_Packed | None], seen: Sequence[int]) -> Floats:
    """Boxes (F, 4) from the first to the last visible mask, interpolated if there is none."""
    known = np.array([mask.visible.as_tuple() for mask in packed if mask is not None], dtype=np.float64)
    frames = np.arange(seen[0], seen[-1] + 1)
    return np.stack([np.interp(frames, seen, column) for column in known.T], axis=1)


def _numbers(box: Box) -> str:
    return ",".join(f"{value:g}" for value in box.as_tuple())
