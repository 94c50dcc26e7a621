"""Hands, found with MediaPipe's palm detector and hand landmark network (Zhang et al., "MediaPipe Hands", 2020).

The palm detector sees a square of 192 pixels, too few for a hand in a wide frame, so the frame is searched whole and in
overlapping tiles. The detector mistakes foreheads and headstocks for palms, so the landmark network looks at each palm
twice, in a square turned upright: first by the palm, then by the landmarks of the first look. The confidence is the
geometric mean of the two presence scores, since things that are not hands seldom score high in both looks. Both
networks mistake small faces for hands, so hands that lie on a sure face are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from redetail.detection.base import RGB, to_uint8
from redetail.detection.face import FaceDetector
from redetail.detection.litert import FOLDER, LiteNetwork
from redetail.detection.ssd import AnchorLayout, Candidate, merged
from redetail.detection.views import Points, Square, tiled
from redetail.errors import SettingsError
from redetail.region import Box, Detection, Size

PALMS = AnchorLayout(side=192, strides=(8, 16), per_cell=(2, 6))
"""MediaPipe's layout for the palm detector: one layer of stride 8 and three of stride 16, two anchors each."""
PALM_THRESHOLD = 0.3
"""Score from which a palm is worth a look at its landmarks."""
OVERLAP = 0.3
"""Intersection over union from which two boxes are the same palm or hand."""
MAX_PALMS = 24
COARSE = 1024
"""Longer side of a frame, in pixels, up to which halves of it are enough to find hands that are worth detailing. Larger
frames are also searched in quarters, since a hand of 60 pixels would have only four pixels in the network's picture of
a half."""
WRIST, MIDDLE = 0, 2
"""Key points of a palm; in an upright hand, the line between them points up."""
PALM_SCALE, PALM_SHIFT = 2.6, 0.5
"""Side of the square around the hand as a multiple of the palm's, and how far it lies towards the fingers."""
HAND_SCALE, HAND_SHIFT = 2.0, 0.1
"""The same for a square around the landmarks of the whole hand; MediaPipe follows hands with these values."""
KNUCKLES = (5, 9, 13)
FLESH = 1.2
"""Sides of a hand's box as a multiple of those of its landmarks, which lie inside the fingers."""
ON_FACE, SURE_FACE = 0.6, 0.6
"""Share of a hand's box inside a face, and confidence of that face, from which the hand counts as part of the face."""


class HandLandmarks:
    """The 21 landmarks of a hand in a part of a frame."""

    def __init__(self) -> None:
        self._network = LiteNetwork(FOLDER / "hand_landmark_full.tflite")

    def look(self, rgb: NDArray[np.uint8], square: Square) -> tuple[Points, float]:
        """Landmarks (21, 2) in pixels of the frame, and how sure it is that the square shows a hand, 0..1."""
        side = self._network.side
        seen = self._network.run(square.picture(rgb, side))
        points = seen["Identity"].reshape(21, 3)[:, :2].astype(np.float64)
        return square.to_frame(points, side), float(seen["Identity_1"][0])


class HandDetector:
    """Hands in a frame.

    ``threshold``: least confidence (0..1) that is reported. ``levels``: the number of tiles along the longer side of
    the frame, for each search (None: as suits the frame's size); more tiles find smaller hands and take longer. Do not
    share a detector between threads.
    """

    label = "hand"

    def __init__(self, *, threshold: float = 0.25, levels: Sequence[int] | None = None) -> None:
        if not 0 <= threshold <= 1:
            raise SettingsError(f"The detection threshold is {threshold}; it must be between 0 and 1.")
        if levels is not None and not (levels and all(1 <= level <= 16 for level in levels)):
            raise SettingsError(f"The levels are {levels}; each must be a number of tiles from 1 to 16.")
        self.threshold, self.levels = threshold, levels
        self._palms = LiteNetwork(FOLDER / "palm_detection_full.tflite")
        self._hands = HandLandmarks()
        self._faces = FaceDetector(threshold=SURE_FACE)

    def detect(self, frame: RGB) -> list[Detection]:
        """All hands of an RGB frame (H, W, 3) uint8 or uint16, most confident first; see :class:`~.base.Detector`."""
        rgb = to_uint8(frame)
        size = Size(rgb.shape[1], rgb.shape[0])
        hands = merged([self._hand(rgb, palm) for palm in self._candidates(rgb, size)], OVERLAP)
        sure = [hand for hand in hands if hand.score >= self.threshold]
        faces = [face.box for face in self._faces.detect(rgb)] if sure else []
        found = [
            Detection(inside, hand.score, self.label)
            for hand in sure
            if (inside := hand.box.clipped(size)) and not any(_lies_on(hand.box, face) for face in faces)
        ]
        return sorted(found, key=lambda one: -one.confidence)

    def _candidates(self, rgb: NDArray[np.uint8], size: Size) -> list[Candidate]:
        found: list[Candidate] = []
        for tile in tiled(size, self.levels or levels_for(size)):
            seen = self._palms.run(tile.picture(rgb, PALMS.side))
            scale, half = tile.side / PALMS.side, tile.side / 2
            palms = PALMS.decode(seen["Identity"], seen["Identity_1"], PALM_THRESHOLD)
            found += [palm.placed(scale, tile.x - half, tile.y - half) for palm in palms]
        return merged(found, OVERLAP)[:MAX_PALMS]

    def _hand(self, rgb: NDArray[np.uint8], palm: Candidate) -> Candidate:
        first, sure = self._hands.look(rgb, _around_palm(palm))
        second, again = self._hands.look(rgb, around_hand(first))
        return Candidate(hand_box(second), math.sqrt(sure * again), second)


def levels_for(size: Size) -> tuple[int, ...]:
    """The number of tiles along the longer side of a frame, for each search."""
    return (1, 2) if max(size.width, size.height) <= COARSE else (1, 2, 4)


def hand_box(landmarks: Points) -> Box:
    """The box of a hand with these landmarks (21, 2)."""
    return Box(*map(float, (*landmarks.min(axis=0), *landmarks.max(axis=0)))).grown(FLESH)


def around_hand(landmarks: Points) -> Square:
    """The square in which the landmark network sees a hand best, from the landmarks (21, 2) of an earlier look."""
    across, middle, other = landmarks[list(KNUCKLES)]
    angle = _upright(landmarks[0], (across + 2 * middle + other) / 4)
    cos, sin = math.cos(angle), math.sin(angle)
    turned = np.array([[cos, sin], [-sin, cos]])  # from the upright hand to the frame
    upright = landmarks @ turned.T
    low, high = upright.min(axis=0), upright.max(axis=0)
    centre = (low + high) / 2 - np.array([0.0, HAND_SHIFT * (high - low)[1]])
    x, y = centre @ turned
    return Square(float(x), float(y), HAND_SCALE * float((high - low).max()), angle)


def _around_palm(palm: Candidate) -> Square:
    angle = _upright(palm.points[WRIST], palm.points[MIDDLE])
    (x, y), shift = palm.box.center, PALM_SHIFT * palm.box.height
    side = PALM_SCALE * max(palm.box.width, palm.box.height)
    return Square(x + math.sin(angle) * shift, y - math.cos(angle) * shift, side, angle)


def _upright(foot: Points, top: Points) -> float:
    """Angle in radians, clockwise, of the line from ``foot`` to ``top``; 0 is straight up."""
    return math.atan2(top[0] - foot[0], foot[1] - top[1])


def _lies_on(hand: Box, face: Box) -> bool:
    common = hand.intersection(face)
    return common is not None and common.area >= ON_FACE * hand.area
