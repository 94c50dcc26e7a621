"""Turns detections, or whatever the user points at, into subjects over time."""

from redetail.tracking.given import region_from_box, regions_from_masks
from redetail.tracking.regions import regions_from_tracks
from redetail.tracking.segments import region_from_seg, regions_from_segs, seg_from_region, segs_from_regions
from redetail.tracking.tracker import Track, Tracker

__all__ = [
    "Track",
    "Tracker",
    "region_from_box",
    "region_from_seg",
    "regions_from_masks",
    "regions_from_segs",
    "regions_from_tracks",
    "seg_from_region",
    "segs_from_regions",
]
