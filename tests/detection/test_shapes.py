"""Shapes of subjects: closed forms, then real faces, hands and people."""

import math

import numpy as np
import pytest

from redetail.detection.shapes import GRID, SHAPES, HandShape, HeadShape, OvalShape, PersonShape, ellipse, square_of
from redetail.region import Box
from tests.clips import clip_frames

FACE = Box(172, 29, 252, 141)  # of guitarist's first frame, by eye


def share(shape: np.ndarray, reach: float, box: Box, part: Box) -> float:
    """How much of a part of the frame a shape covers, 0..1."""
    square = square_of(box, reach)
    scale = GRID / square.side
    x1, y1, x2, y2 = part.moved(square.side / 2 - square.x, square.side / 2 - square.y).scaled(scale, scale).as_tuple()
    return float(shape[max(0, round(y1)) : round(y2), max(0, round(x1)) : round(x2)].mean())


def test_the_ellipse_touches_the_sides_of_its_box() -> None:
    box = Box(0, 0, 30, 60)
    shape = ellipse(box, 2.0)
    assert shape.sum() == pytest.approx(math.pi * (GRID / 8) * (GRID / 4), rel=0.01)
    assert share(shape, 2.0, box, Box(14, 1, 16, 59)) == pytest.approx(1, abs=0.02)
    assert share(shape, 2.0, box, Box(31, 0, 40, 60)) == 0


def test_an_oval_holds_the_face_and_leaves_out_hair_and_background() -> None:
    shape = OvalShape().look(clip_frames("guitarist")[0], FACE)
    assert shape is not None
    assert share(shape, OvalShape.reach, FACE, Box(190, 70, 235, 120)) > 0.98
    assert share(shape, OvalShape.reach, FACE, Box(200, 0, 250, 25)) < 0.02
    assert share(shape, OvalShape.reach, FACE, Box(140, 40, 168, 130)) < 0.02


def test_a_head_has_hair_and_ears_and_no_background_or_guitar() -> None:
    shape = HeadShape().look(clip_frames("guitarist")[0], FACE)
    assert shape is not None
    for seen in (Box(200, 5, 250, 25), Box(190, 70, 235, 120), Box(262, 70, 276, 100)):  # hair, face, ear
        assert share(shape, HeadShape.reach, FACE, seen) > 0.9
    for not_seen in (Box(100, 20, 160, 100), Box(290, 20, 320, 100), Box(150, 200, 260, 250)):
        assert share(shape, HeadShape.reach, FACE, not_seen) < 0.03


def test_a_hand_is_more_than_its_landmarks_and_less_than_its_square() -> None:
    hand, box = HandShape(), Box(65, 253, 129, 320)
    frames = clip_frames("guitarist")
    first = hand.look(frames[0], box)
    assert first is not None
    assert 0.65 < share(first, HandShape.reach, box, box) <= 1
    assert share(first, HandShape.reach, box, Box(134, 240, 146, 330)) < 0.02
    again = hand.look(frames[1], box)  # where it was in the frame before
    assert again is not None
    assert np.abs(again - first).mean() < 0.05


def test_a_person_ends_where_the_other_begins() -> None:
    shape = PersonShape().look(clip_frames("two_people")[0], Box(225, 28, 350, 350))
    assert shape is not None
    box = Box(225, 28, 350, 350)
    assert share(shape, PersonShape.reach, box, Box(270, 180, 320, 300)) > 0.95
    assert share(shape, PersonShape.reach, box, Box(160, 40, 215, 300)) < 0.05


@pytest.mark.parametrize("name", SHAPES)
def test_where_nothing_is_there_is_no_shape(name: str) -> None:
    assert SHAPES[name]().look(np.zeros((90, 160, 3), np.uint8), Box(40, 20, 80, 60)) is None
