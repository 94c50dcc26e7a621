"""Context windows: every frame is covered, weights sum to one, every window has full length."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redetail.errors import SettingsError
from redetail.geometry.context import context_windows, shuffled_frames


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


@st.composite
def choices(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "stride": draw(st.integers(1, 9)),
        "loop": draw(st.booleans()),
        "blend": draw(st.sampled_from(["ramp", "pyramid", "flat"])),
    }


@given(cases(), choices())
@settings(deadline=None, max_examples=150)
def test_every_kind_of_window_is_a_partition_of_unity(case: tuple[int, int, int], chosen: dict[str, Any]) -> None:
    length, context, overlap = case
    total = np.zeros(length)
    for window in context_windows(length, context, overlap, **chosen):
        frames = np.arange(length)[window.frames]
        assert len({*frames.tolist()}) == len(frames) == len(window) == min(length, context)
        assert window.weights.min() > 0
        total[window.frames] += window.weights
    np.testing.assert_allclose(total, 1, rtol=0, atol=1e-12)  # a few float64 roundings


@given(cases(), st.sampled_from(["ramp", "pyramid", "flat"]))
@settings(deadline=None, max_examples=150)
def test_a_closed_loop_wraps_and_respects_the_overlap(case: tuple[int, int, int], blend: Any) -> None:
    length, context, overlap = case
    windows = context_windows(length, context, overlap, loop=True, blend=blend)
    if length <= context:
        assert len(windows) == 1
        return
    starts = [window.start for window in windows]
    assert starts == sorted(starts)
    gaps = np.diff([*starts, starts[0] + length])
    assert gaps.max() <= context - overlap
    assert gaps.max() - gaps.min() <= 1  # evenly round the ring
    assert any(0 in frames and length - 1 in frames for frames in frames_of(windows, length)) or overlap == 0


def frames_of(windows: Any, length: int) -> list[list[int]]:
    return [np.arange(length)[window.frames].tolist() for window in windows]


def test_a_window_over_the_end_of_a_loop_goes_on_at_the_beginning() -> None:
    windows = context_windows(10, 4, 1, loop=True)
    assert frames_of(windows, 10) == [[0, 1, 2, 3], [2, 3, 4, 5], [5, 6, 7, 8], [7, 8, 9, 0]]
    np.testing.assert_allclose(windows[0].weights[0] + windows[-1].weights[-1], 1)


@given(cases(), st.integers(1, 9), st.booleans())
@settings(deadline=None, max_examples=100)
def test_strides_double_while_the_clip_is_long_enough(case: tuple[int, int, int], stride: int, loop: bool) -> None:
    length, context, overlap = case
    windows = context_windows(length, context, overlap, stride=stride, loop=loop)
    steps = sorted({window.stride for window in windows})
    assert steps == [step for step in (1, 2, 4, 8) if step == 1 or (step <= stride and step * context <= length)]
    for step in steps:  # every frame is seen at every distance, and all distances count alike
        total = np.zeros(length)
        for window in windows:
            if window.stride == step:
                total[window.frames] += window.weights
        np.testing.assert_allclose(total, 1 / len(steps), rtol=0, atol=1e-12)


def test_strided_windows_take_every_second_and_fourth_frame() -> None:
    windows = context_windows(16, 4, 0, stride=4)
    assert frames_of(windows, 16)[4:] == [
        [0, 2, 4, 6], [8, 10, 12, 14], [1, 3, 5, 7], [9, 11, 13, 15],
        [0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15],
    ]  # fmt: skip


def test_a_pyramid_counts_the_middle_most_and_flat_windows_count_alike() -> None:
    before, after = context_windows(6, 4, 2, blend="pyramid")
    np.testing.assert_allclose(before.weights, [1, 1, 2 / 3, 1 / 3])
    np.testing.assert_allclose(after.weights, [1 / 3, 2 / 3, 1, 1])
    before, after = context_windows(6, 4, 2, blend="flat")
    np.testing.assert_allclose(before.weights, [1, 1, 0.5, 0.5])
    np.testing.assert_allclose(after.weights, [0.5, 0.5, 1, 1])


@given(st.integers(1, 120), st.integers(1, 24), st.integers(1, 24), st.integers(0, 2**64 - 1))
@settings(deadline=None, max_examples=80)
def test_later_frames_take_the_noise_of_the_first_window_in_another_order(
    length: int, window: int, step: int, seed: int
) -> None:
    step = min(step, window)
    source = shuffled_frames(0, length, window, step, seed)
    assert source.shape == (length,)
    assert source[:window].tolist() == list(range(min(window, length)))
    for start in range(window, length - step + 1, step):  # whole units: a shuffle of what lies a window before
        assert sorted(source[start : start + step]) == sorted(source[start - window : start - window + step])
    np.testing.assert_array_equal(shuffled_frames(length // 2, length, window, step, seed), source[length // 2 :])


def test_the_shuffle_depends_on_the_seed_and_is_the_same_everywhere() -> None:
    assert shuffled_frames(0, 12, 6, 4, 1).tolist() == [0, 1, 2, 3, 4, 5, 2, 0, 3, 1, 0, 4]
    assert shuffled_frames(0, 60, 6, 4, 1).tolist() != shuffled_frames(0, 60, 6, 4, 2).tolist()


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
    with pytest.raises(SettingsError, match=r"frame|context-overlap"):
        context_windows(length, context, overlap)


def test_a_stride_below_one_is_refused() -> None:
    with pytest.raises(SettingsError, match="context-stride is 0"):
        context_windows(10, 4, 1, stride=0)
