"""How far a crop is scaled up before it is re-diffused."""

from __future__ import annotations

from redetail.errors import RegionError
from redetail.geometry.padding import Padding
from redetail.region import Size
from redetail.settings import GuideSizeFor, Settings


def working_size(
    crop: Size, box_size: tuple[float, float], guide_size: float, guide_size_for: GuideSizeFor, max_size: float
) -> Size:
    """The size at which a crop is re-diffused; never below the crop's own.

    The shorter side of what ``guide_size_for`` names (the subject's box of ``box_size`` = width, height in pixels, or
    the crop) becomes ``guide_size`` pixels long; where a side would exceed ``max_size`` the scale is reduced to fit.
    Products are cut to whole pixels in double precision, as recorded from the original rule; by its rounding the
    longer side may come out one pixel longer than ``max_size``.

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


def working_crop(
    crop: Size, box_size: tuple[float, float], settings: Settings, size_multiple: int
) -> tuple[Size, Padding]:
    """The size at which a crop is re-diffused by the rule of its settings, and the padding around it that makes its
    sides multiples of ``size_multiple``, as its engine needs them."""
    working = working_size(crop, box_size, settings.guide_size, settings.guide_size_for, settings.max_size)
    return working, Padding.to_multiple(working, size_multiple)


def _guided_side(crop: Size, box_size: tuple[float, float], guide_size_for: GuideSizeFor) -> float:
    if guide_size_for == "crop_region":
        return min(crop.width, crop.height)
    width, height = box_size
    if not (width > 0 and height > 0):
        raise RegionError(
            f"The subject's box is {width:g}x{height:g} pixels; a side of zero has no scale. Give a larger box, "
            "or measure the crop instead (guide-size-for crop_region)."
        )
    return min(width, height)
