"""Which faces of a clip are described: not all, since describing one takes as long as searching a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from redetail.identity.descriptor import MIN_SIDE, FaceDescriber
from redetail.region import Detection

SOON, EVERY = 4, 30
"""Frames between the first two descriptions of a face that stays where it was, and between all others. A mean of two
is worth far more than one description, that of ten hardly more; each costs as much as a search. SOON leaves two to a
face in a shot of five frames, as slideshows have; with one it cannot be joined."""
STAYED = 0.5
"""Intersection over union with a face of the frame before from which it is taken for the same one."""
MIN_CONFIDENCE = 0.6
"""Confidence from which a face is described: landmarks of less certain ones are wrong too often."""


class DescribedFaces:
    """Adds descriptors to detections, frame by frame: to each face when it appears or leaps, soon again, then seldom.

    So no face can take the place of another without a description. Detections without landmarks stay as they are.
    """

    def __init__(self, describer: FaceDescriber | None = None) -> None:
        self._describer = FaceDescriber() if describer is None else describer
        # Faces of the frame before, frames since each was described, and how often it was.
        self._before: list[tuple[Detection, int, int]] = []

    def update(
        self, frame: NDArray[np.uint8] | NDArray[np.uint16], detections: Sequence[Detection], cut: bool = False
    ) -> tuple[Detection, ...]:
        """The detections of the next frame (H, W, 3), with descriptors; ``cut``: it starts a new shot."""
        before = [] if cut else self._before
        self._before = []
        described = []
        for detection in detections:
            known = [(age, times) for other, age, times in before if _stayed(other, detection)]
            age, times = min(known, default=(EVERY, 0))
            age += 1
            if age >= (EVERY if times > 1 else SOON) and detection.landmarks is not None and _distinct(detection):
                landmarks = np.array(detection.landmarks)
                detection = replace(detection, descriptor=self._describer.describe(frame, landmarks))
                age, times = 0, times + 1
            self._before.append((detection, age, times))
            described.append(detection)
        return tuple(described)


def _stayed(before: Detection, now: Detection) -> bool:
    return before.label == now.label and before.box.iou(now.box) >= STAYED


def _distinct(detection: Detection) -> bool:
    """Whether a descriptor of it would say anything."""
    side = min(detection.box.width, detection.box.height)
    return side >= MIN_SIDE and detection.confidence >= MIN_CONFIDENCE
