"""Taking SEGS apart, putting them together, and giving them pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from redetail.comfy.convert import as_array, frame_size, image_frames, plain_seg, segs_from
from redetail.comfy.schema import Inputs, Node, socket, toggle
from redetail.comfy.stills import carried_images, cut_images, seg_on
from redetail.errors import InputError, RegionError
from redetail.imaging.masks import normalise_mask
from redetail.region import Size
from redetail.segs import Seg, Segs

_SEGS = socket("SEGS", "The segments.")


class ImpactDecomposeSEGS(Node):
    """SEGS to their size and a list of segments."""

    ID = "ImpactDecomposeSEGS"
    NAME = "Decompose (SEGS)"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = "Splits SEGS into the size of the picture and a list of segments."
    SEARCH_ALIASES = ["split segments"]
    RETURN_TYPES = ("SEGS_HEADER", "SEG_ELT")
    OUTPUT_IS_LIST = (False, True)
    OUTPUT_TOOLTIPS = ("Height and width of the picture.", "The segments, one by one.")

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"segs": _SEGS}}

    @staticmethod
    def doit(segs: Any) -> tuple[tuple[int, int], list[Seg]]:
        """The header and the segments."""
        header, segments = segs_from(segs)
        return header, [plain_seg(segment) for segment in segments]


class ImpactAssembleSEGS(Node):
    """SEGS from their size and a list of segments."""

    ID = "ImpactAssembleSEGS"
    NAME = "Assemble (SEGS)"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = "Makes SEGS from a list of segments and the size of the picture."
    SEARCH_ALIASES = ["join segments"]
    RETURN_TYPES = ("SEGS",)
    OUTPUT_TOOLTIPS = ("All segments together.",)
    INPUT_IS_LIST = True

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "seg_header": socket(
                    "SEGS_HEADER", "The size of the picture; if there are several sizes, the first is used."
                ),
                "seg_elt": socket("SEG_ELT", "The segments."),
            }
        }

    @staticmethod
    def doit(seg_header: Sequence[Any], seg_elt: Sequence[Any]) -> tuple[Segs]:
        """The SEGS."""
        if not seg_header:
            raise InputError("seg_header is empty; connect the header of the SEGS that the segments come from.")
        header, segments = segs_from((seg_header[0], seg_elt), "seg_elt with seg_header")
        return ((header, [plain_seg(segment) for segment in segments]),)


class ImpactFromSegElt(Node):
    """The parts of one segment."""

    ID = "ImpactFrom_SEG_ELT"
    NAME = "From SEG_ELT"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = "Splits one segment into its picture, mask, crop region, box, ControlNet, confidence and label."
    SEARCH_ALIASES = ["segment parts"]
    RETURN_TYPES = (
        "SEG_ELT", "IMAGE", "MASK", "SEG_ELT_crop_region", "SEG_ELT_bbox", "SEG_ELT_control_net_wrapper", "FLOAT",
        "STRING",
    )  # fmt: skip
    RETURN_NAMES = (
        "seg_elt", "cropped_image", "cropped_mask", "crop_region", "bbox", "control_net_wrapper", "confidence", "label"
    )  # fmt: skip
    OUTPUT_TOOLTIPS = (
        "The segment itself.",
        "The segment's pictures; nothing if it carries none.",
        "The segment's mask, or one mask for each frame.",
        "The crop region: x1, y1, x2, y2 in pixels.",
        "The subject's box: x1, y1, x2, y2 in pixels.",
        "The segment's ControlNet, if it has one.",
        "Confidence of the detection, 0 to 1.",
        "The segment's label, such as face.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"seg_elt": socket("SEG_ELT", "One segment.")}}

    @staticmethod
    def doit(seg_elt: Any) -> tuple[Any, ...]:
        """The segment and its fields; pictures (F, h, w, C) or None, masks (F, h, w)."""
        segment = segs_from(((0, 0), [seg_elt]), "seg_elt")[1][0]
        seg = plain_seg(segment)
        return (
            seg, carried_images(seg, 0), _mask(seg), seg.crop_region, seg.bbox, seg.control_net_wrapper, seg.confidence,
            seg.label,
        )  # fmt: skip


class ImpactSEGSConcat(Node):
    """All segments of several SEGS."""

    ID = "ImpactSEGSConcat"
    NAME = "SEGS Concat"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = "Joins several SEGS of one picture into one list, in the order of the inputs."
    SEARCH_ALIASES = ["join segments", "merge segments"]
    RETURN_TYPES = ("SEGS",)
    OUTPUT_TOOLTIPS = ("All segments.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"segs1": socket("SEGS", "The first SEGS; further inputs are named segs2, segs3, ...")}}

    @staticmethod
    def doit(**segs: Any) -> tuple[Segs]:
        """The segments of segs1, segs2, ...; raises RegionError if they refer to pictures of different sizes."""
        given = {name: segs_from(segs[name], name) for name in sorted(segs, key=_place) if segs[name] is not None}
        filled = {name: value for name, value in given.items() if value[1]} or given
        if not filled:
            raise InputError("Nothing is connected; connect SEGS to segs1.")
        first, (header, _) = next(iter(filled.items()))
        for name, (other, _) in filled.items():
            if other != header:
                raise RegionError(
                    f"{first} refers to a {header[1]}x{header[0]} picture, but {name} refers to a "
                    f"{other[1]}x{other[0]} picture; connect SEGS made for pictures of the same size."
                )
        return ((header, [plain_seg(segment) for _, segments in filled.values() for segment in segments]),)


class RemoveImageFromSEGS(Node):
    """Segments without pictures."""

    ID = "RemoveImageFromSEGS"
    NAME = "Remove Image from SEGS"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = "Removes the pictures from the segments, so that a detailer crops the frames again."
    SEARCH_ALIASES = ["clear segment images"]
    RETURN_TYPES = ("SEGS",)
    OUTPUT_TOOLTIPS = ("The segments without pictures, otherwise unchanged.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"segs": _SEGS}}

    @staticmethod
    def doit(segs: Any) -> tuple[Segs]:
        """The segments without pictures."""
        header, segments = segs_from(segs)
        return ((header, [plain_seg(segment, cropped_image=None) for segment in segments]),)


class SetDefaultImageForSEGS(Node):
    """Segments with pictures cut from frames."""

    ID = "SetDefaultImageForSEGS"
    NAME = "Set Default Image for SEGS"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = (
        "Cuts the crops of every segment from an image or a clip. Segments that were made for another size are scaled "
        "to fit, width and height independently."
    )
    SEARCH_ALIASES = ["crop images for segments"]
    RETURN_TYPES = ("SEGS",)
    OUTPUT_TOOLTIPS = (
        "The segments with their pictures; the coordinates of the segments now refer to the connected image.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "segs": _SEGS,
                "image": socket("IMAGE", "What to cut from: one image for all frames, or one for each."),
                "override": toggle(True, "Also replace the pictures of segments that already carry some."),
            }
        }

    @staticmethod
    def doit(segs: Any, image: Any, override: bool) -> tuple[Segs]:
        """The segments with the crops of all frames of the image."""
        header, segments = segs_from(segs)
        frames = image_frames(image, "image")
        size = frame_size(frames)
        results = []
        for number, segment in enumerate(segments):
            seg = seg_on(segment, header, size, number)
            keep = segment.cropped_image is not None and not override
            results.append(seg._replace(cropped_image=_images(segment, seg, frames, keep=keep)))
        return ((size.shape, results),)


def _images(segment: Any, seg: Seg, frames: Tensor, *, keep: bool) -> Any:
    return segment.cropped_image if keep else cut_images(frames, seg.crop_region)


def _mask(seg: Seg) -> Tensor:
    """A segment's masks as a MASK; full where it has none."""
    x1, y1, x2, y2 = (int(side) for side in seg.crop_region)
    whole = Size(max(1, x2 - x1), max(1, y2 - y1))
    given = as_array(seg.cropped_mask)
    try:
        size = whole if np.ndim(given) < 2 else Size(*reversed(np.shape(given)[-2:]))
        mask = torch.from_numpy(normalise_mask(given, size))
    except RegionError as error:
        raise RegionError(f"seg_elt cannot be used: {error}") from error
    return mask[None] if mask.ndim == 2 else mask


def _place(name: str) -> tuple[int, str]:
    """segs2 comes before segs10."""
    digits = name.removeprefix("segs")
    return (int(digits) if digits.isdecimal() else 0, name)


NODES: tuple[type[Node], ...] = (
    ImpactDecomposeSEGS,
    ImpactAssembleSEGS,
    ImpactFromSegElt,
    ImpactSEGSConcat,
    RemoveImageFromSEGS,
    SetDefaultImageForSEGS,
)
