"""Masks to SEGS and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from redetail.comfy.convert import mask_frames, mask_tensor, segs_from
from redetail.comfy.mask_segs import Cutting, clip_segs_of_masks, combined_mask, segs_of_masks
from redetail.comfy.schema import MAX_RESOLUTION, Input, Inputs, Node, number, socket, toggle, widget
from redetail.comfy.stills import EMPTY_SIDE
from redetail.imaging.masks import Mask
from redetail.segs import Segs


def _inputs(mask: Input) -> Inputs:
    return {
        "required": {
            "mask": mask,
            "combined": toggle(
                False,
                "Make one segment from the whole masked area, instead of one from each connected part.",
                "True",
                "False",
            ),
            "crop_factor": widget("crop_factor"),
            "bbox_fill": toggle(False, "Mask the whole box around each part.", "enabled", "disabled"),
            "drop_size": number(
                10,
                1,
                MAX_RESOLUTION,
                "Leaves out parts whose shorter side is this many pixels or fewer.",
                step=1,
                whole=True,
            ),
            "contour_fill": toggle(
                False, "Fill the holes in each part and make its soft edges solid.", "enabled", "disabled"
            ),
        }
    }


class MaskToSEGS(Node):
    """Segments of the parts of a mask."""

    ID = "MaskToSEGS"
    NAME = "MASK to SEGS"
    CATEGORY = "ImpactPack/Operation"
    DESCRIPTION = (
        "Makes a segment from every connected part of a mask. If there are several masks, the node outputs the "
        "segments of the first mask, then those of the second, and so on."
    )
    SEARCH_ALIASES = ["mask to segments"]
    RETURN_TYPES = ("SEGS",)
    OUTPUT_TOOLTIPS = ('One segment for each part; every segment has the label "A".',)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return _inputs(socket("MASK", "The mask, or masks, to make segments from."))

    @staticmethod
    def doit(
        mask: Any,
        combined: bool,
        crop_factor: float,
        bbox_fill: bool,
        drop_size: int,
        contour_fill: bool = False,
    ) -> tuple[Segs]:
        """The segments of each mask by itself."""
        masks = mask_frames(mask)
        cut = Cutting(crop_factor, drop_size, bbox_fill, contour_fill)
        return ((_header(masks), segs_of_masks(masks, cut, combined=combined)),)


class MaskToSEGSForAnimateDiff(Node):
    """Segments of a clip with one mask for each frame."""

    ID = "MaskToSEGS_for_AnimateDiff"
    NAME = "MASK to SEGS for AnimateDiff"
    CATEGORY = "ImpactPack/Operation"
    DESCRIPTION = (
        "Makes segments from the masks of a clip. Parts that overlap from frame to frame become one segment with a "
        "fixed crop and a moving mask. Connect one mask for each frame, or one for all frames."
    )
    SEARCH_ALIASES = ["mask to segments", "animated mask"]
    RETURN_TYPES = ("SEGS",)
    OUTPUT_TOOLTIPS = ("One segment for each connected part of the united masks, with a mask for every frame.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return _inputs(socket("MASK", "One mask for each frame of the clip, or one for all frames."))

    @staticmethod
    def doit(
        mask: Any,
        combined: bool,
        crop_factor: float,
        bbox_fill: bool,
        drop_size: int,
        contour_fill: bool = False,
    ) -> tuple[Segs]:
        """The segments of all masks together."""
        masks = mask_frames(mask)
        cut = Cutting(crop_factor, drop_size, bbox_fill, contour_fill)
        return ((_header(masks), clip_segs_of_masks(masks, cut, combined=combined)),)


class SegsToCombinedMask(Node):
    """One mask of all segments."""

    ID = "SegsToCombinedMask"
    NAME = "SEGS to MASK (combined)"
    CATEGORY = "ImpactPack/Operation"
    DESCRIPTION = (
        "Combines the masks of all segments into one mask, as large as the picture. If any segment has a mask for each "
        "frame, the output is a mask for each frame."
    )
    SEARCH_ALIASES = ["segments to mask"]
    RETURN_TYPES = ("MASK",)
    OUTPUT_TOOLTIPS = ("The combined mask: at each pixel, the largest value in the mask of any segment.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"segs": socket("SEGS", "The segments whose masks are combined.")}}

    @staticmethod
    def doit(segs: Any) -> tuple[Tensor]:
        """The combined mask (1 or F, H, W)."""
        header, segments = segs_from(segs)
        if not segments and not all(header):
            return (torch.zeros(1, EMPTY_SIDE, EMPTY_SIDE),)
        return (mask_tensor(combined_mask(header, segments)),)


def _header(masks: Mask) -> tuple[int, int]:
    return masks.shape[1], masks.shape[2]


NODES: tuple[type[Node], ...] = (MaskToSEGS, MaskToSEGSForAnimateDiff, SegsToCombinedMask)
