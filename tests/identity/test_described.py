"""Which faces of a clip are described."""

import numpy as np
import pytest

from redetail.identity import DescribedFaces
from redetail.identity.described import EVERY, SOON
from redetail.region import Box, Detection

LANDMARKS = ((10.0, 10.0), (20.0, 10.0), (15.0, 15.0), (11.0, 20.0), (19.0, 20.0))
FRAME = np.zeros((4, 4, 3), np.uint8)


class Describer:
    def describe(self, frame, landmarks):
        return np.zeros(128, np.float32)


def face(x=0.0, side=40.0, confidence=0.9):
    return Detection(Box(x, 0, x + side, side), confidence, landmarks=LANDMARKS)


def described(frames, cuts=()):
    """Numbers of the frames in which the only face is described."""
    faces = DescribedFaces(Describer())
    updates = [faces.update(lambda: FRAME, [one], index in cuts) for index, one in enumerate(frames)]
    return [index for index, (one,) in enumerate(updates) if one.descriptor is not None]


def test_a_face_that_stays_is_described_at_once_soon_and_then_seldom():
    assert described([face()] * 70) == [0, SOON, SOON + EVERY, SOON + 2 * EVERY]


def test_each_shot_of_five_frames_gives_the_two_descriptions_that_joining_needs():
    assert described([face()] * 15, cuts=(5, 10)) == [0, 4, 5, 9, 10, 14]


def test_a_face_that_leaps_is_described():
    assert described([face()] * 2 + [face(60)] * 2) == [0, 2]


@pytest.mark.parametrize("one", [face(side=29), face(confidence=0.59)])
def test_small_and_unsure_faces_are_not(one):
    assert described([one] * 8) == []


def test_pixels_are_asked_for_only_where_a_face_is_described() -> None:
    asked = []
    faces = DescribedFaces(Describer())
    for index in range(8):
        faces.update(lambda index=index: asked.append(index) or FRAME, [face()])
    assert asked == [0, SOON]
