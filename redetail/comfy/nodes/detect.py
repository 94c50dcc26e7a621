"""The bundled face detector."""

from __future__ import annotations

from typing import Any

from redetail.comfy.detectors import FaceBBoxDetector
from redetail.comfy.needs import told_for_comfy
from redetail.comfy.schema import MAX_RESOLUTION, Inputs, Node, number, socket, widget
from redetail.segs import Segs


class RedetailDetect(Node):
    """A face detector for every node that takes one, and the faces of a still image."""

    ID = "RedetailDetect"
    NAME = "Redetail Detect"
    CATEGORY = "Redetail"
    DESCRIPTION = (
        "A face detector that needs no download, for every node that takes a BBOX_DETECTOR. If you connect an image, "
        "the node also outputs the faces in it as SEGS. For a clip, use Redetail Track, which finds faces itself."
    )
    SEARCH_ALIASES = ["face detector", "bbox detector", "yunet", "find faces"]
    RETURN_TYPES = ("BBOX_DETECTOR", "SEGS")
    RETURN_NAMES = ("bbox_detector", "segs")
    OUTPUT_TOOLTIPS = (
        "The detector, for detector nodes from any pack.",
        "The faces in the image, most confident first; no segments if no image is connected.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "threshold": number(0.6, 0.0, 1.0, "Minimum confidence of a detected face.", step=0.01),
                "dilation": number(
                    0,
                    -512,
                    512,
                    "Number of pixels by which the face masks grow on each side; a negative value shrinks them.",
                    step=1,
                    whole=True,
                ),
                "crop_factor": widget("crop_factor"),
                "min_size": number(
                    16,
                    1,
                    MAX_RESOLUTION,
                    "Leaves out faces whose shorter side is less than this many pixels.",
                    step=1,
                    whole=True,
                ),
                "working_size": number(
                    768,
                    64,
                    8192,
                    "Pictures whose longer side exceeds this many pixels are scaled down to that size before the "
                    "search. A lower value is faster; a higher value finds smaller faces in large pictures.",
                    step=64,
                    whole=True,
                ),
            },
            "optional": {
                "image": socket(
                    "IMAGE",
                    "One image to find faces in, for the segs output. The bbox_detector output does not need an image.",
                )
            },
        }

    @staticmethod
    @told_for_comfy
    def doit(
        threshold: float, dilation: int, crop_factor: float, min_size: int, working_size: int, image: Any = None
    ) -> tuple[FaceBBoxDetector, Segs]:
        """The detector, and the faces of the image."""
        detector = FaceBBoxDetector(min_size=min_size, working_size=working_size)
        if image is None:
            return detector, ((0, 0), [])
        return detector, detector.detect(image, threshold, dilation, crop_factor)


NODES: tuple[type[Node], ...] = (RedetailDetect,)
