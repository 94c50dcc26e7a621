"""The crop window around a subject's box."""

from __future__ import annotations

from redetail.errors import RegionError
from redetail.region import Box, Size


def crop_region(frame: Size, box: Box, factor: float, min_size: float = 0) -> Box:
    """The window around ``box`` whose sides are ``factor`` times the box's, at least ``min_size`` pixels.

    Whole pixels inside the frame: a window that leaves the frame is moved back in, and is cut only where it is larger
    than the frame. Rounding is that of the recorded rule (cut towards zero, after the halving).

    Raises :class:`~redetail.errors.RegionError` for a box with a side of zero, one wholly outside the frame, or a
    factor so small that no pixel is left.
    """
    if box.width == 0 or box.height == 0:
        raise RegionError(f"The box {box.as_tuple()} has a side of zero; give one that covers the subject.")
    if box.clipped(frame) is None:
        raise RegionError(f"The box {box.as_tuple()} lies outside the frame of {frame} pixels.")
    x1, x2 = _span(frame.width, box.x1, box.x2, factor, min_size)
    y1, y2 = _span(frame.height, box.y1, box.y2, factor, min_size)
    if x1 == x2 or y1 == y2:
        raise RegionError(f"The box {box.as_tuple()} with crop-factor {factor:g} covers no whole pixel.")
    return Box(x1, y1, x2, y2)


def _span(length: int, start: float, stop: float, factor: float, min_size: float) -> tuple[int, int]:
    """First and last (excluded) pixel along one axis of ``length`` pixels."""
    wanted = max((stop - start) * factor, min_size)
    first = int(start + (stop - start) / 2 - wanted / 2)
    if first < 0:
        return 0, int(min(length, wanted))
    if first + wanted > length:
        return int(max(0, length - wanted)), length
    return first, int(min(length, first + wanted))
