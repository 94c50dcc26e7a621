"""ControlNets on segments."""

from __future__ import annotations

from typing import Any

from redetail.comfy.control import ControlNetWrapper, cut_hint, followed_hint
from redetail.comfy.convert import plain_seg, segs_from
from redetail.comfy.schema import Inputs, Node, number, socket
from redetail.comfy.tracked import TrackedSeg
from redetail.segs import Segs

_SEGS = socket("SEGS", "The segments.")
_NET = socket("CONTROL_NET", "The ControlNet that is applied to every segment's crop.")
_STRENGTH = number(1.0, 0.0, 10.0, "Strength of the ControlNet; at 0 it changes nothing.", step=0.01)
_OPTIONAL = {
    "segs_preprocessor": socket(
        "SEGS_PREPROCESSOR",
        "The preprocessor that makes the hint from the crop; if none is connected, the crop itself is the hint.",
    ),
    "control_image": socket(
        "IMAGE",
        "Hints for whole frames: either one hint for all frames, or one hint for each frame. Each segment gets the "
        "part under its crop.",
    ),
}


class ImpactControlNetApplySEGS(Node):
    """Attach a ControlNet to every segment."""

    ID = "ImpactControlNetApplySEGS"
    NAME = "ControlNetApply (SEGS)"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = (
        "Attaches a ControlNet to every segment; the detailer applies it to the scaled crop. You can chain several of "
        "these nodes."
    )
    SEARCH_ALIASES = ["controlnet segs", "controlnet detailer"]
    RETURN_TYPES = ("SEGS",)
    OUTPUT_TOOLTIPS = ("The segments with the ControlNet.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {"segs": _SEGS, "control_net": _NET, "strength": _STRENGTH},
            "optional": dict(_OPTIONAL),
        }

    @staticmethod
    def doit(
        segs: Any, control_net: Any, strength: float, segs_preprocessor: Any = None, control_image: Any = None
    ) -> tuple[Segs]:
        """The segments with the ControlNet."""
        return (_with_control(segs, control_image, control_net, strength, preprocessor=segs_preprocessor),)


class ImpactControlNetApplyAdvancedSEGS(Node):
    """Attach a ControlNet to every segment for a part of the steps."""

    ID = "ImpactControlNetApplyAdvancedSEGS"
    NAME = "ControlNetApplyAdvanced (SEGS)"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = (
        "Attaches a ControlNet to every segment. The ControlNet acts from start_percent to end_percent of the "
        "sampling. You can chain several of these nodes."
    )
    SEARCH_ALIASES = ["controlnet segs", "controlnet detailer"]
    RETURN_TYPES = ("SEGS",)
    OUTPUT_TOOLTIPS = ("The segments with the ControlNet.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "segs": _SEGS,
                "control_net": _NET,
                "strength": _STRENGTH,
                "start_percent": number(
                    0.0,
                    0.0,
                    1.0,
                    "Point in the sampling at which the ControlNet starts to act: 0 is the start of sampling, 1 its "
                    "end.",
                    step=0.001,
                ),
                "end_percent": number(
                    1.0,
                    0.0,
                    1.0,
                    "Point in the sampling at which the ControlNet stops acting: 0 is the start of sampling, 1 its "
                    "end.",
                    step=0.001,
                ),
            },
            "optional": {
                **_OPTIONAL,
                "vae": socket("VAE", "The VAE that encodes the hint, for ControlNets that need an encoded one."),
            },
        }

    @staticmethod
    def doit(
        segs: Any,
        control_net: Any,
        strength: float,
        start_percent: float,
        end_percent: float,
        segs_preprocessor: Any = None,
        control_image: Any = None,
        vae: Any = None,
    ) -> tuple[Segs]:
        """The segments with the ControlNet."""
        limits = {"start_percent": start_percent, "end_percent": end_percent}
        extra = {"preprocessor": segs_preprocessor, "vae": vae, **limits}
        return (_with_control(segs, control_image, control_net, strength, **extra),)


class ImpactControlNetClearSEGS(Node):
    """Take all ControlNets off the segments."""

    ID = "ImpactControlNetClearSEGS"
    NAME = "Clear ControlNet (SEGS)"
    CATEGORY = "ImpactPack/Util"
    DESCRIPTION = "Removes every ControlNet and IPAdapter from the segments."
    SEARCH_ALIASES = ["remove controlnet"]
    RETURN_TYPES = ("SEGS",)
    OUTPUT_TOOLTIPS = ("The segments without a ControlNet.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"segs": _SEGS}}

    @staticmethod
    def doit(segs: Any) -> tuple[Segs]:
        """The segments without a ControlNet."""
        header, segments = segs_from(segs)
        return ((header, [plain_seg(segment, control_net_wrapper=None) for segment in segments]),)


def _with_control(segs: Any, control_image: Any, control_net: Any, strength: float, **extra: Any) -> Segs:
    """Every segment with one more ControlNet, after those that it has."""
    header, segments = segs_from(segs)
    results = []
    for segment in segments:
        hint = None
        if control_image is not None:
            tracked = isinstance(segment, TrackedSeg)
            region = segment.crop_region
            hint = followed_hint(control_image, segment) if tracked else cut_hint(control_image, header, region)
        wrapper = ControlNetWrapper(
            control_net=control_net,
            strength=strength,
            prev_control_net=segment.control_net_wrapper,
            hint=hint,
            **extra,
        )
        results.append(plain_seg(segment, control_net_wrapper=wrapper))
    return header, results


NODES: tuple[type[Node], ...] = (
    ImpactControlNetApplySEGS,
    ImpactControlNetApplyAdvancedSEGS,
    ImpactControlNetClearSEGS,
)
