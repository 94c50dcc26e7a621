import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redetail.detection.views import OVERLAP, Square, tiled
from redetail.region import Size


@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 4))
def test_tiles_cover_the_frame_and_overlap(width: int, height: int, count: int) -> None:
    squares = list(tiled(Size(width, height), [count]))
    for length, places in (width, {one.x for one in squares}), (height, {one.y for one in squares}):
        at, side = sorted(places), squares[0].side
        assert at[0] - side / 2 <= 1e-6
        assert at[-1] + side / 2 >= length - 1e-6
        assert all(b - a <= side * (1 - OVERLAP) + 1e-6 for a, b in pairwise(at))


def test_a_wide_frame_takes_few_tiles() -> None:
    assert len(list(tiled(Size(1920, 1080), (1, 2)))) == 1 + 2
    assert len(list(tiled(Size(1000, 1000), (1, 2)))) == 1 + 4


def test_an_upright_square_of_the_same_size_is_a_cut_out() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert np.array_equal(Square(12, 9, 8).picture(picture, 8) * 255, picture[5:13, 8:16])


def test_a_square_that_is_turned_shows_what_lies_to_the_right_on_top() -> None:
    """Turned by a right angle, up in the view is to the right in the frame."""
    picture = np.zeros((9, 9, 3), np.uint8)
    picture[4, 8] = 255
    view = Square(4.5, 4.5, 9, math.pi / 2).picture(picture, 9)
    assert view[0, 4, 0] == pytest.approx(1, abs=0.02)
    assert view.sum() == pytest.approx(3, abs=0.1)


@given(st.floats(-3, 3), st.floats(1, 50))
def test_the_middle_stays_and_distances_scale(angle: float, side: float) -> None:
    square = Square(5, 7, side, angle)
    middle, corner = square.to_frame(np.array([[8.0, 8.0], [0.0, 0.0]]), 16)
    assert middle == pytest.approx([5, 7])
    assert math.dist(middle, corner) == pytest.approx(side / math.sqrt(2))


def test_beyond_the_frame_it_is_black() -> None:
    white = np.full((10, 10, 3), 255, np.uint8)
    view = Square(0, 5, 10).picture(white, 10)
    assert view[:, :4].max() == 0
    assert view[:, 6:].min() == 1
    assert Square(-50, -50, 10).picture(white, 4).max() == 0


def test_large_squares_are_averaged() -> None:
    fine = np.zeros((64, 64, 3), np.uint8)
    fine[::2, ::2] = fine[1::2, 1::2] = 255
    assert Square(32, 32, 64).picture(fine, 16)[2:-2, 2:-2] == pytest.approx(0.5, abs=0.01)
