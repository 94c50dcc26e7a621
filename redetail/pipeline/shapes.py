"""Makes masks of the shapes that the settings request, by reading the frames another time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from redetail.detection.base import to_uint8
from redetail.detection.shapes import SHAPES, Shape, ellipse
from redetail.pipeline.overrides import RegionSettings
from redetail.pipeline.shape_masks import PackedShapes, ShapeMasks
from redetail.region import Region
from redetail.video.base import Frame

LEAST_SEEN = 0.2
"""Share of a subject's frames in which a shape must be seen; below this, the subject's box is the better mask."""


def needs_frames(detailed: Iterable[RegionSettings]) -> bool:
    """Whether any region needs a shape to be searched for."""
    return any(one.settings.mask_shape in SHAPES for one in detailed)


def shaped(detailed: Sequence[RegionSettings], frames: Iterable[Frame]) -> tuple[list[RegionSettings], list[str]]:
    """The regions with masks of their ``mask_shape``, and messages about regions whose shape was hardly seen.

    ``frames`` are those that the regions span; they are not read if no shape has to be searched for.
    """
    sought = {
        number: (SHAPES[one.settings.mask_shape](), PackedShapes())
        for number, one in enumerate(detailed)
        if one.settings.mask_shape in SHAPES
    }
    for frame in frames if sought else ():
        for number, (shape, found) in sought.items():
            region = detailed[number].region
            if region.start <= frame.index < region.stop:
                found.add(shape.look(to_uint8(frame.pixels), region.box(frame.index - region.start)))
    made, notices = [], []
    for number, one in enumerate(detailed):
        region, notice = _with_masks(one, sought.get(number))
        made.append(replace(one, region=region))
        notices += notice
    return made, notices


def _with_masks(one: RegionSettings, found: tuple[Shape, PackedShapes] | None) -> tuple[Region, list[str]]:
    region, name = one.region, one.settings.mask_shape
    if found is None:
        return (replace(region, masks=None) if name == "box" else region), []
    shape, seen = found
    if seen.share_seen < LEAST_SEEN:
        instead = "an ellipse in the box" if name == "oval" else "the box"
        share = f"{seen.share_seen:.0%}"
        notice = f"The {name} of {region.label} was found in only {share} of its frames, so {instead} is used instead."
        masks = _ellipses(region, shape.reach) if name == "oval" else None
        return replace(region, masks=masks), [notice]
    return replace(region, masks=ShapeMasks(region, seen.filled(), shape.reach)), []


def _ellipses(region: Region, reach: float) -> ShapeMasks:
    drawn = PackedShapes()
    for index in range(len(region)):
        drawn.add(ellipse(region.box(index), reach))
    return ShapeMasks(region, drawn, reach)
