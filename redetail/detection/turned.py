"""Finds faces that lie on their side or are upside down: YuNet only finds upright faces, so the frame is turned for
it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.detection.base import RGB, to_uint8
from redetail.detection.face import OVERLAP, FaceDetector
from redetail.region import Box, Detection


class TurnedFaceDetector:
    """Faces in a frame, whichever way up they are; takes four times as long as upright faces alone.

    ``options``: those of :class:`~.face.FaceDetector`. Do not share a detector between threads.
    """

    label = "face"

    def __init__(self, **options: Any) -> None:
        self._upright = FaceDetector(**options)

    def detect(self, frame: RGB) -> list[Detection]:
        """All faces of an RGB frame (H, W, 3) uint8 or uint16, most confident first; see :class:`~.base.Detector`.

        A face that is found in several orientations is reported, with its landmarks, from the most certain one.
        """
        rgb = to_uint8(frame)
        height, width = rgb.shape[:2]
        found = []
        for turns in range(4):
            turned: NDArray[np.uint8] = np.ascontiguousarray(np.rot90(rgb, turns))
            found += [turned_back(one, turns, width, height) for one in self._upright.detect(turned)]
        kept: list[Detection] = []
        for one in sorted(found, key=lambda one: -one.confidence):
            if all(one.box.iou(other.box) < OVERLAP for other in kept):
                kept.append(one)
        return kept


def turned_back(found: Detection, turns: int, width: int, height: int) -> Detection:
    """A detection in a frame of this size that was turned counter-clockwise by ``turns`` quarters, in the frame
    itself."""
    corners = [(found.box.x1, found.box.y1), (found.box.x2, found.box.y2)]
    (ax, ay), (bx, by) = (_point(x, y, turns, width, height) for x, y in corners)
    box = Box(min(ax, bx), min(ay, by), max(ax, bx), max(ay, by))
    points = tuple(_point(x, y, turns, width, height) for x, y in found.landmarks or ())
    return Detection(box, found.confidence, found.label, points or None)


def _point(x: float, y: float, turns: int, width: int, height: int) -> tuple[float, float]:
    places = (x, y), (width - y, x), (width - x, height - y), (y, height - x)
    return places[turns]
