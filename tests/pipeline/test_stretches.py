"""How a long segment is divided: all frames, in order, and as little as possible computed twice."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from redetail.geometry.context import context_windows
from redetail.pipeline.stretches import OVERLAP, Stretch, split


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, int, int | None, int]:
    window = draw(st.none() | st.integers(1, 40))
    overlap = draw(st.integers(0, (window or 5) - 1))
    return draw(st.integers(1, 600)), draw(st.integers(2 * OVERLAP, 200)), window, overlap


@given(cases())
@settings(deadline=None, max_examples=200)
def test_stretches_cover_all_frames_and_share_enough_to_fade(case: tuple[int, int, int | None, int]) -> None:
    frames, most, window, overlap = case
    stretches = split(frames, most, window, overlap)
    assert stretches[0].start == stretches[0].shared == 0
    assert stretches[-1].stop == frames
    for before, after in itertools.pairwise(stretches):
        assert before.start < after.start
        assert before.stop < after.stop
        assert after.shared == before.stop - after.start >= OVERLAP
    assert max(stretch.stop - stretch.start for stretch in stretches) <= most


@given(cases())
@settings(deadline=None, max_examples=100)
def test_no_stretch_but_a_short_segment_is_shorter_than_a_window(case: tuple[int, int, int | None, int]) -> None:
    frames, most, window, overlap = case
    assume(window is not None and window <= most)
    shortest = min(stretch.stop - stretch.start for stretch in split(frames, most, window, overlap))
    assert shortest >= min(frames, window)


def test_a_window_that_no_stretch_can_hold_does_not_lengthen_the_last() -> None:
    assert split(17, 16, 17) == [Stretch(0, 13), Stretch(5, 17, 8)]


def computed(stretches: list[Stretch], window: int, overlap: int) -> int:
    """Frames that go through the motion layers, those in several windows counted as often."""
    return sum(
        sum(map(len, context_windows(stretch.stop - stretch.start, min(window, stretch.stop - stretch.start), overlap)))
        for stretch in stretches
    )


@pytest.mark.parametrize("frames", [100, 200, 300, 1000])
@pytest.mark.parametrize("most", [63, 113, 128])
def test_little_is_computed_twice(frames: int, most: int) -> None:
    """Windows of 16 that share 4 compute 16/12 = 1.33 times the frames; stretches may add a tenth to that."""
    once = 16 + 12 * math.ceil((frames - 16) / 12)
    per_stretch = 16 / 12 * (1 + OVERLAP / (most - OVERLAP))  # what the overlap of stretches adds
    share = computed(split(frames, most, 16, 4), 16, 4) / frames
    assert share <= max(once * 4 / 3 / frames, per_stretch) * 1.1


def test_stretches_end_where_windows_end() -> None:
    assert [stretch.stop - stretch.start for stretch in split(300, 128, 16, 4)] == [112, 112, 92]
    assert [stretch.stop - stretch.start for stretch in split(41, 40, None)] == [25, 24]  # not one of 40 and one of 9
    assert split(128, 128, 16, 4) == [Stretch(0, 128)]
    assert split(1, 16, 16, 4) == [Stretch(0, 1)]


def test_shared_frames_go_over_linearly() -> None:
    stretch = Stretch(5, 20, 3)
    before, own = np.zeros((3, 1, 1, 3), np.float32), np.ones((3, 1, 1, 3), np.float32)
    np.testing.assert_allclose(stretch.over(before, own)[:, 0, 0, 0], [0.25, 0.5, 0.75])
