"""Crop and place: exact on whole pixels, near lossless between them, padding removed bit for bit."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redetail.errors import RegionError
from redetail.geometry.crop import Padding
from redetail.imaging.resample import crop, from_float, pad, place, to_float, touched, unpad
from redetail.region import Box, Size

av = pytest.importorskip("av")

FRAME = Size(90, 60)


def noise(seed: int = 0, size: Size = FRAME) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size.shape, 3), np.uint8)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A decoded frame of a real clip, 350x350."""
    with av.open(Path(__file__).parents[1] / "data/clips/guitarist.mp4") as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return -10 * float(np.log10(np.square(one - other).mean()))


whole = st.tuples(st.integers(0, 60), st.integers(0, 40), st.integers(1, 30), st.integers(1, 20))


@settings(max_examples=40, deadline=None)
@given(whole, st.sampled_from([np.uint8, np.uint16, np.float32]))
def test_a_window_on_whole_pixels_is_copied_there_and_back(rectangle, dtype) -> None:
    x, y, width, height = rectangle
    peak = np.iinfo(dtype).max if dtype is not np.float32 else 1
    frame = (noise().astype(np.float64) / 255 * peak).astype(dtype)
    window = Box(x, y, x + width, y + height)
    cropped = crop(frame, window, Size(width, height))
    assert cropped.dtype == np.float32
    expected = frame[y : y + height, x : x + width].astype(np.float32) / np.float32(peak)
    np.testing.assert_array_equal(cropped, expected)
    placed, box = place(cropped, window, FRAME)
    assert box == window
    np.testing.assert_array_equal(placed, expected)


@pytest.mark.parametrize("scale", [1.5, 2, 3.2])
@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5])
def test_there_and_back_is_near_lossless_on_a_real_frame(photo: np.ndarray, scale: float, shift: float) -> None:
    window = Box(80 + shift, 50 + shift, 260 + shift, 230 + shift)
    side = round(180 * scale)
    placed, box = place(crop(photo, window, Size(side, side)), window, Size(350, 350))
    x, y = int(box.x1), int(box.y1)
    inner = placed[6:-6, 6:-6]
    original = photo[y + 6 : y + placed.shape[0] - 6, x + 6 : x + placed.shape[1] - 6] / 255
    # Measured 49.6 to 50.3 dB; one level of 255 everywhere would be 48.1. A cubic reaches 46, linear 39.
    assert psnr(inner, original) > 49


def test_content_stays_where_it_is_between_pixels() -> None:
    """The centre of a soft spot, there and back through every phase and scale: no shift, not even of 0.01 pixel."""
    y, x = np.mgrid[0:60, 0:90] + 0.5
    spot = np.exp(-((x - 43.3) ** 2 + (y - 31.8) ** 2) / 18)[..., None].repeat(3, 2).astype(np.float32)
    for shift in (0.0, 0.2, 0.5, 0.9):
        window = Box(20 + shift, 10 + shift, 70 + shift, 56 + shift)
        placed, box = place(crop(spot, window, Size(128, 101)), window, FRAME)
        weight = placed[..., 0] / placed[..., 0].sum()
        rows, columns = np.indices(weight.shape) + 0.5
        assert (weight * columns).sum() + box.x1 == pytest.approx(43.3, abs=0.01)
        assert (weight * rows).sum() + box.y1 == pytest.approx(31.8, abs=0.01)


def test_a_ramp_moves_by_the_fraction_asked_for() -> None:
    ramp = np.tile(np.arange(90, dtype=np.float32) / 100, (60, 1))[..., None].repeat(3, 2)
    shifted = crop(ramp, Box(20.25, 10, 60.25, 40), Size(40, 30))
    np.testing.assert_allclose(shifted[..., 0], ramp[10:40, 20:60, 0] + 0.0025, atol=2.1e-4)  # 0.02 pixels: see weights


@settings(max_examples=30, deadline=None)
@given(
    st.floats(-20, 80), st.floats(-20, 50), st.floats(1, 60), st.floats(1, 60), st.integers(1, 99), st.integers(1, 99)
)
def test_a_flat_frame_stays_flat_wherever_the_window_lies(x, y, width, height, across, down) -> None:
    window = Box(x, y, x + width, y + height)
    if window.clipped(FRAME) is None:
        return
    cropped = crop(np.full((60, 90, 3), 100, np.uint8), window, Size(across, down))
    np.testing.assert_allclose(cropped, 100 / 255, atol=1e-6)  # float32 rounding of a dozen products
    placed, box = place(cropped, window, FRAME)
    np.testing.assert_allclose(placed, 100 / 255, atol=2e-6)
    assert placed.shape[:2] == (box.height, box.width)
    assert box == touched(window, FRAME) == box.clipped(FRAME)


def test_beyond_the_frame_its_border_repeats() -> None:
    frame = noise()
    cropped = crop(frame, Box(-5, -4, 15, 16), Size(20, 20))
    np.testing.assert_array_equal(cropped, np.pad(frame, ((4, 0), (5, 0), (0, 0)), "edge")[:20, :20] / np.float32(255))


def test_the_crop_stays_in_range_but_a_difference_keeps_its_sign() -> None:
    edge = np.zeros((60, 90, 3), np.uint8)
    edge[:, 45:] = 255
    cropped = crop(edge, Box(30.3, 10, 60.3, 40), Size(90, 90))
    assert (cropped.min(), cropped.max()) == (0, 1)
    placed, _ = place(cropped - 1, Box(30.3, 10, 60.3, 40), FRAME)
    assert placed.min() < -0.99


def test_half_of_a_16_bit_range() -> None:
    assert crop(np.full((4, 4, 1), 32768, np.uint16), Box(0, 0, 4, 4), Size(4, 4))[0, 0, 0] == np.float32(32768 / 65535)


def test_the_frame_is_left_alone() -> None:
    frame = noise()
    before = frame.copy()
    crop(frame, Box(3.3, 4.4, 50, 50), Size(64, 64))
    np.testing.assert_array_equal(frame, before)


def test_what_was_cropped_is_independent_of_what_lies_elsewhere() -> None:
    """A crop and a crop of the frame's part give the same: so a frame need not be converted as a whole."""
    frame = noise()
    part = frame[5:55, 10:80]
    np.testing.assert_allclose(
        crop(frame, Box(30.3, 20.7, 60.3, 40.7), Size(70, 50)),
        crop(part, Box(20.3, 15.7, 50.3, 35.7), Size(70, 50)),
        atol=1e-6,  # centres differ in their last float64 bit
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 32), st.sampled_from([(), (3,)]))
def test_padding_is_removed_exactly(width: int, height: int, multiple: int, channels: tuple[int, ...]) -> None:
    crops = np.random.default_rng(0).random((2, height, width, *channels), np.float32)
    padding = Padding.to_multiple(Size(width, height), multiple)
    padded = pad(crops, padding)
    assert padded.shape[1] % multiple == padded.shape[2] % multiple == 0
    np.testing.assert_array_equal(unpad(padded, padding), crops)


def test_padding_mirrors_without_repeating_the_border() -> None:
    row = np.array([1, 2, 3, 4], np.float32).reshape(1, 1, 4)
    assert pad(row, (2, 0, 1, 0)).ravel().tolist() == [3, 2, 1, 2, 3, 4, 3]


@pytest.mark.parametrize(
    ("frame", "window", "message"),
    [
        (noise(), Box(10, 10, 10, 20), "is empty"),
        (noise(), Box(90, 0, 100, 20), "outside the 90x60-pixel frame"),
        (noise()[..., 0], Box(0, 0, 9, 9), r"of type uint8 and shape \(60, 90\)"),
        (noise().astype(np.int64), Box(0, 0, 9, 9), "of type int64"),
    ],
)
def test_what_cannot_be_cropped_is_named(frame: np.ndarray, window: Box, message: str) -> None:
    with pytest.raises(RegionError, match=message):
        crop(frame, window, Size(8, 8))


def test_a_window_outside_the_frame_cannot_be_placed() -> None:
    with pytest.raises(RegionError, match="outside the 90x60-pixel frame"):
        place(np.zeros((8, 8, 3), np.float32), Box(-20, -20, -10, -10), FRAME)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_levels_are_limited_and_rounded_half_to_even(dtype) -> None:
    top = np.iinfo(dtype).max
    half = np.float32([-0.1, 0, 0.5 / top, 1.5 / top, 2.5 / top, 1, 1.1])
    assert from_float(half, dtype).tolist() == [0, 0, 0, 2, 2, top, top]
    levels = np.arange(0, top + 1, 97, dtype=dtype)
    np.testing.assert_array_equal(from_float(to_float(levels), dtype), levels)
