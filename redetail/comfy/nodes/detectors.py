"""Segments from the detectors of other packs."""

from __future__ import annotations

from typing import Any

from redetail.comfy.detecting import (
    MASKING_MODES,
    SEGS_PIVOTS,
    Search,
    clip_segs,
    detected,
    one_image,
    simple_segs,
    with_labels,
)
from redetail.comfy.schema import MAX_RESOLUTION, Input, Inputs, Node, choice, number, socket, text, widget
from redetail.errors import InputError
from redetail.segs import Segs

_DETECTOR = socket("BBOX_DETECTOR", "The detector that finds the boxes; a detector from any pack works.")
_IMAGE = socket("IMAGE", "One image. For a clip, use Simple Detector for AnimateDiff (SEGS).")
_OPTIONAL = {
    "sam_model_opt": socket(
        "SAM_MODEL",
        "A SAM model that cuts each box's mask down to the subject; it takes precedence over segm_detector_opt.",
    ),
    "segm_detector_opt": socket(
        "SEGM_DETECTOR", "A second detector; each box's mask is cut down to what this detector finds."
    ),
}
_HOOK = socket("DETAILER_HOOK", "A hook that is passed to the detector.")
_POST_DILATION = number(
    0, -512, 512, "How much the final masks grow, in pixels; a negative value shrinks them.", step=1, whole=True
)
_DROP_SIZE = number(
    10, 1, MAX_RESOLUTION, "Leaves out subjects whose shorter side is this many pixels or fewer.", step=1, whole=True
)
_FOUND = ("One segment for each subject found.",)
_PIPE_LENGTH = 14


def _search_inputs(farthest: int) -> dict[str, Input]:
    """The numbers of the simple detectors; dilations reach ``farthest`` pixels."""
    return {
        "bbox_threshold": number(0.5, 0.0, 1.0, "Minimum confidence of a detection.", step=0.01),
        "bbox_dilation": number(
            0,
            -farthest,
            farthest,
            "How much the mask made from each box grows, in pixels; a negative value shrinks it.",
            step=1,
            whole=True,
        ),
        "crop_factor": widget("crop_factor"),
        "drop_size": _DROP_SIZE,
        "sub_threshold": number(
            0.5, 0.0, 1.0, "Minimum confidence of the second model (the SAM model or the second detector).", step=0.01
        ),
        "sub_dilation": number(
            0,
            -farthest,
            farthest,
            "How much the masks of the second model grow, in pixels; a negative value shrinks them.",
            step=1,
            whole=True,
        ),
        "sub_bbox_expansion": number(
            0,
            0,
            1000,
            "Number of pixels by which the box passed to the SAM model is enlarged on each side.",
            step=1,
            whole=True,
        ),
        "sam_mask_hint_threshold": number(
            0.7,
            0.0,
            1.0,
            "Has no effect; kept for saved workflows. The SAM model always gets the centre of the box as its point.",
            step=0.01,
        ),
    }


_LABELLED_SEARCH: dict[str, Input] = {
    "threshold": number(0.5, 0.0, 1.0, "Minimum confidence of a detection.", step=0.01),
    "dilation": number(
        10,
        -512,
        512,
        "How much the mask of each subject grows, in pixels; a negative value shrinks it.",
        step=1,
        whole=True,
    ),
    "crop_factor": widget("crop_factor"),
    "drop_size": _DROP_SIZE,
    "labels": text(
        "all",
        'Classes of subjects to keep, separated by commas, or "all".',
        multiline=True,
        placeholder="List the types of segments to be allowed, separated by commas",
    ),
}


class BboxDetectorSEGS(Node):
    """Segments of what a detector finds."""

    ID = "BboxDetectorSEGS"
    NAME = "BBOX Detector (SEGS)"
    CATEGORY = "ImpactPack/Detector"
    DESCRIPTION = (
        "Finds subjects in one image and makes a segment for each of them, or only for subjects of the classes that "
        "you name."
    )
    SEARCH_ALIASES = ["detect faces", "bbox detector"]
    RETURN_TYPES = ("SEGS",)
    OUTPUT_TOOLTIPS = _FOUND

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {"bbox_detector": _DETECTOR, "image": _IMAGE, **_LABELLED_SEARCH},
            "optional": {"detailer_hook": _HOOK},
        }

    @staticmethod
    def doit(
        bbox_detector: Any,
        image: Any,
        threshold: float,
        dilation: int,
        crop_factor: float,
        drop_size: int,
        labels: str = "all",
        detailer_hook: Any = None,
    ) -> tuple[Segs]:
        """The segments of one image."""
        values = (threshold, dilation, crop_factor, drop_size, detailer_hook)
        return (_labelled_segs(bbox_detector, "bbox_detector", image, values, labels),)


class SegmDetectorSEGS(Node):
    """Segments of what a detector with masks finds."""

    ID = "SegmDetectorSEGS"
    NAME = "SEGM Detector (SEGS)"
    CATEGORY = "ImpactPack/Detector"
    DESCRIPTION = (
        "Finds subjects and their outlines in one image and makes a segment for each of them, or only for subjects of "
        "the classes that you name."
    )
    SEARCH_ALIASES = ["segm detector", "segment subject"]
    RETURN_TYPES = ("SEGS",)
    OUTPUT_TOOLTIPS = _FOUND

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        detector = socket(
            "SEGM_DETECTOR", "The detector that finds subjects and their masks; a detector from any pack works."
        )
        return {
            "required": {"segm_detector": detector, "image": _IMAGE, **_LABELLED_SEARCH},
            "optional": {"detailer_hook": _HOOK},
        }

    @staticmethod
    def doit(
        segm_detector: Any,
        image: Any,
        threshold: float,
        dilation: int,
        crop_factor: float,
        drop_size: int,
        labels: str = "all",
        detailer_hook: Any = None,
    ) -> tuple[Segs]:
        """The segments of one image."""
        values = (threshold, dilation, crop_factor, drop_size, detailer_hook)
        return (_labelled_segs(segm_detector, "segm_detector", image, values, labels),)


class ImpactSimpleDetectorSEGS(Node):
    """Segments of what one detector finds, cut down by a second model."""

    ID = "ImpactSimpleDetectorSEGS"
    NAME = "Simple Detector (SEGS)"
    CATEGORY = "ImpactPack/Detector"
    DESCRIPTION = (
        "Finds subjects in one image. A SAM model or a second detector can cut the masks down to the subjects "
        "themselves."
    )
    SEARCH_ALIASES = ["detect faces", "segment subject"]
    RETURN_TYPES = ("SEGS",)
    OUTPUT_TOOLTIPS = _FOUND

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {"bbox_detector": _DETECTOR, "image": _IMAGE, **_search_inputs(512)},
            "optional": {"post_dilation": _POST_DILATION, **_OPTIONAL},
        }

    @staticmethod
    def doit(bbox_detector: Any, image: Any, post_dilation: int = 0, **values: Any) -> tuple[Segs]:
        """The segments of one image."""
        return (simple_segs(_search(bbox_detector, values), image, post_dilation, None),)


class ImpactSimpleDetectorSEGSPipe(Node):
    """The same with the detectors of a DETAILER_PIPE."""

    ID = "ImpactSimpleDetectorSEGSPipe"
    NAME = "Simple Detector (SEGS/pipe)"
    CATEGORY = "ImpactPack/Detector"
    DESCRIPTION = "Finds subjects in one image with the detectors, SAM model and hook of a detailer pipe."
    SEARCH_ALIASES = ["detect faces", "segment subject"]
    RETURN_TYPES = ("SEGS",)
    OUTPUT_TOOLTIPS = _FOUND

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        pipe = socket(
            "DETAILER_PIPE", "A pipe with a bbox_detector; the pipe's SAM model and second detector are used too."
        )
        return {
            "required": {"detailer_pipe": pipe, "image": _IMAGE, **_search_inputs(512)},
            "optional": {"post_dilation": _POST_DILATION},
        }

    @staticmethod
    def doit(detailer_pipe: Any, image: Any, post_dilation: int = 0, **values: Any) -> tuple[Segs]:
        """The segments of one image."""
        if not isinstance(detailer_pipe, tuple | list) or len(detailer_pipe) != _PIPE_LENGTH:
            raise InputError(
                "detailer_pipe is not a DETAILER_PIPE (14 parts, of which the seventh is bbox_detector); connect a "
                "node that makes one."
            )
        detector, segm, sam, hook = detailer_pipe[6:10]
        if detector is None:
            raise InputError("detailer_pipe has no bbox_detector; connect one to the node that makes the pipe.")
        models = {"segm_detector_opt": segm, "sam_model_opt": sam}
        return (simple_segs(_search(detector, {**values, **models}), image, post_dilation, hook),)


class ImpactSimpleDetectorSEGSForAD(Node):
    """Segments of a clip that follow what a detector finds in its frames."""

    ID = "ImpactSimpleDetectorSEGS_for_AD"
    NAME = "Simple Detector for AnimateDiff (SEGS)"
    CATEGORY = "ImpactPack/Detector"
    DESCRIPTION = (
        "Finds subjects in every frame of a clip. Each segment has one crop for the whole clip, and either one mask "
        "for all frames or one for each frame."
    )
    SEARCH_ALIASES = ["detect faces in video", "animatediff detector"]
    RETURN_TYPES = ("SEGS",)
    OUTPUT_TOOLTIPS = ("One segment for each subject, with one crop for the whole clip.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "bbox_detector": _DETECTOR,
                "image_frames": socket("IMAGE", "All frames of the clip."),
                **_search_inputs(255),
            },
            "optional": {
                "masking_mode": choice(
                    MASKING_MODES,
                    "Pivot SEGS: one mask for all frames. Combine neighboring frames: each frame's mask, united with "
                    "the mask of the previous frame. Don't combine: each frame's mask by itself.",
                ),
                "segs_pivot": choice(
                    SEGS_PIVOTS,
                    "What the crops surround: the masks of all frames together, or those of the first frame.",
                ),
                **_OPTIONAL,
            },
        }

    @staticmethod
    def doit(
        bbox_detector: Any,
        image_frames: Any,
        masking_mode: str = MASKING_MODES[0],
        segs_pivot: str = SEGS_PIVOTS[0],
        **values: Any,
    ) -> tuple[Segs]:
        """The segments of the clip."""
        return (clip_segs(_search(bbox_detector, values), image_frames, masking_mode, segs_pivot),)


def _labelled_segs(detector: Any, name: str, image: Any, values: tuple[Any, ...], labels: str) -> Segs:
    """What a detector finds in one image, of the named kinds; ``values`` are the other arguments of its ``detect``."""
    frame = one_image(image)
    return (frame.shape[1], frame.shape[2]), with_labels(detected(detector, name, frame, *values), labels)


def _search(bbox_detector: Any, values: dict[str, Any]) -> Search:
    """The search that the widgets of a simple detector stand for."""
    return Search(
        bbox_detector,
        values["bbox_threshold"],
        values["bbox_dilation"],
        values["crop_factor"],
        values["drop_size"],
        values["sub_threshold"],
        values["sub_dilation"],
        values["sub_bbox_expansion"],
        values.get("sam_model_opt"),
        values.get("segm_detector_opt"),
    )


NODES: tuple[type[Node], ...] = (
    BboxDetectorSEGS,
    SegmDetectorSEGS,
    ImpactSimpleDetectorSEGS,
    ImpactSimpleDetectorSEGSPipe,
    ImpactSimpleDetectorSEGSForAD,
)
