"""Chooses which faces of a clip are described: not all, since describing a face takes as long as searching a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from redetail.identity.descriptor import MIN_SIDE, FaceDescriber
from redetail.region import Detection

SOON, EVERY = 4, 30
"""Frames between the first two descriptions of a face that stays in place, and between all later ones. The mean of two
descriptions is far better than a single one, and the mean of ten hardly better than that; each costs as much as a
search. With SOON, a face in a shot of five frames, as in slideshows, gets two; with only one it could not be joined."""
STAYED = 0.5
"""Intersection over union from which a face counts as the same as one in the previous frame."""
MIN_CONFIDENCE = 0.6
"""Confidence from which a face is described; landmarks of less certain faces are wrong too often."""


class DescribedFaces:
    """Adds descriptors to detections, frame by frame: to each face when it appears or jumps, soon again, then seldom.

    So no face can replace another without being described. Detections without landmarks stay as they are.
    """

    def __init__(self, describer: FaceDescriber | None = None) -> None:
        self._describer = FaceDescriber() if describer is None else describer
        # Faces of the previous frame, frames since each was described, and how often it was described.
        self._before: list[tuple[Detection, int, int]] = []

    def update(
        self,
        pixels: Callable[[], NDArray[np.uint8] | NDArray[np.uint16]],
        detections: Sequence[Detection],
        cut: bool = False,
    ) -> tuple[Detection, ...]:
        """The detections of the next frame, with descriptors; ``cut``: it starts a new shot.

        ``pixels`` gives the frame (H, W, 3); it is called only if a face is described.
        """
        before = [] if cut else self._before
        self._before = []
        described = []
        for detection in detections:
            known = [(age, times) for other, age, times in before if _stayed(other, detection)]
            age, times = min(known, default=(EVERY, 0))
            age += 1
            if age >= (EVERY if times > 1 else SOON) and detection.landmarks is not None and _distinct(detection):
                landmarks = np.array(detection.landmarks)
                detection = replace(detection, descriptor=self._describer.describe(pixels(), landmarks))
                age, times = 0, times + 1
            self._before.append((detection, age, times))
            described.append(detection)
        return tuple(described)


def _stayed(before: Detection, now: Detection) -> bool:
    return before.label == now.label and before.box.iou(now.box) >= STAYED


def _distinct(detection: Detection) -> bool:
    """Whether a descriptor of this detection would be meaningful."""
    side = min(detection.box.width, detection.box.height)
    return side >= MIN_SIDE and detection.confidence >= MIN_CONFIDENCE
