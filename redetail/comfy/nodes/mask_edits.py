"""The masks of segments: grown, blurred, cut down, united, and at the size of the picture."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from torch import Tensor

from redetail.comfy.convert import mask_frames, mask_tensor, segs_from
from redetail.comfy.mask_edit import blurred_seg, dilated_seg, intersected_seg, merged_seg, picture_masks
from redetail.comfy.schema import Inputs, Node, number, socket
from redetail.comfy.stills import EMPTY_SIDE
from redetail.imaging.masks import Mask, resize_mask
from redetail.region import Size
from redetail.segs import Segs

logger = logging.getLogger(__name__)

_SEGS = socket("SEGS", "The segments.")


class ImpactDilateMaskInSEGS(Node):
    """Larger or smaller masks."""

    ID = "ImpactDilateMaskInSEGS"
    NAME = "Dilate Mask (SEGS)"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = "Grows or shrinks the masks of all segments inside their crops. Tracked segments stay tracked."
    SEARCH_ALIASES = ["grow mask", "erode mask", "expand mask"]
    RETURN_TYPES = ("SEGS",)
    OUTPUT_TOOLTIPS = ("The segments with their new masks.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "segs": _SEGS,
                "dilation": number(
                    10,
                    -512,
                    512,
                    "Side of the square kernel that grows the masks, in pixels; a negative value shrinks the masks.",
                    step=1,
                    whole=True,
                ),
            }
        }

    @staticmethod
    def doit(segs: Any, dilation: int) -> tuple[Segs]:
        """The segments with their new masks."""
        header, segments = segs_from(segs)
        return ((header, [dilated_seg(segment, dilation, place) for place, segment in enumerate(segments)]),)


class ImpactGaussianBlurMaskInSEGS(Node):
    """Soft masks."""

    ID = "ImpactGaussianBlurMaskInSEGS"
    NAME = "Gaussian Blur Mask (SEGS)"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = "Blurs the masks of all segments inside their crops. Tracked segments stay tracked."
    SEARCH_ALIASES = ["feather mask", "soften mask"]
    RETURN_TYPES = ("SEGS",)
    OUTPUT_TOOLTIPS = ("The segments with their new masks.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "segs": _SEGS,
                "kernel_size": number(
                    10,
                    0,
                    100,
                    "Reach of the blur, in pixels; in small crops the blur reaches less far. 0 blurs nothing.",
                    step=1,
                    whole=True,
                ),
                "sigma": number(10.0, 0.1, 100.0, "Standard deviation of the blur, in pixels.", step=0.1),
            }
        }

    @staticmethod
    def doit(segs: Any, kernel_size: int, sigma: float) -> tuple[Segs]:
        """The segments with their new masks."""
        header, segments = segs_from(segs)
        return ((header, [blurred_seg(one, kernel_size, sigma, place) for place, one in enumerate(segments)]),)


class ImpactSegsAndMask(Node):
    """Segments cut down to a mask."""

    ID = "ImpactSegsAndMask"
    NAME = "Pixelwise(SEGS & MASK)"
    CATEGORY = "ImpactPack/Operation"
    DESCRIPTION = (
        "Intersects the mask of every segment with the connected mask, which is a mask for the full frame. "
        "Segments stay where they are but lose their ControlNet; tracked segments stay tracked."
    )
    SEARCH_ALIASES = ["intersect mask", "limit segments"]
    RETURN_TYPES = ("SEGS",)
    OUTPUT_TOOLTIPS = ("The segments with their new masks.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "segs": _SEGS,
                "mask": socket("MASK", "The area to keep: one mask for all frames, or one for each."),
            }
        }

    @staticmethod
    def doit(segs: Any, mask: Any) -> tuple[Segs]:
        """The segments with their new masks."""
        header, segments = segs_from(segs)
        masks = _on_picture(mask_frames(mask), header) if segments else np.empty(0, np.float32)
        return ((header, [intersected_seg(segment, masks, place) for place, segment in enumerate(segments)]),)


class ImpactSegsAndMaskForEach(Node):
    """Segments, each cut down to a different mask."""

    ID = "ImpactSegsAndMaskForEach"
    NAME = "Pixelwise(SEGS & MASKS ForEach)"
    CATEGORY = "ImpactPack/Operation"
    DESCRIPTION = (
        "Intersects the segments with the connected masks: the first segment with the first mask, and so on. Each "
        "connected mask is a mask for the full frame and applies to all frames. Segments for which no mask is "
        "connected are dropped; the others lose their ControlNet."
    )
    SEARCH_ALIASES = ["intersect masks", "limit segments"]
    RETURN_TYPES = ("SEGS",)
    OUTPUT_TOOLTIPS = ("The segments with their new masks.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "segs": _SEGS,
                "masks": socket("MASK", "One mask for each segment, in the order of the segments."),
            }
        }

    @staticmethod
    def doit(segs: Any, masks: Any) -> tuple[Segs]:
        """The segments that have a mask, with it applied."""
        header, segments = segs_from(segs)
        if not segments:
            return ((header, []),)
        stack = _on_picture(mask_frames(masks, "masks"), header)
        if len(stack) != len(segments):
            logger.warning(
                "The number of masks (%d) differs from the number of segments (%d); masks and segments without a "
                "counterpart are left out.",
                len(stack),
                len(segments),
            )
        pairs = enumerate(zip(segments, stack, strict=False))
        return ((header, [intersected_seg(segment, one[None], place) for place, (segment, one) in pairs]),)


class ImpactSEGSToMaskList(Node):
    """The masks of segments at the size of the picture, as a list."""

    ID = "ImpactSEGSToMaskList"
    NAME = "SEGS to Mask List"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = (
        "Outputs the masks of all segments as a list; each mask is as large as the picture. If a segment has a mask "
        "for each frame, the list contains all of them, one after another."
    )
    SEARCH_ALIASES = ["segments to masks"]
    RETURN_TYPES = ("MASK",)
    OUTPUT_IS_LIST = (True,)
    OUTPUT_TOOLTIPS = ("The masks, one by one; a single black mask if there are no segments.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"segs": _SEGS}}

    @staticmethod
    def doit(segs: Any) -> tuple[list[Tensor]]:
        """Masks (1, H, W)."""
        return (_picture_masks(segs),)


class ImpactSEGSToMaskBatch(Node):
    """The masks of segments at the size of the picture, as a batch."""

    ID = "ImpactSEGSToMaskBatch"
    NAME = "SEGS to Mask Batch"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = (
        "Outputs the masks of all segments as a batch; each mask is as large as the picture. If a segment has a mask "
        "for each frame, the batch contains all of them, one after another."
    )
    SEARCH_ALIASES = ["segments to masks"]
    RETURN_TYPES = ("MASK",)
    OUTPUT_TOOLTIPS = ("All masks; a single black mask if there are no segments.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"segs": _SEGS}}

    @staticmethod
    def doit(segs: Any) -> tuple[Tensor]:
        """Masks (N, H, W)."""
        return (torch.cat(_picture_masks(segs)),)


class ImpactSEGSMerge(Node):
    """All segments as one."""

    ID = "ImpactSEGSMerge"
    NAME = "SEGS Merge"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = (
        "Merges all segments into one. The merged crop contains all their crops, and the merged mask is the union of "
        "their masks. If any segment has a mask for each frame, so does the merged segment. The merged crop does not "
        "move, even if all segments are tracked."
    )
    SEARCH_ALIASES = ["unite segments", "combine segments"]
    RETURN_TYPES = ("SEGS",)
    OUTPUT_TOOLTIPS = ('One segment with the label "merged"; no segment if there were none.',)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"segs": _SEGS}}

    @staticmethod
    def doit(segs: Any) -> tuple[Segs]:
        """One segment; no segments stay none."""
        header, segments = segs_from(segs)
        return ((header, [merged_seg(header, segments)] if segments else []),)


def _on_picture(masks: Mask, header: tuple[int, int]) -> Mask:
    """Masks (F, H', W') at the size that SEGS refer to; as they are where it is unknown."""
    if masks.shape[1:] == header or not all(header):
        return masks
    return resize_mask(masks, Size(header[1], header[0]))


def _picture_masks(segs: Any) -> list[Tensor]:
    header, segments = segs_from(segs)
    if not segments:
        return [torch.zeros(1, header[0] or EMPTY_SIDE, header[1] or EMPTY_SIDE)]
    return [mask_tensor(mask) for masks in picture_masks(header, segments) for mask in masks]


NODES: tuple[type[Node], ...] = (
    ImpactDilateMaskInSEGS,
    ImpactGaussianBlurMaskInSEGS,
    ImpactSegsAndMask,
    ImpactSegsAndMaskForEach,
    ImpactSEGSToMaskList,
    ImpactSEGSToMaskBatch,
    ImpactSEGSMerge,
)
