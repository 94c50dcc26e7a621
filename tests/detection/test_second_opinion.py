"""The second detector, and what it thinks of faces and of other things."""

import hashlib

import numpy as np
import pytest

from redetail.detection.margin import FIRST, STRIDE, WEIGHTS, load_margin_network
from redetail.detection.second_opinion import second_opinion, with_second_opinion
from redetail.errors import InputError
from redetail.region import Box, Detection
from tests.clips import clip_frames

BORDER = 11  # black pixels that dlib puts around a picture
GUITAR = Box(40.0, 180.0, 130.0, 280.0)
LEFT, RIGHT = Box(59.8, 23.9, 114.0, 97.1), Box(252.3, 50.4, 291.2, 117.9)  # in the first frame of `two_people`


def square(frame: np.ndarray, x: int, y: int, side: int = 220) -> np.ndarray:
    """The square around x, y, black outside the frame."""
    padded = np.pad(frame, ((side, side), (side, side), (0, 0)))
    return padded[y + side // 2 : y + side // 2 + side, x + side // 2 : x + side // 2 + side]


@pytest.mark.parametrize(
    ("frame", "x", "y", "confidence"),
    # From dlib 20.0.1, which finds these faces in the square at its own size; the window's centre is at 107, 107.
    [(0, 87, 60, 0.5995), (30, 85, 69, 0.8190)],
)
def test_scores_are_those_of_dlib(frame, x, y, confidence):
    picture = np.pad(square(clip_frames("two_people")[frame], x, y), ((BORDER, BORDER), (BORDER, BORDER), (0, 0)))
    (scores,) = load_margin_network().scores(picture[None].astype(np.float32) / 255)
    assert scores.max() == pytest.approx(confidence, abs=0.005)
    row, column = np.unravel_index(scores.argmax(), scores.shape)
    assert [STRIDE * place + FIRST - BORDER for place in (row, column)] == [107, 107]


def test_faces_score_more_than_a_guitar_and_a_wall():
    people, guitarist = clip_frames("two_people")[0], clip_frames("guitarist")[0]
    assert second_opinion(people, LEFT) > 0
    assert second_opinion(people, RIGHT) > 0
    assert second_opinion(guitarist, GUITAR) < -0.8
    assert second_opinion(np.full((200, 200, 3), 90, np.uint8), Box(60, 60, 140, 140)) < -0.8


def test_a_window_off_the_box_does_not_count():
    beside = Box(LEFT.x1 + 80, LEFT.y1, LEFT.x2 + 80, LEFT.y2)
    assert (
        second_opinion(clip_frames("two_people")[0], beside) < second_opinion(clip_frames("two_people")[0], LEFT) - 0.8
    )


def test_sixteen_bits_and_a_box_at_the_edge():
    frame = clip_frames("two_people")[0]
    assert second_opinion(frame.astype(np.uint16) * 257, LEFT) == pytest.approx(second_opinion(frame, LEFT), abs=1e-4)
    assert np.isfinite(second_opinion(frame, Box(330, 330, 350, 350)))
    with pytest.raises(InputError):
        second_opinion(np.zeros((4, 4), np.uint8), LEFT)


def test_the_detection_is_otherwise_the_same():
    detection = Detection(LEFT, 0.7)
    seen = with_second_opinion(clip_frames("two_people")[0], detection)
    assert seen == detection
    assert seen.second_opinion == second_opinion(clip_frames("two_people")[0], LEFT)


def test_the_weights_are_those_of_the_card():
    card = (WEIGHTS.parent / "README.md").read_text()
    content = WEIGHTS.read_bytes()
    assert hashlib.sha256(content).hexdigest() in card
    assert f"{len(content):,} bytes" in card
