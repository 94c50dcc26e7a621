"""Context windows: every frame is covered, weights sum to one, every window has full length."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redetail.errors import SettingsError
from redetail.geometry.context import context_windows


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, int, int]:
    context = draw(st.integers(1, 40))
    return draw(st.integers(1, 300)), context, draw(st.integers(0, context - 1))


@given(cases())
@settings(deadline=None, max_examples=150)
def test_weights_are_a_partition_of_unity(case: tuple[int, int, int]) -> None:
    length, context, overlap = case
    total, least = np.zeros(length), np.inf
    for window in context_windows(length, context, overlap):
        assert len(window.weights) == len(window) == min(length, context)
        total[window.frames] += window.weights
        least = min(least, window.weights.min())
    np.testing.assert_allclose(total, 1, rtol=0, atol=1e-12)  # a few float64 roundings
    assert least > 0


@given(cases())
@settings(deadline=None, max_examples=150)
def test_neighbours_share_at_least_the_overlap_and_the_ends_are_covered(case: tuple[int, int, int]) -> None:
    length, context, overlap = case
    windows = context_windows(length, context, overlap)
    assert windows[0].start == 0
    assert windows[-1].stop == length
    for before, after in itertools.pairwise(windows):
        assert before.start < after.start
        assert before.stop - after.start >= overlap


def test_a_clip_no_longer_than_a_window_is_one_window() -> None:
    (window,) = context_windows(16, 16, 4)
    assert (window.start, window.stop) == (0, 16)
    assert (window.weights == 1).all()


def test_the_last_window_is_moved_back() -> None:
    spans = [(window.start, window.stop) for window in context_windows(30, 16, 4)]
    assert spans == [(0, 16), (12, 28), (14, 30)]


def test_two_windows_cross_fade_linearly() -> None:
    before, after = context_windows(13, 8, 3)
    np.testing.assert_allclose(before.weights, [1, 1, 1, 1, 1, 0.75, 0.5, 0.25])
    np.testing.assert_allclose(after.weights, [0.25, 0.5, 0.75, 1, 1, 1, 1, 1])


@pytest.mark.parametrize(
    ("length", "context", "overlap"), [(0, 16, 4), (10, 4, 4), (10, 4, 9), (10, 4, -1), (10, 0, 0)]
)
def test_impossible_windows_are_refused_in_one_sentence(length: int, context: int, overlap: int) -> None:
    with pytest.raises(SettingsError, match=r"frame"):
        context_windows(length, context, overlap)
