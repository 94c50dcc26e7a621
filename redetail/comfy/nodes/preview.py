"""Looking at segments."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from redetail.comfy.convert import image_frames, segs_from
from redetail.comfy.schema import Inputs, Node, number, socket, toggle
from redetail.comfy.stills import SavedImage, Still, black_square, save_preview, still_of

_FALLBACK = socket("IMAGE", "Frames from which the crop of a segment is cut if the segment carries no picture.")

Shown = dict[str, Any]
"""What an output node gives back: what the front end shows under ``ui``, the outputs under ``result``."""


class SEGSPreview(Node):
    """Show the crops of all segments."""

    ID = "SEGSPreview"
    NAME = "SEGSPreview"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = "Shows the crops of every segment. Alpha mode fades what is outside the segment's mask."
    SEARCH_ALIASES = ["preview segments", "show segments"]
    RETURN_TYPES = ("IMAGE",)
    OUTPUT_IS_LIST = (True,)
    OUTPUT_TOOLTIPS = ("The crops of each segment that has any; in alpha mode, multiplied by the segment's mask.",)
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "segs": socket("SEGS", "The segments to show."),
                "alpha_mode": toggle(True, "Fade what is outside the mask.", "enable", "disable"),
                "min_alpha": number(0.2, 0.0, 1.0, "Opacity outside the mask in alpha mode.", step=0.01),
            },
            "optional": {"fallback_image_opt": _FALLBACK},
        }

    @staticmethod
    def doit(segs: Any, alpha_mode: bool = True, min_alpha: float = 0.0, fallback_image_opt: Any = None) -> Shown:
        """Files of the pictures, and the pictures; segments with neither a picture nor a fallback are left out."""
        files: list[SavedImage] = []
        images: list[Tensor] = []
        for still in _stills(segs, fallback_image_opt):
            if still is None:
                continue
            files += save_preview(still.images, still.masks, min_alpha) if alpha_mode else save_preview(still.images)
            images.append(still.masked if alpha_mode else still.images)
        return {"ui": {"images": files}, "result": (images,)}


class SEGSPreviewCNet(Node):
    """Show what the ControlNets of the segments see."""

    ID = "SEGSPreviewCNet"
    NAME = "SEGSPreview (CNET Image)"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = "Shows the hint image of every segment's ControlNet, or a black square for a segment without one."
    SEARCH_ALIASES = ["preview controlnet"]
    RETURN_TYPES = ("IMAGE",)
    OUTPUT_IS_LIST = (True,)
    OUTPUT_TOOLTIPS = ("The hint images; unlike the preview, without the black squares.",)
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"segs": socket("SEGS", "Segments with a ControlNet.")}}

    @staticmethod
    def doit(segs: Any) -> Shown:
        """Files of the hints, and the hints."""
        hints = [_hint(segment) for segment in segs_from(segs)[1]]
        files = [file for hint in hints for file in save_preview(black_square() if hint is None else hint)]
        return {"ui": {"images": files}, "result": ([hint for hint in hints if hint is not None],)}


class SEGSToImageList(Node):
    """The crops of all segments as a list."""

    ID = "SEGSToImageList"
    NAME = "SEGSToImageList"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = (
        "Outputs the crops of every segment as a list of images, with a black square for a segment that has none."
    )
    SEARCH_ALIASES = ["segments to images"]
    RETURN_TYPES = ("IMAGE",)
    OUTPUT_IS_LIST = (True,)
    OUTPUT_TOOLTIPS = ("One image, or one clip, for each segment.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {"segs": socket("SEGS", "The segments whose crops are listed.")},
            "optional": {"fallback_image_opt": _FALLBACK},
        }

    @staticmethod
    def doit(segs: Any, fallback_image_opt: Any = None) -> tuple[list[Tensor]]:
        """One image for each segment, and never an empty list, which would silence the nodes behind."""
        stills = _stills(segs, fallback_image_opt)
        return ([black_square() if still is None else still.images for still in stills] or [black_square()],)


def _stills(segs: Any, fallback: Any) -> list[Still | None]:
    header, segments = segs_from(segs)
    frames = None if fallback is None else image_frames(fallback, "fallback_image_opt")
    return [still_of(segment, header, index, frames) for index, segment in enumerate(segments)]


def _hint(segment: Any) -> Tensor | None:
    """The hint image that anyone's wrapper shows, (F, h, w, 3)."""
    hint = getattr(segment.control_net_wrapper, "control_image", None)
    return None if hint is None else image_frames(torch.as_tensor(hint).float(), "The ControlNet's image")


NODES: tuple[type[Node], ...] = (SEGSPreview, SEGSPreviewCNet, SEGSToImageList)
