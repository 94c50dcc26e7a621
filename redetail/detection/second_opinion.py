"""A second opinion on faces that YuNet doubts: how sure an independent detector is that there is a face.

The two networks make different mistakes: most animals and things that YuNet half takes for faces score less here than
faces in profile or in the dark.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from redetail.detection.base import RGB, to_uint8
from redetail.detection.views import Square
from redetail.region import Box, Detection

if TYPE_CHECKING:
    from redetail.detection.margin import MarginNetwork

FACES = (64, 82, 108)
"""Sizes, in pixels, at which a face is shown to the network, whose window has 80 pixels."""
SIDE = 224
"""Side in pixels of the squares that it is shown: the network sees about 190 pixels around each window's centre."""
REACH = 0.4
"""Largest distance of a window's centre from that of the face, in sides of the face, in x and in y."""


def with_second_opinion(frame: RGB, detection: Detection) -> Detection:
    """The detection with the second detector's score for it; ``frame`` is the RGB frame (H, W, 3) that it is in."""
    return replace(detection, second_opinion=second_opinion(frame, detection.box))


def second_opinion(frame: RGB, box: Box) -> float:
    """The best score of a window on this box in an RGB frame (H, W, 3), over several sizes of the window.

    Above 0, dlib would report a face. Raises :class:`~redetail.errors.InputError` for anything but a picture.
    """
    from redetail.detection.margin import FIRST, STRIDE

    rgb = to_uint8(frame)
    squares = [Square(*box.center, side=SIDE * math.sqrt(max(box.area, 1.0)) / face) for face in FACES]
    scores = _network().scores(np.stack([square.picture(rgb, SIDE) for square in squares]))
    centres = np.abs(np.arange(scores.shape[1]) * STRIDE + FIRST - SIDE / 2)
    best = -math.inf
    for face, there in zip(FACES, scores, strict=True):
        near = centres <= REACH * face
        best = max(best, float(there[near][:, near].max()))
    return best


@cache
def _network() -> MarginNetwork:
    from redetail.detection.margin import load_margin_network  # imports torch

    return load_margin_network()
