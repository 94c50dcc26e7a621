"""Turns tracks into regions, with smoothed boxes and the path of one window."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from redetail.geometry.path import Floats, clipped_boxes, smoothed_boxes, window_path, window_size
from redetail.region import Region, Size
from redetail.tracking.tracker import Track


def regions_from_tracks(
    tracks: Iterable[Track], frame: Size, *, crop_factor: float, max_regions: int | None = None
) -> list[Region]:
    """One region for each track, the most prominent (area times time) first, named "face 1", "face 2" ...

    ``crop_factor`` (>= 1): side of the window as a multiple of the side of the box. ``max_regions`` keeps only that
    many subjects; tracks of one person are one subject and share a label. Boxes are smoothed, so that a mask made from
    them does not jitter. A track that is completely outside the frame is left out.
    """
    pairs = [(track, clipped_boxes(smoothed_boxes(track.boxes, track.detected), frame)) for track in tracks]
    visible = [(track, boxes) for track, boxes in pairs if (_areas(boxes) > 0).all()]
    visible.sort(key=lambda pair: (-float(_areas(pair[1]).sum()), pair[0].start))
    people: dict[object, int] = {}
    regions = []
    for track, boxes in visible:
        number = people.setdefault(track if track.person is None else track.person, len(people) + 1)
        if max_regions is None or number <= max_regions:
            label = f"{track.label} {number}"
            region = region_from_boxes(label, track.confidence, track.start, boxes, frame, crop_factor)
            regions.append(replace(region, person=track.person, descriptor=track.descriptor))
    return regions


def region_from_boxes(
    label: str, confidence: float, start: int, boxes: Floats, frame: Size, crop_factor: float
) -> Region:
    """The region whose window follows boxes (F, 4) that lie inside the frame and are already smooth."""
    size = window_size(boxes, frame, crop_factor)
    return Region(label, confidence, start, size, window_path(boxes, size, frame), boxes)


def _areas(boxes: Floats) -> Floats:
    areas: Floats = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return areas
