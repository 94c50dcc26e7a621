"""Single segments, as Decompose (SEGS) gives them: changed part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redetail.comfy.convert import as_array, image_frames, mask_frames, plain_seg, segs_from
from redetail.comfy.mask_edit import dilated_seg, with_scaled_box
from redetail.comfy.schema import Input, Inputs, Node, number, socket
from redetail.errors import InputError
from redetail.segs import Seg

_SEG = socket("SEG_ELT", "One segment.")
_SIDES = ("left", "top", "right", "bottom")
_SIDE_TOOLTIPS = ("x1, in pixels.", "y1, in pixels.", "x2, in pixels.", "y2, in pixels.")


class ImpactEditSegElt(Node):
    """A segment with some of its parts replaced."""

    ID = "ImpactEdit_SEG_ELT"
    NAME = "Edit SEG_ELT"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = (
        "Replaces parts of one segment: those whose inputs are connected. A tracked segment stays tracked if you "
        "replace only its confidence, label or ControlNet."
    )
    SEARCH_ALIASES = ["change segment", "replace mask"]
    RETURN_TYPES = ("SEG_ELT",)
    OUTPUT_TOOLTIPS = ("The segment with its new parts.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        confidence: Input = (
            "FLOAT",
            {"min": 0, "max": 1.0, "step": 0.1, "forceInput": True, "tooltip": "The new confidence, 0 to 1."},
        )
        label: Input = ("STRING", {"multiline": False, "forceInput": True, "tooltip": "The new label, such as face."})
        return {
            "required": {"seg_elt": _SEG},
            "optional": {
                "cropped_image_opt": socket("IMAGE", "The new pictures: one for all frames, or one for each."),
                "cropped_mask_opt": socket("MASK", "The new mask: one for all frames, or one for each."),
                "crop_region_opt": socket("SEG_ELT_crop_region", "The new crop region: x1, y1, x2, y2 in pixels."),
                "bbox_opt": socket("SEG_ELT_bbox", "The new box of the subject: x1, y1, x2, y2 in pixels."),
                "control_net_wrapper_opt": socket("SEG_ELT_control_net_wrapper", "The new ControlNet."),
                "confidence_opt": confidence,
                "label_opt": label,
            },
        }

    @staticmethod
    def doit(
        seg_elt: Any,
        cropped_image_opt: Any = None,
        cropped_mask_opt: Any = None,
        confidence_opt: float | None = None,
        crop_region_opt: Any = None,
        bbox_opt: Any = None,
        label_opt: str | None = None,
        control_net_wrapper_opt: Any = None,
    ) -> tuple[Seg]:
        """The segment with its new parts."""
        given = {
            "cropped_image": cropped_image_opt,
            "cropped_mask": cropped_mask_opt,
            "confidence": confidence_opt,
            "crop_region": crop_region_opt,
            "bbox": bbox_opt,
            "label": label_opt,
            "control_net_wrapper": control_net_wrapper_opt,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        if "cropped_image" in changes:
            changes["cropped_image"] = as_array(image_frames(cropped_image_opt, "cropped_image_opt"))
        if "cropped_mask" in changes:
            masks = mask_frames(cropped_mask_opt, "cropped_mask_opt")
            changes["cropped_mask"] = masks[0] if len(masks) == 1 else masks
        return (plain_seg(_segment(seg_elt), **changes),)


class ImpactDilateMaskSegElt(Node):
    """A larger or smaller mask."""

    ID = "ImpactDilate_Mask_SEG_ELT"
    NAME = "Dilate Mask (SEG_ELT)"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = "Grows or shrinks the mask of one segment inside its crop. A tracked segment stays tracked."
    SEARCH_ALIASES = ["grow mask", "erode mask"]
    RETURN_TYPES = ("SEG_ELT",)
    OUTPUT_TOOLTIPS = ("The segment with its new mask.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "seg_elt": _SEG,
                "dilation": number(
                    10, -512, 512,
                    "Side of the square kernel that grows the mask, in pixels; a negative value shrinks the mask.",
                    step=1, whole=True,
                ),
            }
        }  # fmt: skip

    @staticmethod
    def doit(seg_elt: Any, dilation: int) -> tuple[Seg]:
        """The segment with its new mask."""
        return (dilated_seg(_segment(seg_elt), dilation),)


class ImpactScaleByBBoxSegElt(Node):
    """A larger or smaller bbox."""

    ID = "ImpactScaleBy_BBOX_SEG_ELT"
    NAME = "ScaleBy BBOX (SEG_ELT)"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = (
        "Scales the bbox of one segment about its centre and clears the mask outside the new bbox. The crop stays as "
        "it is, and a tracked segment stays tracked."
    )
    SEARCH_ALIASES = ["scale box", "shrink box"]
    RETURN_TYPES = ("SEG_ELT",)
    OUTPUT_TOOLTIPS = ("The segment with its new bbox.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "seg": _SEG,
                "scale_by": number(1.0, 0.01, 8.0, "Factor by which the bbox is scaled.", step=0.01),
            }
        }

    @staticmethod
    def doit(seg: Any, scale_by: float) -> tuple[Seg]:
        """The segment with its new bbox."""
        return (with_scaled_box(_segment(seg, "seg"), scale_by),)


class ImpactFromSegEltBBox(Node):
    """The sides of a bbox."""

    ID = "ImpactFrom_SEG_ELT_bbox"
    NAME = "From SEG_ELT bbox"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = "Outputs the four sides of a segment's bbox as numbers."
    SEARCH_ALIASES = ["box to numbers"]
    RETURN_TYPES = ("INT", "INT", "INT", "INT")
    RETURN_NAMES = _SIDES
    OUTPUT_TOOLTIPS = _SIDE_TOOLTIPS

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"bbox": socket("SEG_ELT_bbox", "The bbox that a From SEG_ELT node outputs.")}}

    @staticmethod
    def doit(bbox: Any) -> tuple[int, int, int, int]:
        """x1, y1, x2, y2; a box between pixels is cut to whole ones."""
        return _sides(bbox, "bbox")


class ImpactFromSegEltCropRegion(Node):
    """The sides of a crop region."""

    ID = "ImpactFrom_SEG_ELT_crop_region"
    NAME = "From SEG_ELT crop_region"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = "Outputs the four sides of a segment's crop region as numbers."
    SEARCH_ALIASES = ["crop to numbers"]
    RETURN_TYPES = ("INT", "INT", "INT", "INT")
    RETURN_NAMES = _SIDES
    OUTPUT_TOOLTIPS = _SIDE_TOOLTIPS

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        region = socket("SEG_ELT_crop_region", "The crop region that a From SEG_ELT node outputs.")
        return {"required": {"crop_region": region}}

    @staticmethod
    def doit(crop_region: Any) -> tuple[int, int, int, int]:
        """x1, y1, x2, y2."""
        return _sides(crop_region, "crop_region")


def _segment(value: Any, name: str = "seg_elt") -> Any:
    """Anyone's segment; raises InputError naming the input for anything else."""
    return segs_from(((0, 0), [value]), name)[1][0]


def _sides(value: Sequence[Any], name: str) -> tuple[int, int, int, int]:
    try:
        x1, y1, x2, y2 = (int(side) for side in value)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name} must be four numbers (x1, y1, x2, y2), not {value!r}; connect a From SEG_ELT node."
        ) from error
    return x1, y1, x2, y2


NODES: tuple[type[Node], ...] = (
    ImpactEditSegElt,
    ImpactDilateMaskSegElt,
    ImpactScaleByBBoxSegElt,
    ImpactFromSegEltBBox,
    ImpactFromSegEltCropRegion,
)
