"""Tracks to regions: smoothed boxes and the path of one window."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from redetail.geometry.path import Floats, clipped_boxes, smoothed_boxes, window_path, window_size
from redetail.region import Region, Size
from redetail.tracking.tracker import Track


def regions_from_tracks(
    tracks: Iterable[Track], frame: Size, *, crop_factor: float, max_regions: int | None = None
) -> list[Region]:
    """One region for each track, the most prominent (area times time) first, named "face 1", "face 2" ...

    ``crop_factor`` (>= 1): side of the window as a multiple of the box. ``max_regions`` keeps only that many.
    Boxes are smoothed, so a mask made of them does not tremble. A track that leaves the frame entirely is left out.
    """
    pairs = [(track, clipped_boxes(smoothed_boxes(track.boxes, track.detected), frame)) for track in tracks]
    visible = [(track, boxes) for track, boxes in pairs if (_areas(boxes) > 0).all()]
    visible.sort(key=lambda pair: (-float(_areas(pair[1]).sum()), pair[0].start))
    return [
        region_from_boxes(f"{track.label} {number}", track.confidence, track.start, boxes, frame, crop_factor)
        for number, (track, boxes) in enumerate(visible[:max_regions], 1)
    ]


def region_from_boxes(
    label: str, confidence: float, start: int, boxes: Floats, frame: Size, crop_factor: float
) -> Region:
    """The region whose window follows boxes (F, 4) that lie inside the frame and are already smooth."""
    size = window_size(boxes, frame, crop_factor)
    return Region(label, confidence, start, size, window_path(boxes, size, frame), boxes)


def _areas(boxes: Floats) -> Floats:
    areas: Floats = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return areas
