"""Which segments go on, in which order, and what they are called."""

from __future__ import annotations

import logging
from typing import Any

from redetail.comfy.convert import image_frames, plain_seg, segs_from
from redetail.comfy.labels import PRESETS, matches
from redetail.comfy.schema import Input, Inputs, Node, choice, number, socket, text, toggle
from redetail.comfy.selecting import ORDER_MEASURES, RANGE_MEASURES, parted, picked_places, segs_on
from redetail.errors import UnknownNameError
from redetail.segs import Segs

logger = logging.getLogger(__name__)

_SEGS = socket("SEGS", "The segments.")
_FARTHEST = 2**63 - 1
_FILTERED = ("SEGS", "SEGS")
_FILTERED_NAMES = ("filtered_SEGS", "remained_SEGS")


def _count(default: int, tooltip: str) -> Input:
    return number(default, 0, _FARTHEST, tooltip, step=1, whole=True)


class ImpactSEGSLabelFilter(Node):
    """Segments by what they are called."""

    ID = "ImpactSEGSLabelFilter"
    NAME = "SEGS Filter (label)"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = "Keeps the segments with the labels that you name; the others go to a second output."
    SEARCH_ALIASES = ["filter segments", "select label"]
    RETURN_TYPES = _FILTERED
    RETURN_NAMES = _FILTERED_NAMES
    OUTPUT_TOOLTIPS = ("The segments with one of the labels.", "All other segments.")

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "segs": _SEGS,
                "preset": choice(
                    PRESETS, "Choosing a label here adds it to the labels input; this list has no other effect."
                ),
                "labels": text(
                    None,
                    'Labels to keep, separated by commas, or "all". The labels "eyes", "eyebrows" and "pupils" each '
                    "cover both sides, left and right.",
                    multiline=True,
                    placeholder="List the types of segments to be allowed, separated by commas",
                ),
            }
        }

    @staticmethod
    def doit(segs: Any, preset: str, labels: str) -> tuple[Segs, Segs]:
        """The segments with one of the labels, and the others."""
        wanted = {label.strip() for label in labels.split(",")}
        return parted(segs, lambda segment: "all" in wanted or matches(segment.label, wanted))


class ImpactSEGSRangeFilter(Node):
    """Segments by a measure of their crop or their confidence."""

    ID = "ImpactSEGSRangeFilter"
    NAME = "SEGS Filter (range)"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = (
        "Measures the crop or the confidence of each segment and keeps the segments whose value is inside a range, or "
        "outside it. For a tracked segment, the crop is the crop window at its mean position."
    )
    SEARCH_ALIASES = ["filter segments", "filter by size", "filter by confidence"]
    RETURN_TYPES = _FILTERED
    RETURN_NAMES = _FILTERED_NAMES
    OUTPUT_TOOLTIPS = ("The segments that meet the condition.", "All other segments.")

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "segs": _SEGS,
                "target": choice(
                    tuple(RANGE_MEASURES),
                    "What is measured. Sizes and positions are in pixels; length_percent is the longer side as a "
                    "percentage of the shorter one.",
                ),
                "mode": toggle(
                    True,
                    "Whether to keep the segments inside the range, including its ends, or those outside it.",
                    "inside",
                    "outside",
                ),
                "min_value": _count(0, "Lower end of the range."),
                "max_value": _count(67108864, "Upper end of the range."),
            }
        }

    @staticmethod
    def doit(segs: Any, target: str, mode: bool, min_value: int, max_value: int) -> tuple[Segs, Segs]:
        """The segments that fulfil the condition, and the others."""
        if target not in RANGE_MEASURES:
            raise UnknownNameError("target", target, tuple(RANGE_MEASURES))
        measure = RANGE_MEASURES[target]
        return parted(segs, lambda segment: (min_value <= measure(segment) <= max_value) == bool(mode))


class ImpactSEGSOrderedFilter(Node):
    """Some segments of a sorted list."""

    ID = "ImpactSEGSOrderedFilter"
    NAME = "SEGS Filter (ordered)"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = (
        "Sorts the segments by the size or position of their crop, or by their confidence, and takes some of them, for "
        "example the largest. For a tracked segment, the crop is the crop window at its mean position."
    )
    SEARCH_ALIASES = ["sort segments", "largest segment", "filter segments"]
    RETURN_TYPES = _FILTERED
    RETURN_NAMES = _FILTERED_NAMES
    OUTPUT_TOOLTIPS = ("The selected segments, in sorted order.", "All other segments, in sorted order.")

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "segs": _SEGS,
                "target": choice(
                    tuple(ORDER_MEASURES),
                    "What to sort by: the size or position of the crop, in pixels, or the confidence.",
                ),
                "order": toggle(
                    True, "Whether the largest or the smallest value comes first.", "descending", "ascending"
                ),
                "take_start": _count(0, "How many segments to skip at the start of the sorted list."),
                "take_count": _count(1, "How many segments to take."),
            }
        }

    @staticmethod
    def doit(segs: Any, target: str, order: bool, take_start: int, take_count: int) -> tuple[Segs, Segs]:
        """The segments that were taken and the others; equal ones stay in the order that they came in."""
        if target not in ORDER_MEASURES:
            raise UnknownNameError("target", target, tuple(ORDER_MEASURES))
        header, segments = segs_from(segs)
        listed = [plain_seg(one) for one in sorted(segments, key=ORDER_MEASURES[target], reverse=bool(order))]
        stop = take_start + take_count
        return (header, listed[take_start:stop]), (header, listed[:take_start] + listed[stop:])


class ImpactSEGSLabelAssign(Node):
    """New names for segments."""

    ID = "ImpactSEGSLabelAssign"
    NAME = "SEGS Assign (label)"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = (
        "Gives the segments new labels, in order. If there are fewer labels than segments, the remaining segments "
        "keep their labels."
    )
    SEARCH_ALIASES = ["rename segments", "label segments"]
    RETURN_TYPES = ("SEGS",)
    RETURN_NAMES = ("SEGS",)
    OUTPUT_TOOLTIPS = ("The segments with their new labels.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "segs": _SEGS,
                "labels": text(
                    None,
                    "One label for each segment, separated by commas.",
                    multiline=True,
                    placeholder="List the label to be assigned in order of segs, separated by commas",
                ),
            }
        }

    @staticmethod
    def doit(segs: Any, labels: str) -> tuple[Segs]:
        """The segments with their new labels."""
        header, segments = segs_from(segs)
        named = [label.strip() for label in labels.split(",")]
        if len(named) != len(segments):
            logger.warning(
                "The number of labels (%d) differs from the number of segments (%d); give one label for each segment.",
                len(named),
                len(segments),
            )
        renamed = [plain_seg(segment, label=label) for segment, label in zip(segments, named, strict=False)]
        return ((header, renamed + [plain_seg(segment) for segment in segments[len(named) :]]),)


class ImpactSEGSPicker(Node):
    """Segments by number."""

    ID = "ImpactSEGSPicker"
    NAME = "Picker (SEGS)"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = (
        "Keeps the segments with the given numbers, counted from 1. SEGSPreview shows the segments in the same order."
    )
    SEARCH_ALIASES = ["pick segments", "choose face"]
    RETURN_TYPES = ("SEGS",)
    OUTPUT_TOOLTIPS = ("The segments that were picked.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        picks = text(
            None,
            "Numbers of the segments to keep, separated by commas.",
            multiline=True,
            hints={"dynamicPrompts": False, "pysssss.autocomplete": False},
        )
        return {
            "required": {"picks": picks, "segs": _SEGS},
            "optional": {
                "fallback_image_opt": socket(
                    "IMAGE",
                    "Segments that were made for an image of another size are scaled to the size of this image.",
                )
            },
        }

    @staticmethod
    def doit(picks: str, segs: Any, fallback_image_opt: Any = None, unique_id: Any = None) -> tuple[Segs]:
        """The segments that were picked. ``unique_id`` changes nothing: scripts for the original may give it."""
        header, segments = segs_from(segs)
        if fallback_image_opt is not None:
            header, segments = segs_on((header, segments), image_frames(fallback_image_opt, "fallback_image_opt"))
        return ((header, [plain_seg(segments[place]) for place in picked_places(picks, len(segments))]),)


class ImpactCountEltsInSEGS(Node):
    """How many segments there are."""

    ID = "ImpactCount_Elts_in_SEGS"
    NAME = "Count Elts in SEGS"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = "Counts the segments."
    SEARCH_ALIASES = ["number of segments", "count faces"]
    RETURN_TYPES = ("INT",)
    OUTPUT_TOOLTIPS = ("How many segments there are.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"segs": _SEGS}}

    @staticmethod
    def doit(segs: Any) -> tuple[int]:
        """The number of segments."""
        return (len(segs_from(segs)[1]),)


class ImpactIsNotEmptySEGS(Node):
    """Whether there is a segment."""

    ID = "ImpactIsNotEmptySEGS"
    NAME = "SEGS isn't Empty"
    CATEGORY = "ImpactPack/Logic"
    DESCRIPTION = "Outputs true if there is at least one segment, for nodes that switch between two branches."
    SEARCH_ALIASES = ["any segments", "face found"]
    RETURN_TYPES = ("BOOLEAN",)
    OUTPUT_TOOLTIPS = ("True if there is at least one segment.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"segs": _SEGS}}

    @staticmethod
    def doit(segs: Any) -> tuple[bool]:
        """Whether there is a segment."""
        return (bool(segs_from(segs)[1]),)


class EmptySegs(Node):
    """No segments."""

    ID = "EmptySegs"
    NAME = "Empty SEGS"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = "Outputs SEGS without segments, for an input that must be connected."
    SEARCH_ALIASES = ["no segments"]
    RETURN_TYPES = ("SEGS",)
    OUTPUT_TOOLTIPS = ("SEGS without segments.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {}}

    @staticmethod
    def doit() -> tuple[Segs]:
        """SEGS of no picture without segments."""
        return (((0, 0), []),)


NODES: tuple[type[Node], ...] = (
    ImpactSEGSLabelFilter,
    ImpactSEGSRangeFilter,
    ImpactSEGSOrderedFilter,
    ImpactSEGSLabelAssign,
    ImpactSEGSPicker,
    ImpactCountEltsInSEGS,
    ImpactIsNotEmptySEGS,
    EmptySegs,
)
