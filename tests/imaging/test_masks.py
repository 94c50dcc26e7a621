"""Masks: recorded vectors, flat areas that stay exactly flat, anyone's types, sub-pixel placement."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from redetail.errors import RegionError
from redetail.imaging.masks import (
    fade_to_border,
    feather,
    feather_reach,
    masks_for,
    noise_mask,
    normalise_mask,
    place_mask,
    resize_mask,
)
from redetail.region import Box, Size
from tests import recordings

FOLDER = recordings.GOLDEN
CASES = json.loads((FOLDER / "masks.json").read_text())
TENSORS = load_file(FOLDER / "masks.safetensors")
TOLERANCE = 5e-6  # float32 rounding of the recording and of ours


def tensor(name: str) -> np.ndarray:
    values = TENSORS[name]
    return values.astype(np.float32) / np.float32(255) if name.endswith("_u8") else values


@pytest.mark.parametrize("case", CASES["feather"], ids=lambda case: f"{case['input']}-{case['feather']}")
def test_recorded_feathers(case: dict) -> None:
    mask = tensor(case["input"])
    softened = feather(mask, case["feather"])
    if case["result"] == "identical to the input":
        np.testing.assert_array_equal(softened, mask)
    else:
        np.testing.assert_allclose(softened, tensor(case["result"]), atol=TOLERANCE)


@pytest.mark.parametrize("case", CASES["resize"], ids=lambda case: case["result"])
def test_recorded_resizes(case: dict) -> None:
    height, width = case["size_hw"]
    resized = resize_mask(tensor(case["source"]), Size(width, height))
    np.testing.assert_allclose(resized, tensor(case["result"]), atol=TOLERANCE)


@pytest.mark.parametrize(("amount", "shorter", "reach"), [(0, 60, 0), (5, 60, 5), (40, 60, 15), (5, 2, 0)])
def test_an_edge_is_spread_as_far_as_is_said(amount: int, shorter: int, reach: int) -> None:
    """A feather that is too wide for its mask is made narrower."""
    mask = np.zeros((shorter, 120), np.float32)
    mask[:, 60:] = 1
    assert feather_reach(amount, Size(120, shorter)) == reach
    partly = np.flatnonzero((feather(mask, amount)[0] > 0) & (feather(mask, amount)[0] < 1))
    assert partly.tolist() == list(range(60 - reach, 60 + reach))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 60), st.integers(0, 255))
def test_flat_areas_keep_their_value_exactly(height: int, width: int, amount: int, level: int) -> None:
    value = np.float32(level) / np.float32(255)
    flat = np.full((height, width), value, np.float32)
    assert (feather(flat, amount) == value).all()
    assert (resize_mask(flat, Size(3 * width + 1, 2 * height + 1)) == value).all()


def test_a_kernel_as_long_as_the_shorter_side_becomes_half_of_it() -> None:
    mask = np.zeros((11, 40), np.float32)
    mask[5, 20] = 1
    taps = np.exp(-0.5 * (np.arange(-2, 3) / 10) ** 2)  # 11 // 2, which is odd
    np.testing.assert_allclose(feather(mask, 5)[5, 18:23], taps * taps[2] / taps.sum() ** 2, rtol=1e-6)
    assert np.count_nonzero(feather(mask, 5)) == 25
    assert np.count_nonzero(feather(mask, 4)) == 81
    np.testing.assert_array_equal(feather(np.eye(3, dtype=np.float32), 1), np.eye(3))  # 3 // 2 is below 3: no blur


def test_inside_and_outside_of_a_feathered_area_are_exactly_one_and_zero() -> None:
    mask = np.zeros((200, 200), np.float32)
    mask[60:140, 60:140] = 1
    soft = feather(mask, 20)
    assert (soft[80:120, 80:120] == 1).all()
    assert (soft[:40] == 0).all()
    assert 0 < soft[60, 100] < 1


def test_many_masks_are_feathered_as_each_alone() -> None:
    masks = np.random.default_rng(3).random((4, 50, 40), np.float32)
    np.testing.assert_array_equal(feather(masks, 7), np.stack([feather(mask, 7) for mask in masks]))


def test_the_input_is_not_changed() -> None:
    mask = np.eye(40, dtype=np.float32)
    feather(mask, 0)[0, 0] = 5
    feather(mask, 9)
    np.testing.assert_array_equal(mask, np.eye(40, dtype=np.float32))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (None, np.ones((2, 3))),
        (np.array([[0, 1, 1], [1, 0, 0]], bool), [[0, 1, 1], [1, 0, 0]]),
        (np.array([[0, 255, 51], [1, 0, 0]], np.uint8), [[0, 1, 0.2], [1 / 255, 0, 0]]),
        (np.array([[0, 1, 1], [1, 0, 0]]), [[0, 1, 1], [1, 0, 0]]),
        (np.full((2, 3), 0.25), np.full((2, 3), 0.25)),
        (np.full((2, 3), 1.000001), np.ones((2, 3))),
        (torch.full((2, 3), 0.5, requires_grad=True), np.full((2, 3), 0.5)),
        (torch.ones((4, 2, 3), dtype=torch.bool), np.ones((4, 2, 3))),
    ],
)
def test_masks_of_every_type(given, wanted) -> None:
    mask = normalise_mask(given, Size(3, 2))
    assert mask.dtype == np.float32
    np.testing.assert_array_equal(mask, np.asarray(wanted, np.float32))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.array([[0.0, np.nan, 0], [0, 0, 0]]), "NaN"),
        (np.array([[0.0, np.inf, 0], [0, 0, 0]]), "not finite"),
        (np.array([[0.0, 1.5, 0], [0, 0, 0]]), r"from 0 to 1\.5"),
        (np.array([[0.0, -0.5, 0], [0, 0, 0]]), r"from -0\.5 to 0"),
        (np.array([[0, 255, 0], [0, 0, 0]]), "from 0 to 255"),
        (np.zeros((3, 2)), r"shape \(3, 2\).*2 rows of 3 pixels"),
        (np.zeros((0, 2, 3)), r"\(0, 2, 3\)"),
        (np.zeros((1, 1, 2, 3)), r"\(1, 1, 2, 3\)"),
        (np.array([["a", "b", "c"]] * 2), "has the type <U1"),
    ],
)
def test_masks_that_cannot_be_used_are_named(given, message: str) -> None:
    with pytest.raises(RegionError, match=message):
        normalise_mask(given, Size(3, 2))


def test_one_mask_serves_all_frames_and_another_number_is_an_error() -> None:
    masks = np.zeros((3, 2, 2), np.float32)
    masks[1, 0, 0], masks[2, 1, 1] = 0.5, 1
    assert masks_for(masks[0], 7).shape == masks_for(masks[:1], 7).shape == (1, 2, 2)
    assert masks_for(masks, 3) is masks
    with pytest.raises(RegionError, match="3 masks for 7 frames"):
        masks_for(masks, 7)
    np.testing.assert_array_equal(masks_for(masks, 7, use_maximum=True), [[[0.5, 0], [0, 1]]])


@settings(max_examples=40, deadline=None)
@given(st.floats(-10, 60), st.floats(-10, 60), st.integers(4, 40))
def test_a_placed_mask_keeps_its_range_and_area(x: float, y: float, side: int) -> None:
    frame, window = Size(64, 48), Box(x, y, x + side, y + side)
    if (visible := window.clipped(frame)) is None:
        return
    placed, box = place_mask(np.ones((side, side), np.float32), window, frame)
    assert placed.shape == (box.height, box.width)
    assert placed.min() >= 0
    assert placed.max() <= 1
    assert placed.sum() == pytest.approx(visible.area, rel=1e-5, abs=1e-4)  # float32 sums


def test_a_mask_on_whole_pixels_is_copied() -> None:
    mask = np.random.default_rng(5).random((20, 30), np.float32)
    placed, box = place_mask(mask, Box(4, 6, 34, 26), Size(64, 48))
    assert box == Box(4, 6, 34, 26)
    np.testing.assert_array_equal(placed, mask)


def test_a_noise_mask_is_feathered_before_it_is_scaled() -> None:
    mask = np.zeros((2, 24, 32), np.float32)
    mask[:, 8:16, 8:24] = 1
    expected = resize_mask(feather(mask, 3), Size(64, 48))
    np.testing.assert_array_equal(noise_mask(mask, Size(64, 48), 3), expected)
    assert (noise_mask(mask, Size(64, 48), 3) != feather(resize_mask(mask, Size(64, 48)), 3)).any()


@given(
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(0, 20),
    st.floats(-5, 60),
    st.floats(-5, 60),
)
@settings(deadline=None, max_examples=60)
def test_a_mask_falls_to_zero_at_its_window_s_border_inside_the_frame(width, height, soft, x, y):
    window, frame = Box(x, y, x + width, y + height), Size(64, 64)
    mask = fade_to_border(np.ones((height, width), np.float32), window, frame, soft)
    assert mask.min() >= 0
    assert mask.max() <= 1
    if soft == 0:
        assert mask.min() == 1
        return
    for side, gap in ((mask[0], y), (mask[-1], 64 - y - height), (mask[:, 0], x), (mask[:, -1], 64 - x - width)):
        assert side.max() <= np.float32(1 - np.clip(gap / soft, 0, 1)) + 1e-6
    # From the border on, no step is higher than that of a ramp over ``soft`` pixels.
    for axis in (0, 1):
        assert np.abs(np.diff(mask, axis=axis)).max(initial=0) <= 1 / soft + 1e-6


def test_a_mask_that_is_zero_near_the_border_keeps_its_bits():
    mask = np.zeros((20, 24), np.float32)
    mask[5:15, 5:19] = np.random.default_rng(0).random((10, 14), np.float32)
    np.testing.assert_array_equal(fade_to_border(mask, Box(9, 9, 33, 29), Size(64, 64), 5), mask)
