"""A complete node, as a module of ``redetail/comfy/nodes/`` would have it."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from redetail.comfy.frames import float_frames
from redetail.comfy.schema import Inputs, Node, number, socket


class RedetailMirror(Node):
    """Mirror a clip."""

    ID = "RedetailMirror"
    NAME = "Redetail Mirror"
    CATEGORY = "Redetail"
    DESCRIPTION = "Mirrors every frame and mixes it with the frame itself."
    SEARCH_ALIASES: ClassVar[list[str]] = ["flip"]
    RETURN_TYPES = ("IMAGE",)
    OUTPUT_TOOLTIPS = ("New frames.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "image_frames": socket("IMAGE", "The frames to mirror."),
                "share": number(1.0, 0.0, 1.0, "Share of the mirrored frame: 0 keeps the clip.", step=0.01),
            }
        }

    @staticmethod
    def doit(image_frames: Tensor, share: float) -> tuple[Tensor]:
        """New frames."""
        frames = float_frames(image_frames, "image_frames")
        return (frames + share * (frames.flip(2) - frames),)


NODES: tuple[type[Node], ...] = (RedetailMirror,)
