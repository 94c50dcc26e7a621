"""Choosing subjects by their thumbnails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redetail.comfy.convert import image_frames as frames_of
from redetail.comfy.convert import plain_seg, segs_from
from redetail.comfy.frames import float_frames
from redetail.comfy.needs import told_for_comfy
from redetail.comfy.nodes.preview import Shown
from redetail.comfy.picking import (
    Subject,
    chosen_subjects,
    frames_seen,
    named_subjects,
    shown_subjects,
    thumbnail,
)
from redetail.comfy.schema import Inputs, Node, socket, text
from redetail.comfy.stills import save_preview
from redetail.segs import Seg


class RedetailPick(Node):
    """Subjects as thumbnails, to choose from."""

    ID = "RedetailPick"
    NAME = "Redetail Pick"
    CATEGORY = "Redetail"
    DESCRIPTION = (
        "Shows every subject as a thumbnail and keeps the subjects that you click, in the order of your clicks. Their "
        "names are saved in the workflow. If you connect a picture of a person, only that person can be chosen."
    )
    SEARCH_ALIASES = ["choose faces", "select subject", "pick face", "filter segments", "reference face"]
    RETURN_TYPES = ("SEGS", "SEGS")
    RETURN_NAMES = ("segs", "rest")
    OUTPUT_TOOLTIPS = (
        "The chosen subjects, in the order of their names in the choice input. Tracked subjects stay tracked.",
        "All other subjects, in their original order.",
    )
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "image_frames": socket("IMAGE", "All frames of the clip; thumbnails are cut from them."),
                "segs": socket("SEGS", "Subjects to choose from, made by Redetail Track or by any detector."),
                "choice": text(
                    "",
                    "Names of the subjects to keep, separated by commas; if empty, all are kept. Clicking a thumbnail "
                    "adds or removes its name.",
                    placeholder="all subjects",
                ),
            },
            "optional": {
                "reference": socket(
                    "IMAGE",
                    "A picture of the person to keep, or one picture for each of several people. If pictures are "
                    "connected, only the people in them can be chosen.",
                ),
            },
        }

    @staticmethod
    @told_for_comfy
    def doit(image_frames: Any, segs: Any, choice: str = "", reference: Any = None) -> Shown:
        """The thumbnails, the chosen segments and the others."""
        frames = float_frames(image_frames, "image_frames")
        header, segments = segs_from(segs)
        subjects = named_subjects(segments)
        chosen = chosen_subjects(choice, subjects)
        if reference is not None and subjects:
            shown = shown_subjects(frames_of(reference, "reference"), subjects, segments, header, frames)
            chosen = [subject for subject in chosen if subject in shown]
        others = [subject for subject in subjects if subject not in chosen]
        cards = [
            {
                **save_preview(thumbnail(segments[subject.places[0]], header, frames))[0],
                "name": subject.name,
                "frames": frames_seen(subject, segments, len(frames)),
                "clip_frames": len(frames),
                "kept": subject in chosen,
            }
            for subject in subjects
        ]
        kept, rest = _segments(chosen, segments), _segments(sorted(others, key=lambda one: one.places), segments)
        return {"ui": {"subjects": cards}, "result": ((header, kept), (header, rest))}


def _segments(subjects: Sequence[Subject], segments: Sequence[Any]) -> list[Seg]:
    return [plain_seg(segments[place]) for subject in subjects for place in subject.places]


NODES: tuple[type[Node], ...] = (RedetailPick,)
