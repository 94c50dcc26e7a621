"""Gates over time: a subject stays unchanged in the frames in which it needs no detailing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from redetail.imaging.sharpness import sharpness
from redetail.region import Region
from redetail.selection.base import Search
from redetail.selection.detected import FADE
from redetail.selection.stretches import smaller_stretches
from redetail.selection.subjects import FoundSubject
from redetail.tracking.regions import region_from_boxes

SAMPLES = 12
"""Number of frames in which a subject's sharpness is measured."""


def smaller_parts(subject: FoundSubject, limit: float, search: Search) -> FoundSubject:
    """The parts of a subject in which the shorter side of its box is below ``limit`` pixels, with windows that fit
    them."""
    parts = []
    for region in subject.regions:
        sides = (region.boxes[:, 2:] - region.boxes[:, :2]).min(axis=1)
        parts += [_part(region, *stretch, search) for stretch in smaller_stretches(sides, limit)]
    return replace(subject, regions=tuple(parts))


def _part(region: Region, start: int, stop: int, search: Search) -> Region:
    """Frames ``start`` to ``stop`` of a region, with a fade wherever the region was cut."""
    if (start, stop) == (0, len(region)):
        return region
    masks = region.masks
    part = replace(
        region,
        start=region.start + start,
        path=region.path[start:stop],
        boxes=region.boxes[start:stop],
        masks=masks if masks is None or len(masks) == 1 else masks[start:stop],
        fade_in=FADE if start else region.fade_in,
        fade_out=FADE if stop < len(region) else region.fade_out,
    )
    if masks is not None:
        return part
    fitted = region_from_boxes(part.label, part.confidence, part.start, part.boxes, search.size, search.crop_factor)
    return replace(part, size=fitted.size, path=fitted.path)


def with_sharpness(subjects: Sequence[FoundSubject], search: Search) -> list[FoundSubject]:
    """The subjects with their median sharpness over some of their frames, which are read again."""
    wanted: dict[int, list[tuple[int, Region]]] = {}
    for subject in subjects:
        for region, index in _samples(subject.regions):
            wanted.setdefault(region.start + index, []).append((subject.number, region))
    measured: dict[int, list[float]] = {}
    for frame in search.part(min(wanted), max(wanted) + 1) if wanted else ():
        for number, region in wanted.get(frame.index, ()):
            value = sharpness(frame.pixels, region.box(frame.index - region.start))
            if value is not None:
                measured.setdefault(number, []).append(value)
    return [replace(one, sharpness=_median(measured.get(one.number, []))) for one in subjects]


def _samples(regions: Sequence[Region]) -> Iterable[tuple[Region, int]]:
    """Frames spread evenly over all stretches of a subject."""
    frames = [(region, index) for region in regions for index in range(len(region))]
    chosen = np.linspace(0, len(frames) - 1, min(SAMPLES, len(frames))).round().astype(int)
    return [frames[index] for index in sorted({*chosen.tolist()})]


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None
