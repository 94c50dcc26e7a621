"""Pasting detailed segments into the frames."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from redetail.comfy.convert import image_frames, segs_from
from redetail.comfy.nodes.common import original_widget
from redetail.comfy.paste import pasted
from redetail.comfy.schema import Inputs, Node, number, socket


class SEGSPaste(Node):
    """Paste the crops of SEGS into an image or a clip."""

    ID = "SEGSPaste"
    NAME = "SEGSPaste"
    CATEGORY = "ImpactPack/Detailer"
    DESCRIPTION = (
        "Blends each segment's crops into the frames through the segment's softened mask. Pixels outside the mask do "
        "not change; segments without crops are skipped."
    )
    SEARCH_ALIASES = ["paste segments", "paste detailed crops"]
    RETURN_TYPES = ("IMAGE",)
    OUTPUT_TOOLTIPS = ("The frames with all segments pasted in.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "image": socket("IMAGE", "The frames to paste into; the node changes a copy of them."),
                "segs": socket("SEGS", "Detailed segments, with one crop for each frame."),
                "feather": original_widget("paste_feather"),
                "alpha": number(255, 0, 255, "Opacity of the crops; 255 is fully opaque.", step=1, whole=True),
            },
            "optional": {
                "ref_image_opt": socket("IMAGE", "Frames whose pixels are pasted instead of the segments' crops."),
            },
        }

    @staticmethod
    def doit(image: Any, segs: Any, feather: int, alpha: int = 255, ref_image_opt: Any = None) -> tuple[Tensor]:
        """New frames with the segments pasted."""
        reference = None if ref_image_opt is None else image_frames(ref_image_opt, "ref_image_opt")
        return (pasted(image_frames(image, "image"), segs_from(segs), feather, alpha, reference),)


NODES: tuple[type[Node], ...] = (SEGSPaste,)
