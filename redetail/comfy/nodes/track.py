"""Following subjects through a clip."""

from __future__ import annotations

from typing import Any

from redetail.comfy.follow import SHARES, Choice, tracked_from_detector, tracked_from_masks, tracked_from_segs
from redetail.comfy.frames import float_frames
from redetail.comfy.needs import told_for_comfy
from redetail.comfy.progress import ClipBar
from redetail.comfy.schema import MAX_RESOLUTION, Inputs, Node, choice, number, socket, toggle, widget
from redetail.detection import detector_names
from redetail.errors import InputError
from redetail.segs import Segs

_PERCENT, _PIXELS = "percent of the box", "pixels"


class RedetailTrack(Node):
    """Subjects over time, each with a crop window that follows it."""

    ID = "RedetailTrack"
    NAME = "Redetail Track"
    CATEGORY = "Redetail"
    DESCRIPTION = (
        "Follows subjects through a clip and gives each of them a crop window that moves smoothly with it. The "
        "subjects are the faces, hands or people that the node finds, or those given by a connected detector or by "
        "connected segments or masks. By default, the node follows faces."
    )
    SEARCH_ALIASES = ["track faces", "follow face", "moving crop", "face tracking", "track hands", "track people"]
    RETURN_TYPES = ("SEGS",)
    RETURN_NAMES = ("segs",)
    OUTPUT_TOOLTIPS = (
        "One segment for each subject, the largest first. For nodes from other packs, the crop of a segment is fixed "
        "and contains all positions of the crop window.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "image_frames": socket("IMAGE", "All frames of the clip, in order."),
                "crop_factor": widget(
                    "crop_factor",
                    default=2.0,
                    more="A higher value shows the model more of the surroundings; a lower value gives the subject "
                    "more pixels.",
                ),
                "subjects": number(
                    1,
                    0,
                    1000,
                    "How many subjects to keep; those that cover the most area, added up over all frames, are kept. "
                    "0 keeps all.",
                    whole=True,
                ),
                "confidence": number(
                    0.6,
                    0.0,
                    1.0,
                    "Confidence that the detector must reach in some frames for a subject to be kept.",
                    step=0.01,
                ),
                "min_size": number(
                    16,
                    1,
                    MAX_RESOLUTION,
                    "Leaves out subjects if the shorter side of their box is less than this many pixels.",
                    step=1,
                    whole=True,
                ),
                "dilation": number(
                    10.0,
                    -512.0,
                    512.0,
                    "How much a detected box grows on each side, to include hair and chin; a negative value shrinks "
                    "it. Masks and segments stay as they are.",
                    step=1.0,
                ),
                "dilation_unit": choice((_PERCENT, _PIXELS), "Unit of dilation.", _PERCENT),
                "unite_masks": toggle(
                    False,
                    "If the number of masks is neither 1 nor the number of frames, use the union of all masks for "
                    "every frame instead of raising an error.",
                ),
            },
            "optional": {
                "segs": socket(
                    "SEGS",
                    "Segments to follow instead of faces. A segment with a mask for each frame is followed; a segment "
                    "with a single mask stays where it is.",
                ),
                "bbox_detector": socket("BBOX_DETECTOR", "A detector from any pack, instead of the bundled one."),
                "masks": socket(
                    "MASK",
                    "What to follow: one mask for each frame, or one for all frames. Everything white is one subject.",
                ),
                "detect": choice(
                    detector_names(),
                    "What the bundled detectors look for if none of segs, bbox_detector and masks is connected.",
                    "face",
                ),
            },
        }

    @staticmethod
    @told_for_comfy
    def doit(
        image_frames: Any,
        crop_factor: float,
        subjects: int,
        confidence: float,
        min_size: int,
        dilation: float,
        dilation_unit: str,
        unite_masks: bool,
        segs: Any = None,
        bbox_detector: Any = None,
        masks: Any = None,
        detect: str = "face",
    ) -> tuple[Segs]:
        """The subjects as segments."""
        given = {"segs": segs, "bbox_detector": bbox_detector, "masks": masks}
        named = [name for name, value in given.items() if value is not None]
        if len(named) > 1:
            raise InputError(
                f"{' and '.join(named)} are connected, but only one of them can be used; disconnect the others."
            )
        frames = float_frames(image_frames, "image_frames")
        percent = dilation_unit == _PERCENT
        chosen = Choice(
            crop_factor=crop_factor,
            confidence=confidence,
            min_size=min_size,
            subjects=subjects,
            grow=dilation / 100 if percent else dilation,
            relative=percent,
            unite_masks=unite_masks,
        )
        if segs is not None:
            return (tracked_from_segs(frames, segs, chosen),)
        if masks is not None:
            return (tracked_from_masks(frames, masks, chosen),)
        detector = detect if bbox_detector is None else bbox_detector
        return (tracked_from_detector(frames, detector, chosen, ClipBar(1, SHARES)),)


NODES: tuple[type[Node], ...] = (RedetailTrack,)
