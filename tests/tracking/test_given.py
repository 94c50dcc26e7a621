import logging

import numpy as np
import pytest

from redetail.errors import RegionError, SettingsError
from redetail.region import Box, Size
from redetail.tracking import region_from_box, regions_from_masks

FRAME = Size(200, 120)


def disc(x: float, y: float, radius: float = 15, value: int = 255) -> np.ndarray:
    rows, columns = np.mgrid[:120, :200] + 0.5
    return np.where((columns - x) ** 2 + (rows - y) ** 2 <= radius**2, value, 0).astype(np.uint8)


def on_frame(region, index: int) -> np.ndarray:
    """The region's mask on whole pixels of the frame."""
    x, y = np.rint(region.path[index]).astype(int)
    canvas = np.zeros(FRAME.shape, np.float32)
    canvas[y : y + region.size.height, x : x + region.size.width] = region.mask(index)
    return canvas


def test_a_box_stays_where_it_is() -> None:
    region = region_from_box(Box(50, 40, 90, 80), FRAME, 3, 10, crop_factor=2.0)
    assert (region.start, region.stop, region.fixed) == (3, 10, True)
    assert region.window(0) == Box(30, 20, 110, 100)
    assert region.box(6) == Box(50, 40, 90, 80)
    assert region.mask(0).sum() == 1600


@pytest.mark.parametrize("factor", [1.0, 1.01, 3.0, 100.0])
def test_the_window_holds_any_box(factor: float) -> None:
    for box in (Box(0.3, 0.6, 5.5, 119.2), Box(150.7, 80.1, 199.9, 120), Box(0, 0, 200, 120)):
        region = region_from_box(box, FRAME, 0, 1, crop_factor=factor)
        assert region.window(0).union(box) == region.window(0)
        assert region.window(0).clipped(FRAME) == region.window(0)
        assert region.mask(0).sum() == pytest.approx(box.area, rel=1e-5)


def test_what_is_outside_is_cut_off_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        region = region_from_box(Box(-20, 40, 20, 80), FRAME, 0, 5, crop_factor=2.0)
    assert region.box(0) == Box(0, 40, 20, 80)
    assert "The box -20,40,20,80 extends beyond the 200x120-pixel frame" in caplog.text


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((300, 10, 350, 60), "The box 300,10,350,60 lies outside the 200x120-pixel frame"),
        ((10, 10, 10, 60), "The box 10,10,10,60 has a side of length zero"),
        ((9.2, 9.3, 9.4, 9.5), "does not cover a whole pixel"),
    ],
)
def test_boxes_that_cannot_be_used(box: tuple[float, ...], message: str) -> None:
    with pytest.raises(RegionError, match=message):
        region_from_box(Box(*box), FRAME, 0, 5, crop_factor=2.0)


@pytest.mark.parametrize("factor", [0.5, float("nan"), float("inf")])
def test_crop_factor_out_of_range(factor: float) -> None:
    with pytest.raises(SettingsError, match=f"crop-factor is {factor}"):
        region_from_box(Box(10, 10, 60, 60), FRAME, 0, 5, crop_factor=factor)
    with pytest.raises(SettingsError, match=f"crop-factor is {factor}"):
        regions_from_masks([disc(100, 60)], FRAME, 0, 5, factor)


def test_no_frames() -> None:
    with pytest.raises(RegionError, match="no frames from 5 to 5"):
        region_from_box(Box(10, 10, 60, 60), FRAME, 5, 5, crop_factor=2.0)


def test_a_still_mask_is_shared() -> None:
    mask = disc(100, 60)
    (region,) = regions_from_masks([mask], FRAME, 2, 12, 2.0)
    assert (region.start, len(region), region.fixed, len(region.masks)) == (2, 10, True, 1)
    assert region.box(0) == Box(85, 45, 115, 75)
    np.testing.assert_array_equal(on_frame(region, 9) * 255, mask)


def test_soft_masks_and_boolean_masks() -> None:
    soft = (disc(100, 60, 20, 120) + disc(100, 60, 10, 100)).astype(np.uint8)
    (region,) = regions_from_masks([soft], FRAME, 0, 1, 2.0)
    np.testing.assert_allclose(on_frame(region, 0) * 255, soft, atol=1e-4)
    (region,) = regions_from_masks([soft > 0], FRAME, 0, 1, 2.0)
    np.testing.assert_array_equal(on_frame(region, 0), soft > 0)


def test_the_window_follows_a_moving_mask() -> None:
    masks = (disc(30 + 2.5 * i, 60) for i in range(40))
    (region,) = regions_from_masks(masks, FRAME, 0, 40, 2.0)
    assert not region.fixed
    for index in range(40):
        mask, window = region.masks[index], region.window(index)
        assert mask.shape == region.size.shape
        assert mask.dtype == np.uint8
        # Nothing of the mask is lost, and it is where it was: area to 0.2 % (rounding to 8 bits), centre to 0.02 px.
        true = disc(30 + 2.5 * index, 60)
        assert int(mask.sum()) == pytest.approx(int(true.sum()), rel=2e-3)
        center = (np.arange(mask.shape[1]) + 0.5) @ mask.sum(axis=0) / mask.sum() + window.x1
        expected = (np.arange(200) + 0.5) @ true.sum(axis=0) / true.sum()
        assert center == pytest.approx(expected, abs=0.02)


def test_masks_are_kept_compressed() -> None:
    masks = (disc(30 + 2.5 * i, 60) for i in range(40))
    (region,) = regions_from_masks(masks, FRAME, 0, 40, 3.0)
    stored = sum(len(packed.data) for packed in region.masks._packed)
    assert stored < 40 * region.size.width * region.size.height / 10
    assert len(region.masks[5:9]) == 4
    np.testing.assert_array_equal(region.masks[5:9][-1], region.masks[8])


def test_empty_masks_between_and_at_the_ends() -> None:
    masks = [
        disc(40 + 2 * i, 60) if 5 <= i < 10 or 20 <= i < 25 else np.zeros(FRAME.shape, np.uint8) for i in range(30)
    ]
    (region,) = regions_from_masks(masks, FRAME, 100, 130, 2.0)
    assert (region.start, region.stop) == (105, 125)
    assert region.mask(7).sum() == 0
    assert region.mask(0).sum() > 0
    np.testing.assert_allclose(region.boxes[5:15, 0] - region.boxes[4:14, 0], 2.0, atol=1e-9)


def test_noise_of_compression_is_no_subject() -> None:
    noisy = np.maximum(disc(100, 60), np.random.default_rng(0).integers(0, 12, FRAME.shape).astype(np.uint8))
    (region,) = regions_from_masks([noisy], FRAME, 0, 3, 2.0)
    assert region.box(0) == Box(85, 45, 115, 75)


def test_a_mask_of_everything() -> None:
    (region,) = regions_from_masks([np.full(FRAME.shape, 255, np.uint8)], FRAME, 0, 3, 3.0)
    assert region.window(0) == Box(0, 0, 200, 120)
    assert (region.mask(2) == 1).all()


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ([np.zeros((60, 100), np.uint8)], "Mask 0 is 100x60 pixels, but the frame is 200x120"),
        ([disc(100, 60)] * 4, "There are 4 masks for 10 frames"),
        ([], "There are 0 masks for 10 frames"),
        ([np.zeros(FRAME.shape, np.uint8)], "The mask is empty"),
        ([np.zeros(FRAME.shape, np.uint8)] * 10, "The mask is empty"),
        (
            [np.full(FRAME.shape, np.nan, np.float32)],
            r"Mask 0 must be a uint8 or bool array of shape \(height, width\)",
        ),
        ([np.zeros((120, 200, 3), np.uint8)], r"Mask 0 must be a uint8 or bool array of shape \(height, width\)"),
    ],
)
def test_masks_that_cannot_be_used(masks: list[np.ndarray], message: str) -> None:
    with pytest.raises(RegionError, match=message):
        regions_from_masks(masks, FRAME, 0, 10, 2.0)
