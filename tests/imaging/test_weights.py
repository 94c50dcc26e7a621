"""Weight matrices: they sum to one, shift lines by what they say, and agree with a plain dense product."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from redetail.imaging.weights import gaussian, lanczos3, resampling, triangle

geometry = st.tuples(
    st.floats(-40, 200),
    st.floats(0.05, 6),
    st.integers(1, 150),
    st.integers(1, 200),
    st.sampled_from([lanczos3, triangle]),
)


@settings(max_examples=60, deadline=None)
@given(geometry)
def test_every_row_sums_to_one(case) -> None:
    start, step, count, length, kernel = case
    matrix = resampling(start, step, count, length, kernel).dense()
    assert matrix.shape == (count, length)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.floats(20, 60), st.floats(0.1, 3), st.sampled_from([(lanczos3, True), (lanczos3, False), (triangle, False)]))
def test_a_ramp_stays_a_ramp_that_rises(start, step, filtering) -> None:
    kernel, antialias = filtering
    ramp = np.arange(400) + 0.5
    sampled = resampling(start, step, 100, 400, kernel, antialias=antialias).dense() @ ramp
    wanted = start + (np.arange(100) + 0.5) * step
    # Linear interpolation is exact; a sinc cut at three lobes bends a line by at most 0.02 pixels (between two pixels).
    np.testing.assert_allclose(sampled, wanted, atol=0.021 if kernel is lanczos3 else 1e-9)
    assert (np.diff(sampled) > 0).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(-8, 60), st.integers(1, 70))
def test_whole_pixels_are_copied_exactly(start: int, count: int) -> None:
    matrix = resampling(start, 1.0, count, 50).dense()
    wanted = np.zeros((count, 50))
    wanted[np.arange(count), np.clip(np.arange(start, start + count), 0, 49)] = 1
    assert (matrix == wanted).all()


@settings(max_examples=30, deadline=None)
@given(geometry)
def test_bands_give_what_the_dense_matrix_gives(case) -> None:
    weights = resampling(*case)
    planes = np.random.default_rng(0).random((2, case[3], 5))
    np.testing.assert_allclose(weights.rows(planes), weights.dense() @ planes, atol=1e-12)
    np.testing.assert_allclose(
        weights.columns(planes.transpose(0, 2, 1)), (weights.dense() @ planes).transpose(0, 2, 1), atol=1e-12
    )


def test_what_is_too_fine_for_the_result_is_averaged_not_folded_back() -> None:
    stripes = np.tile([0.0, 1.0], 120)
    inner = slice(5, -5)
    assert np.ptp((resampling(0, 3, 80, 240).dense() @ stripes)[inner]) < 0.01
    assert np.ptp((resampling(0, 3, 80, 240, antialias=False).dense() @ stripes)[inner]) == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(0, 45), st.floats(0.5, 20))
def test_blur_mirrors_without_repeating_the_border(length: int, half: int, sigma: float) -> None:
    row = np.random.default_rng(length).random(length)
    taps = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    mirrored = np.pad(row, half, mode="reflect")
    wanted = [np.dot(mirrored[i : i + 2 * half + 1], taps / taps.sum()) for i in range(length)]
    np.testing.assert_allclose(gaussian(length, 2 * half + 1, sigma).dense() @ row, wanted, atol=1e-12)


def test_a_filter_for_its_span_alone() -> None:
    weights = resampling(30.3, 0.5, 40, 200)
    first, last = weights.span
    assert (first, last) == (27, 54)
    np.testing.assert_array_equal(weights.within_span().dense(), weights.dense()[:, first:last])
    assert (weights.dense()[:, :first] == 0).all()
    assert (weights.dense()[:, last:] == 0).all()
