import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redetail.errors import RegionError, SettingsError
from redetail.geometry.path import (
    clipped_boxes,
    outliers,
    smoothed,
    smoothed_boxes,
    window_path,
    window_size,
)
from redetail.region import Size

FRAME = Size(640, 360)


def boxes_at(centers: np.ndarray, width: float = 40, height: float = 60) -> np.ndarray:
    half = np.array([width, height]) / 2
    return np.concatenate([centers - half, centers + half], axis=1)


def walk(frames: int, start: tuple[float, float], step: tuple[float, float]) -> np.ndarray:
    return np.array(start) + np.arange(frames)[:, None] * np.array(step)


def acceleration(path: np.ndarray) -> float:
    return float(np.sqrt((np.diff(path, 2, axis=0) ** 2).mean()))


@pytest.mark.parametrize("sigma", [0.7, 2.0, 8.0])
@pytest.mark.parametrize("frames", [1, 2, 3, 10, 100])
def test_constant_velocity_passes_unchanged_at_the_ends_too(frames: int, sigma: float) -> None:
    line = walk(frames, (100, 50), (3.25, -0.5))
    # 1e-7: rounding of the regression's sums, which are of the order of 1e4.
    np.testing.assert_allclose(smoothed(line, sigma), line, atol=1e-7)


def test_noise_is_reduced_by_the_factor_of_a_gaussian() -> None:
    noise = np.random.default_rng(0).normal(size=(20000, 1))
    sigma = 3.0
    expected = 1 / np.sqrt(2 * np.sqrt(np.pi) * sigma)
    inner = smoothed(noise, sigma)[50:-50]
    # 5%: the standard deviation of 20000 values correlated over some 6 is known to about 1%.
    assert inner.std() == pytest.approx(expected, rel=0.05)
    assert acceleration(inner) < acceleration(noise) / 20


def test_smoothing_has_no_lag() -> None:
    steps = np.arange(200.0)
    wave = np.sin(2 * np.pi * steps / 40)[:, None]
    result = smoothed(wave, 3.0)[50:150, 0]
    shifts = {lag: float(np.dot(result, wave[50 + lag : 150 + lag, 0])) for lag in range(-5, 6)}
    assert max(shifts, key=shifts.__getitem__) == 0


def test_frames_without_weight_are_interpolated_even_in_long_gaps() -> None:
    line = walk(200, (0, 0), (1, 2))
    weights = np.ones(200)
    weights[40:160] = 0
    broken = line.copy()
    broken[40:160] = 999
    np.testing.assert_allclose(smoothed(broken, 2.0, weights), line, atol=1e-6)


def test_nothing_known_changes_nothing() -> None:
    line = walk(20, (5, 5), (1, 0))
    np.testing.assert_allclose(smoothed(line, 2.0, np.zeros(20)), line, atol=1e-7)


@pytest.mark.parametrize("sigma", [-1.0, float("nan"), float("inf")])
def test_smoothing_out_of_range(sigma: float) -> None:
    with pytest.raises(SettingsError, match="must be 0 or more"):
        smoothed(np.zeros((5, 1)), sigma)


def test_outliers_are_found_and_motion_is_none() -> None:
    values = np.arange(50.0) * 4
    assert not outliers(values).any()
    values[20] += 60
    assert np.flatnonzero(outliers(values, floor=1.0)).tolist() == [20]
    assert not outliers(np.arange(4.0)).any()


def test_a_single_leap_of_the_box_leaves_no_trace() -> None:
    true = boxes_at(walk(60, (200, 150), (1, 0.5)))
    leaping = true.copy()
    leaping[30] += 80
    np.testing.assert_allclose(smoothed_boxes(leaping), true, atol=0.05)


def test_sizes_tremble_less_than_centres() -> None:
    rng = np.random.default_rng(1)
    boxes = boxes_at(walk(200, (200, 150), (0, 0))) + rng.normal(size=(200, 4))
    result = smoothed_boxes(boxes)
    assert acceleration(result[:, 2:] - result[:, :2]) < acceleration(boxes[:, 2:] - boxes[:, :2]) / 30
    assert acceleration(result) < acceleration(boxes) / 8


def test_a_resting_subject_has_a_resting_window_on_whole_pixels() -> None:
    rng = np.random.default_rng(2)
    centers = np.array([300.0, 180.0]) + rng.normal(scale=1.0, size=(100, 2))
    boxes = smoothed_boxes(boxes_at(centers))
    path = window_path(boxes, window_size(boxes, FRAME, 2.0), FRAME)
    assert (path == path[0]).all()
    assert (path == np.rint(path)).all()


def test_the_window_of_a_walk_walks_alike() -> None:
    boxes = boxes_at(walk(100, (120, 100), (4, 1)))
    size = window_size(boxes, FRAME, 2.0)
    assert size == Size(80, 120)
    np.testing.assert_allclose(window_path(boxes, size, FRAME), boxes[:, :2] - [20, 30], atol=1e-6)


def test_the_window_slows_down_at_the_edge() -> None:
    boxes = clipped_boxes(boxes_at(walk(120, (500, 180), (2.0, 0))), FRAME)
    boxes = boxes[(boxes[:, 2] - boxes[:, 0]) > 1]
    size = window_size(boxes, FRAME, 3.0)
    path = window_path(boxes, size, FRAME)
    hard = np.clip((boxes[:, 0] + boxes[:, 2]) / 2 - size.width / 2, 0, FRAME.width - size.width)
    assert path[-1, 0] == FRAME.width - size.width
    assert np.abs(np.diff(hard, 2)).max() > 0.9  # stopping dead changes the speed by 1 to 2 pixels a frame at once
    assert np.abs(np.diff(path[:, 0], 2)).max() < 0.35


def test_a_subject_that_comes_nearer_stays_in_one_window() -> None:
    sides = np.concatenate([np.full(200, 30.0), np.linspace(30, 150, 8)])
    boxes = np.stack([320 - sides / 2, 180 - sides / 2, 320 + sides / 2, 180 + sides / 2], axis=1)
    size = window_size(boxes, FRAME, 1.5)
    assert size == Size(150, 150)  # the largest box, though 1.5 times the 95th percentile is less
    path = window_path(boxes, size, FRAME)
    assert (path <= boxes[:, :2]).all()
    assert (path + 150 >= boxes[:, 2:]).all()


def test_the_window_is_never_larger_than_the_frame() -> None:
    boxes = np.array([[0.0, 0.0, 640.0, 300.0]] * 5)
    assert window_size(boxes, FRAME, 3.0) == FRAME
    assert (window_path(boxes, FRAME, FRAME) == 0).all()


def test_what_cannot_be_held_is_an_error() -> None:
    boxes = np.array([[10.0, 10.0, 60.0, 60.0]])
    with pytest.raises(RegionError, match="A 40x40-pixel window in a 640x360-pixel frame cannot contain"):
        window_path(boxes, Size(40, 40), FRAME)
    with pytest.raises(SettingsError, match=r"crop-factor is 0\.5; it must be at least 1"):
        window_size(boxes, FRAME, 0.5)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 80), st.floats(1.0, 6.0))
def test_box_in_window_in_frame(seed: int, frames: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    frame = Size(int(rng.integers(50, 400)), int(rng.integers(50, 400)))
    ends = np.array([frame.width, frame.height])
    centers = rng.uniform(0.1, 0.9, 2) * ends + np.cumsum(rng.normal(scale=6, size=(frames, 2)), axis=0)
    boxes = clipped_boxes(boxes_at(np.clip(centers, 1, ends - 1), rng.uniform(5, 45), rng.uniform(5, 45)), frame)
    size = window_size(boxes, frame, factor)
    path = window_path(boxes, size, frame)
    assert (path >= 0).all()
    far = path + np.array([size.width, size.height])
    assert (far <= ends).all()
    # 1e-9: a sum of two doubles below 400.
    assert (path <= boxes[:, :2] + 1e-9).all()
    assert (far >= boxes[:, 2:] - 1e-9).all()


def test_an_hour_takes_a_moment() -> None:
    rng = np.random.default_rng(3)
    boxes = boxes_at(300 + np.cumsum(rng.normal(scale=0.1, size=(90_000, 2)), axis=0).clip(-100, 30))
    began = time.process_time()
    calm = smoothed_boxes(boxes)
    window_path(calm, window_size(calm, Size(1920, 1080), 2.0), Size(1920, 1080))
    assert time.process_time() - began < 10  # measured: below 1 s; a quadratic method would take hours
