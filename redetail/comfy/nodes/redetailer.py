"""Detailing tracked subjects and pasting them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from redetail.comfy.clip import PipeDetailer, detailed_with_bundled
from redetail.comfy.convert import frame_size, segs_from
from redetail.comfy.frames import float_frames
from redetail.comfy.needs import told_for_comfy
from redetail.comfy.nodes.common import (
    DetailerInputs,
    detailer_inputs,
    hint_images,
    refiner_ratio,
    refining_inputs,
)
from redetail.comfy.paste import pasted
from redetail.comfy.schema import MAX_RESOLUTION, Inputs, Node, number, socket, text, toggle, widget
from redetail.comfy.subjects import read_subjects
from redetail.geometry.scale import Scale
from redetail.machine import give_back_memory
from redetail.segs import Segs

SUBJECTS = '[[subject]]\ntrack = 1\nprompt = "an old man, grey beard"\ndenoise = 0.3\nseed = 7'
"""What the widget for single subjects shows while it is empty."""


class RedetailDetailer(Node):
    """Detail tracked subjects with a pipe or with the bundled model."""

    ID = "RedetailDetailer"
    NAME = "Redetail Detailer"
    CATEGORY = "Redetail"
    DESCRIPTION = (
        "Re-diffuses all frames of each subject together, in a crop that follows the subject. If you connect a "
        "basic_pipe, the node uses your model; otherwise it uses the small restoration model that comes with "
        "redetail, so you need no checkpoint. Connect Redetail Paste to paste the result into the frames."
    )
    SEARCH_ALIASES = ["face detailer video", "adetailer video", "restore faces", "video face restoration"]
    RETURN_TYPES = ("SEGS", "IMAGE")
    RETURN_NAMES = ("segs", "cnet_images")
    OUTPUT_IS_LIST = (False, True)
    OUTPUT_TOOLTIPS = (
        "The subjects with their detailed crops.",
        "Hint images of the segments' ControlNets; one black image if there are none.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                **detailer_inputs(widget, more="A larger crop is scaled down, and the change is scaled back up."),
                "refiner_ratio": refiner_ratio(widget),
                "noise_mask_feather": refining_inputs()["noise_mask_feather"],
                "color_match": widget("color_match"),
                "bundled_settings": toggle(
                    True,
                    "How to sample the bundled model if no basic_pipe is connected: in one step, as its model card "
                    "recommends (the seed is then the only sampling setting above that has an effect), or with the "
                    "settings of this node.",
                    "the bundled model's own",
                    "as set here",
                ),
            },
            "optional": {
                "basic_pipe": socket(
                    "BASIC_PIPE",
                    "Model (with its motion model), CLIP, VAE and prompts; if nothing is connected here, the bundled "
                    "model is used.",
                ),
                "refiner_basic_pipe_opt": refining_inputs()["refiner_basic_pipe_opt"],
                "scheduler_func_opt": refining_inputs()["scheduler_func_opt"],
                "subjects": text(
                    "",
                    "Settings for individual subjects, in [[subject]] tables as in a job file: track (the subject's "
                    "number, or its name as in Redetail Pick), then prompt, denoise, seed or other settings, or skip "
                    "= true.",
                    multiline=True,
                    placeholder=SUBJECTS,
                ),
                "strength": widget("strength"),
                "cancel_vae": widget("cancel_vae"),
            },
        }

    @staticmethod
    @told_for_comfy
    def doit(
        color_match: bool,
        bundled_settings: bool,
        subjects: str = "",
        strength: float = 0.0,
        cancel_vae: bool = False,
        **named: Any,
    ) -> tuple[Segs, list[Tensor]]:
        """The subjects with their crops, and the hint images."""
        inputs, own = DetailerInputs(**named), read_subjects(subjects)
        settings = replace(inputs.settings, color_match=color_match, strength=strength, cancel_vae=cancel_vae)
        frames = float_frames(inputs.image_frames, "image_frames")
        header, segments = segs_from(inputs.segs)
        images: list[Tensor] = []
        if inputs.basic_pipe is None:
            asked = {"seed": inputs.seed} if bundled_settings else settings
            results = detailed_with_bundled(frames, header, segments, asked, own)
        else:
            results, images = PipeDetailer(settings=settings, **inputs.pipes).detail(frames, header, segments, own)
        give_back_memory()  # pasting makes new frames
        return (frame_size(frames).shape, results), hint_images(images)


class RedetailPaste(Node):
    """Paste detailed subjects into the frames."""

    ID = "RedetailPaste"
    NAME = "Redetail Paste"
    CATEGORY = "Redetail"
    DESCRIPTION = (
        "Pastes the detailer's changes into the frames through the softened mask of each subject. Everything else "
        "stays the same, bit for bit. Segments from other packs are blended as in SEGSPaste. The new frames can be "
        "larger than those of the clip."
    )
    SEARCH_ALIASES = ["paste segments", "paste detailed crops"]
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image_frames",)
    OUTPUT_TOOLTIPS = ("New frames with all subjects pasted in.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "image_frames": socket("IMAGE", "The frames to paste into; the node changes a copy of them."),
                "segs": socket("SEGS", "The detailed subjects; subjects without crops are skipped."),
                "feather": widget("paste_feather"),
                "strength": number(
                    1.0,
                    0.0,
                    1.0,
                    "How much of the change is visible: 0 keeps the clip as it is; 1 shows the full change.",
                    step=0.01,
                ),
            },
            "optional": {
                "scale": number(
                    1.0,
                    1.0,
                    MAX_RESOLUTION,
                    "Size of the new frames: a factor (1 to 8) or a height in pixels (16 or more). Subjects keep the "
                    "detail that the detailer gave them.",
                    step=0.5,
                ),
            },
        }

    @staticmethod
    def doit(image_frames: Any, segs: Any, feather: int, strength: float, scale: float = 1.0) -> tuple[Tensor]:
        """New frames with the subjects pasted."""
        frames = float_frames(image_frames, "image_frames")
        return (pasted(frames, segs_from(segs), feather, 255 * strength, scale=Scale(scale)),)


NODES: tuple[type[Node], ...] = (RedetailDetailer, RedetailPaste)
