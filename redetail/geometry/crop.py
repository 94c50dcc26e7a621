"""The crop of a subject: the window around its box, the size at which it is re-diffused, the padding of that size."""

from __future__ import annotations

from typing import NamedTuple

from redetail.errors import RegionError
from redetail.region import Box, Size
from redetail.settings import GuideSizeFor, Settings


class Padding(NamedTuple):
    """Pixels added at each side."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def to_multiple(cls, size: Size, multiple: int) -> Padding:
        """The least padding that makes both sides multiples of ``multiple``; an odd pixel goes right or below."""
        across, down = -size.width % multiple, -size.height % multiple
        return cls(across // 2, down // 2, across - across // 2, down - down // 2)

    def padded(self, size: Size) -> Size:
        """The size with this padding around it."""
        return Size(size.width + self.left + self.right, size.height + self.top + self.bottom)


def crop_region(frame: Size, box: Box, factor: float, min_size: float = 0) -> Box:
    """The window around ``box`` whose sides are ``factor`` times the box's, at least ``min_size`` pixels.

    The window has whole pixels inside the frame: if it leaves the frame it is moved back in, and it is cut only if it
    is larger than the frame. Rounding follows the recorded rule (truncated after halving).

    Raises :class:`~redetail.errors.RegionError` for a box with a side of zero, a box outside the frame, or a factor so
    small that no pixel is left.
    """
    if box.width == 0 or box.height == 0:
        raise RegionError(f"The box {box.as_tuple()} has a side of length zero; give a box that covers the subject.")
    if box.clipped(frame) is None:
        raise RegionError(
            f"The box {box.as_tuple()} lies outside the {frame}-pixel frame; give a box inside the frame."
        )
    x1, x2 = _span(frame.width, box.x1, box.x2, factor, min_size)
    y1, y2 = _span(frame.height, box.y1, box.y2, factor, min_size)
    if x1 == x2 or y1 == y2:
        raise RegionError(
            f"The box {box.as_tuple()} with crop-factor {factor:g} does not cover a whole pixel; give a larger "
            "box or a higher crop-factor."
        )
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


def working_size(
    crop: Size, box_size: tuple[float, float], guide_size: float, guide_size_for: GuideSizeFor, max_size: float
) -> Size:
    """The size at which a crop is re-diffused by the detailer nodes' rule; never smaller than the crop itself.

    ``guide_size_for`` names the subject's box (of ``box_size`` = width, height in pixels) or the crop; the shorter side
    of that becomes ``guide_size`` pixels long. If a side would then exceed ``max_size``, the scale is reduced to fit.
    Products are truncated to whole pixels in double precision, as recorded from the original rule; its rounding can
    make the longer side one pixel longer than ``max_size``.

    Raises :class:`~redetail.errors.RegionError` for a box with a side of zero.
    """
    shorter = _guided_side(crop, box_size, guide_size_for)
    scale = guide_size / shorter
    width, height = int(crop.width * scale), int(crop.height * scale)
    if max(width, height) > max_size:
        scale *= max_size / max(width, height)
        width, height = int(crop.width * scale), int(crop.height * scale)
    if scale <= 1 or width == 0 or height == 0:
        return crop
    return Size(width, height)


def limited_size(size: Size, max_size: float) -> Size:
    """The size, scaled down to ``max_size`` if its longest side exceeds that; each side has at least one pixel."""
    scale = max_size / max(size.width, size.height)
    if scale >= 1:
        return size
    return Size(max(1, int(size.width * scale)), max(1, int(size.height * scale)))


def working_crop(
    crop: Size, box_size: tuple[float, float], settings: Settings, size_multiple: int, *, shrink: bool
) -> tuple[Size, Padding]:
    """The size at which a crop is re-diffused by the rule of its settings, and the padding around it that makes its
    sides multiples of ``size_multiple``, as its engine needs them.

    ``shrink``: ``max_size`` also limits crops that are larger; otherwise these keep their size, which is the rule of
    the original nodes.
    """
    guide = settings.guide_size
    if settings.max_upscale:
        guide = min(guide, settings.max_upscale * _guided_side(crop, box_size, settings.guide_size_for))
    working = working_size(crop, box_size, guide, settings.guide_size_for, settings.max_size)
    working = limited_size(working, settings.max_size) if shrink else working
    return working, Padding.to_multiple(working, size_multiple)


def _guided_side(crop: Size, box_size: tuple[float, float], guide_size_for: GuideSizeFor) -> float:
    if guide_size_for == "crop_region":
        return min(crop.width, crop.height)
    width, height = box_size
    if not (width > 0 and height > 0):
        raise RegionError(
            f"The subject's box is {width:g}x{height:g} pixels, but a side of length zero cannot be scaled; give a "
            "larger box, or set guide-size-for to crop_region."
        )
    return min(width, height)
