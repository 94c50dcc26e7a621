"""Seeing and measuring what a detailer did."""

from __future__ import annotations

import json
from typing import Any

import torch

from redetail.comfy.compare import beside, chart, difference, flicker, matched, preview_pairs
from redetail.comfy.convert import segs_from
from redetail.comfy.frames import float_frames
from redetail.comfy.needs import told_for_comfy
from redetail.comfy.nodes.preview import Shown
from redetail.comfy.progress import ClipBar
from redetail.comfy.schema import Inputs, Node, number, socket


class RedetailCompare(Node):
    """Before and after: side by side, difference, flicker."""

    ID = "RedetailCompare"
    NAME = "Redetail Compare"
    CATEGORY = "Redetail"
    DESCRIPTION = (
        "The node shows the clip before and after detailing, with a divider to drag. It also outputs both clips side "
        "by side, the difference between them, and how much each clip flickers: the change from frame to frame that "
        "remains when motion is removed."
    )
    SEARCH_ALIASES = ["before after", "side by side", "flicker", "difference"]
    RETURN_TYPES = ("IMAGE", "IMAGE", "IMAGE", "STRING")
    RETURN_NAMES = ("side_by_side", "difference", "flicker_curve", "figures")
    OUTPUT_TOOLTIPS = (
        "Every frame before and after, side by side.",
        "The change, amplified; grey means no change.",
        "One picture: a chart of flicker over time, with before in blue and after in orange.",
        "The flicker figures as JSON.",
    )
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "before": socket("IMAGE", "The frames before detailing."),
                "after": socket("IMAGE", "The frames after detailing: as many as before, at the same size or larger."),
                "amplify": number(4.0, 0.1, 255.0, "Factor by which the difference is amplified.", step=0.1),
            },
            "optional": {
                "segs": socket(
                    "SEGS",
                    "Subjects to measure. Flicker is then measured only inside them; otherwise, the rest of the "
                    "picture can hide it.",
                )
            },
        }

    @staticmethod
    @told_for_comfy
    def doit(before: Any, after: Any, amplify: float, segs: Any = None) -> Shown:
        """Pictures for the slider; three pictures of the comparison, and its figures."""
        other = float_frames(after, "after")
        one = matched(float_frames(before, "before"), other)
        header, segments = ((0, 0), []) if segs is None else segs_from(segs)
        curves = flicker(one, other, segments, ClipBar(1, {"measure": 1.0}), header)
        curve = torch.from_numpy(chart(curves))[None].float() / 255
        figures = {"frames": len(one), "flicker": [found.figures for found in curves]}
        result = beside(one, other), difference(one, other, amplify), curve, json.dumps(figures, indent=1)
        return {"ui": {"pairs": preview_pairs(one, other)}, "result": result}


NODES: tuple[type[Node], ...] = (RedetailCompare,)
