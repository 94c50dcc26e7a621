"""Whole people, found with MediaPipe's pose detector (Bazarevsky et al., "BlazePose", 2020).

The detector recognises people by head and shoulders, and gives the middle of the hips and the reach of the body, which
define a circle. The box encloses what selfie segmentation sees of the person in that circle. People from behind, and
small people, are seldom found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from redetail.detection.base import RGB, to_uint8
from redetail.detection.litert import FOLDER, LiteNetwork
from redetail.detection.silhouette import Silhouette
from redetail.detection.ssd import AnchorLayout, Candidate, merged
from redetail.detection.views import Square, tiled
from redetail.errors import SettingsError
from redetail.optional import require
from redetail.region import Box, Detection, Size

POSES = AnchorLayout(side=224, strides=(8, 16, 32), per_cell=(2, 2, 6))
"""MediaPipe's layout for the pose detector: layers of stride 8 and 16, three of stride 32, two anchors each."""
HIPS, REACH = 0, 1
"""Key points of a pose: the middle of the hips, and a point on the circle around the body."""
OVERLAP = 0.3
"""Intersection over union from which two heads count as the same."""
MAX_PEOPLE = 16
VISIBLE = 0.5
"""Value from which a pixel counts as person."""
SAME = 0.7
"""Share of a person's box inside that of a more certain person from which the two count as the same."""


class PersonDetector:
    """People in a frame.

    ``threshold``: least confidence (0..1) that is reported. ``levels``: the number of tiles along the longer side of
    the frame, for each search; more tiles find smaller people and take longer. Do not share a detector between threads.
    """

    label = "person"

    def __init__(self, *, threshold: float = 0.4, levels: Sequence[int] = (1,)) -> None:
        if not 0 <= threshold <= 1:
            raise SettingsError(f"The detection threshold is {threshold}; it must be between 0 and 1.")
        if not levels or not all(1 <= level <= 16 for level in levels):
            raise SettingsError(f"The levels are {levels}; each must be a number of tiles from 1 to 16.")
        self.threshold, self.levels = threshold, tuple(levels)
        self._poses = LiteNetwork(FOLDER / "pose_detection.tflite")
        self._silhouette = Silhouette()

    def detect(self, frame: RGB) -> list[Detection]:
        """All people of an RGB frame (H, W, 3) uint8 or uint16, most confident first; see :class:`~.base.Detector`."""
        rgb = to_uint8(frame)
        size = Size(rgb.shape[1], rgb.shape[0])
        found: list[Detection] = []
        for pose in self._candidates(rgb, size):
            box = self._box(rgb, size, pose)
            if box is not None and all(_inside(box, other.box) < SAME for other in found):
                found.append(Detection(box, pose.score, self.label))
        return found

    def _candidates(self, rgb: NDArray[np.uint8], size: Size) -> list[Candidate]:
        found: list[Candidate] = []
        for tile in tiled(size, self.levels):
            seen = self._poses.run(tile.picture(rgb, POSES.side) * 2 - 1)
            scale, half = tile.side / POSES.side, tile.side / 2
            poses = POSES.decode(seen["Identity"], seen["Identity_1"], self.threshold)
            found += [pose.placed(scale, tile.x - half, tile.y - half) for pose in poses]
        return merged(found, OVERLAP)[:MAX_PEOPLE]

    def _box(self, rgb: NDArray[np.uint8], size: Size, pose: Candidate) -> Box | None:
        """The box around what is seen of the person; None if nothing is seen."""
        square = around_body(pose, size)
        shown = self._silhouette.look(rgb, square) >= VISIBLE
        scale = square.side / self._silhouette.side
        left, top = square.x - square.side / 2, square.y - square.side / 2
        head = pose.box.moved(-left, -top).scaled(1 / scale, 1 / scale)
        part = part_at(shown, head)
        if part is None:
            return None
        rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
        box = Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        return box.scaled(scale, scale).moved(left, top).clipped(size)


def around_body(pose: Candidate, size: Size) -> Square:
    """The square in which segmentation sees a body best: around its visible part, and no larger than the frame."""
    (x, y), (to_x, to_y) = pose.points[HIPS], pose.points[REACH]
    reach = math.hypot(to_x - x, to_y - y)
    body = Box(x - reach, y - reach, x + reach, y + reach).union(pose.box).clipped(size) or pose.box
    (x, y), side = body.center, max(body.width, body.height)
    return Square(x, y, side)


def part_at(shown: NDArray[np.bool_], place: Box) -> NDArray[np.bool_] | None:
    """The connected part of what is shown (H, W) that covers most of a place; None if nothing covers it."""
    cv2 = require("cv2")
    count, labels = cv2.connectedComponents(shown.astype(np.uint8), connectivity=4)
    rows = slice(max(0, round(place.y1)), max(1, round(place.y2)))
    columns = slice(max(0, round(place.x1)), max(1, round(place.x2)))
    covered = np.bincount(labels[rows, columns].ravel(), minlength=count)[1:]
    if not covered.size or not covered.max():
        return None
    part: NDArray[np.bool_] = labels == int(covered.argmax()) + 1
    return part


def _inside(box: Box, other: Box) -> float:
    common = box.intersection(other)
    return 0.0 if common is None else common.area / min(box.area, other.area)
