"""The detailers for AnimateDiff: every segment re-diffused over all frames together."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from redetail.comfy.convert import detailed_segs, segs_from
from redetail.comfy.convert import image_frames as frames_of
from redetail.comfy.detailer import Detailer
from redetail.comfy.nodes.common import (
    KEPT,
    PIPE,
    DetailerInputs,
    PastingInputs,
    detailer_inputs,
    hint_images,
    original_widget,
    refiner_ratio,
    refining_inputs,
)
from redetail.comfy.paste import pasted
from redetail.comfy.progress import ClipBar
from redetail.comfy.schema import Inputs, Node, socket
from redetail.segs import Segs


class SEGSDetailerForAnimateDiff(Node):
    """Detail segments and hand them on as SEGS."""

    ID = "SEGSDetailerForAnimateDiff"
    NAME = "SEGSDetailer For AnimateDiff (SEGS/pipe)"
    CATEGORY = "ImpactPack/Detailer"
    DESCRIPTION = (
        "Crops each segment from all frames, scales the crops up, re-diffuses them together to avoid flicker, and "
        "outputs them as SEGS. Connect SEGSPaste to paste them into the frames."
    )
    SEARCH_ALIASES = ["face detailer video", "adetailer video", "animatediff detailer"]
    RETURN_TYPES = ("SEGS", "IMAGE")
    RETURN_NAMES = ("segs", "cnet_images")
    OUTPUT_IS_LIST = (False, True)
    OUTPUT_TOOLTIPS = (
        "The segments with their detailed crops.",
        "Hint images of the segments' ControlNets; one black image if there are none.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                **detailer_inputs(original_widget, more=KEPT),
                "basic_pipe": PIPE,
                "refiner_ratio": refiner_ratio(original_widget),
            },
            "optional": refining_inputs(),
        }

    def doit(self, *given: Any, **named: Any) -> tuple[Segs, list[Tensor]]:
        """The segments with their detailed crops, and the hint images; takes what ``do_detail`` takes."""
        detailed, images = self.do_detail(*given, **named)
        return detailed, hint_images(images)

    @staticmethod
    def do_detail(*given: Any, inpaint_model: bool = False, **named: Any) -> tuple[Segs, list[Tensor]]:
        """What ``doit`` does, for packs and scripts that call the class with
        :class:`~redetail.comfy.nodes.common.DetailerInputs` by place or by name: the images are none without a
        ControlNet. ``inpaint_model`` changes nothing here: a model that wants the masked picture asks ComfyUI for it by
        itself."""
        inputs = DetailerInputs(*given, **named)
        header, segments = segs_from(inputs.segs)
        frames = frames_of(inputs.image_frames)
        results, images = Detailer(settings=inputs.settings, **inputs.pipes).detail(frames, header, segments)
        return detailed_segs(header, frames, results), images


class DetailerForEachPipeForAnimateDiff(Node):
    """Detail and paste one segment after the other."""

    ID = "DetailerForEachPipeForAnimateDiff"
    NAME = "Detailer For AnimateDiff (SEGS/pipe)"
    CATEGORY = "ImpactPack/Detailer"
    DESCRIPTION = (
        "Details the segments one after another, each across all frames at once. Each segment is pasted into the "
        "frames before the next one is cropped, so that overlapping segments fit together."
    )
    SEARCH_ALIASES = ["face detailer video", "adetailer video"]
    RETURN_TYPES = ("IMAGE", "SEGS", "BASIC_PIPE", "IMAGE")
    RETURN_NAMES = ("image", "segs", "basic_pipe", "cnet_images")
    OUTPUT_IS_LIST = (False, False, False, True)
    OUTPUT_TOOLTIPS = (
        "The frames with all segments pasted in.",
        "The segments with their detailed crops.",
        "The basic_pipe input, unchanged.",
        "Hint images of the segments' ControlNets; one black image if there are none.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                **detailer_inputs(original_widget, default=1024, more=KEPT),
                "feather": original_widget("paste_feather"),
                "basic_pipe": PIPE,
                "refiner_ratio": refiner_ratio(original_widget),
            },
            "optional": {
                "detailer_hook": socket(
                    "DETAILER_HOOK",
                    "A hook from another pack; its post_paste gets the frames after each paste and returns them.",
                ),
                **refining_inputs(),
            },
        }

    @staticmethod
    def doit(*given: Any, **named: Any) -> tuple[Tensor, Segs, Any, list[Tensor]]:
        """The frames with all segments pasted, the segments, the pipe, and the hint images."""
        frames, detailed, pipe, images = DetailerForEachPipeForAnimateDiff.do_detail(*given, **named)
        return frames, detailed, pipe, hint_images(images)

    @staticmethod
    def do_detail(*given: Any, **named: Any) -> tuple[Tensor, Segs, Any, list[Tensor]]:
        """What ``doit`` does, for packs and scripts that call the class with
        :class:`~redetail.comfy.nodes.common.PastingInputs` by place or by name: the images are none without a
        ControlNet."""
        inputs = PastingInputs(*given, **named)
        detailer = Detailer(settings=inputs.detailer.settings, **inputs.detailer.pipes)
        header, segments = segs_from(inputs.segs)
        frames, bar = frames_of(inputs.image_frames), ClipBar(len(segments))
        results, images = [], []
        for segment in segments:
            detailed, shown = detailer.detail(frames, header, [segment], bar)
            frames = pasted(frames, detailed_segs(header, frames, detailed), inputs.feather)
            if hasattr(inputs.detailer_hook, "post_paste"):
                frames = frames_of(inputs.detailer_hook.post_paste(frames), "What detailer_hook returned")
            results.extend(detailed)
            images.extend(shown)
        return frames, detailed_segs(header, frames, results), inputs.basic_pipe, images


NODES: tuple[type[Node], ...] = (SEGSDetailerForAnimateDiff, DetailerForEachPipeForAnimateDiff)
