"""Masks of segments changed by closed forms: shared masks, one for each frame, and tracked windows."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from redetail.comfy.mask_edit import (
    blurred_seg,
    dilated_seg,
    intersected_seg,
    merged_seg,
    picture_masks,
    with_scaled_box,
)
from redetail.comfy.tracked import TrackedSeg
from redetail.errors import RegionError
from redetail.region import Size
from redetail.segs import Seg
from tests.comfy.test_tracked import CLIP, FRAME, detailed, region, smooth_frames

HEADER = (40, 60)
MOVING = np.zeros((3, 20, 30), np.float32)
for _index in range(3):
    MOVING[_index, 5:10, 5 + 6 * _index : 9 + 6 * _index] = 1


def seg(**changes: Any) -> Seg:
    fields = {"cropped_image": None, "cropped_mask": MOVING[0], "confidence": 0.5, "control_net_wrapper": "net"}
    places = {"crop_region": (20, 10, 50, 30), "bbox": (25, 15, 45, 25), "label": "face"}
    return Seg(**{**fields, **places, **changes})


@pytest.fixture
def tracked() -> TrackedSeg:
    return TrackedSeg(region(), FRAME, CLIP, control_net_wrapper="net")


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_every_frame_is_grown_by_itself(kind: Any) -> None:
    grown = dilated_seg(seg(cropped_mask=kind(MOVING)), 3)
    assert torch.as_tensor(grown.cropped_mask).sum(dim=(1, 2)).tolist() == [7 * 6] * 3
    assert (grown.control_net_wrapper, grown.label) == ("net", "face")


@pytest.mark.parametrize(("amount", "area"), [(-3, 3 * 2), (0, 20), (3, 42), (-40, 0)])
def test_a_shared_mask_is_grown_or_shrunk(amount: int, area: int) -> None:
    given = seg()
    assert dilated_seg(given, amount).cropped_mask.sum() == area
    assert given.cropped_mask.sum() == 20


def test_a_segment_without_a_mask_is_full() -> None:
    grown = dilated_seg(seg(cropped_mask=None), 5)
    np.testing.assert_array_equal(grown.cropped_mask, np.ones((20, 30)))


def test_growing_keeps_a_tracked_segment_tracked(tracked: TrackedSeg) -> None:
    grown = dilated_seg(tracked, 3)
    assert isinstance(grown, TrackedSeg)
    assert grown.control_net_wrapper == "net"
    assert grown.region.path is tracked.region.path
    for index in range(len(tracked.region)):
        # One pixel more on every side; an edge between pixels stays as soft as it is.
        wider = replace(tracked.region, boxes=tracked.region.boxes + np.array([-1, -1, 1, 1]), masks=None)
        np.testing.assert_allclose(grown.region.mask(index), wider.mask(index), atol=1 / 255)


def test_growing_a_detailed_segment_keeps_its_crops() -> None:
    given = detailed(smooth_frames())
    grown = dilated_seg(given, 5)
    assert isinstance(grown, TrackedSeg)
    assert (grown.crops, grown.frames is given.frames) == (given.crops, True)


def test_a_flat_mask_stays_flat_when_it_is_blurred() -> None:
    soft = blurred_seg(seg(cropped_mask=np.ones((20, 30), np.float32)), 5, 2.0)
    np.testing.assert_array_equal(soft.cropped_mask, np.ones((20, 30)))


def test_a_blur_spreads_a_point_as_a_gaussian() -> None:
    point = np.zeros((2, 21, 31), np.float32)
    point[:, 10, 15] = 1
    soft = blurred_seg(seg(cropped_mask=point, crop_region=(0, 0, 31, 21)), 4, 1.5).cropped_mask
    ratio = float(soft[1, 10, 17] / soft[1, 10, 15])
    assert ratio == pytest.approx(np.exp(-0.5 * (2 / 1.5) ** 2), rel=1e-5)
    assert float(soft[0].sum()) == pytest.approx(1, abs=1e-5)


def test_a_blur_keeps_a_tracked_segment_tracked(tracked: TrackedSeg) -> None:
    soft = blurred_seg(tracked, 2, 1.0)
    assert isinstance(soft, TrackedSeg)
    assert soft.region.mask(2).sum() == pytest.approx(tracked.region.mask(2).sum(), rel=0.01)
    assert (soft.region.mask(2) > 0.01).sum() > (tracked.region.mask(2) > 0.01).sum()


def test_grey_levels_are_combined_bit_by_bit() -> None:
    own = np.full((20, 30), 0b11000011 / 255 + 1e-4, np.float32)
    other = np.full((1, *HEADER), 0b01000110 / 255 + 1e-4, np.float32)
    cut = intersected_seg(seg(cropped_mask=own), other)
    np.testing.assert_array_equal(cut.cropped_mask, np.full((20, 30), np.float32(0b01000010) / np.float32(255)))
    assert cut.control_net_wrapper is None


@pytest.mark.parametrize("own", [1, 3])
@pytest.mark.parametrize("there", [1, 3])
def test_masks_of_every_frame_are_cut_down(own: int, there: int) -> None:
    left = np.zeros((there, *HEADER), np.float32)
    left[:, :, : 20 + 15] = 1
    cut = intersected_seg(seg(cropped_mask=MOVING[:own] if own > 1 else MOVING[0]), left)
    expected = MOVING[:own].copy()
    expected[..., 15:] = 0
    if max(own, there) == 1:
        np.testing.assert_array_equal(cut.cropped_mask, expected[0])
    else:
        np.testing.assert_array_equal(cut.cropped_mask, np.broadcast_to(expected, (3, 20, 30)))


def test_what_reaches_beyond_the_picture_is_black() -> None:
    cut = intersected_seg(seg(cropped_mask=None, crop_region=(-10, 30, 20, 50)), np.ones((1, *HEADER), np.float32))
    assert cut.crop_region == (-10, 30, 20, 50)
    np.testing.assert_array_equal(cut.cropped_mask.sum(axis=1), [20] * 10 + [0] * 10)


def test_differing_numbers_of_masks_name_the_segment() -> None:
    with pytest.raises(RegionError, match=r"Segment 4 \('face'\) has 3 masks, but the mask input has 2"):
        intersected_seg(seg(cropped_mask=MOVING), np.ones((2, *HEADER), np.float32), 4)


def test_a_tracked_segment_is_cut_down_in_its_moving_window(tracked: TrackedSeg) -> None:
    masks = np.zeros((CLIP, *FRAME.shape), np.float32)
    masks[:, :, 16:] = 1
    cut = intersected_seg(tracked, masks)
    assert isinstance(cut, TrackedSeg)
    assert cut.control_net_wrapper is None
    for index in range(5):
        left = 16 - float(tracked.region.path[index, 0])  # of the window, between pixels
        columns = np.clip(np.arange(24) + 1 - left, 0, 1)
        expected = np.minimum(tracked.region.mask(index), columns)
        np.testing.assert_allclose(cut.region.mask(index), expected, atol=1 / 255)


def test_masks_of_a_tracked_segment_belong_to_frames_of_the_clip(tracked: TrackedSeg) -> None:
    masks = np.zeros((CLIP, *FRAME.shape), np.float32)
    masks[3] = 1
    cut = intersected_seg(tracked, masks)
    assert [bool(mask.any()) for mask in cut.cropped_mask] == [index == 3 for index in range(CLIP)]
    with pytest.raises(RegionError, match="was tracked in 7 frames, but the mask input has 3"):
        intersected_seg(tracked, masks[:3])


@pytest.mark.parametrize("scale", [0.25, 0.5, 1.0])
def test_a_bbox_shrinks_about_its_centre(scale: float) -> None:
    scaled = with_scaled_box(seg(cropped_mask=np.ones((20, 30), np.float32)), scale)
    across, down = int(10 - 10 * scale), int(5 - 5 * scale)
    assert scaled.bbox == (25 + across, 15 + down, 45 - across, 25 - down)
    assert scaled.cropped_mask.sum() == (20 - 2 * across) * (10 - 2 * down)


def test_a_bbox_that_grows_beyond_its_crop() -> None:
    scaled = with_scaled_box(seg(cropped_mask=np.ones((3, 20, 30), np.float32)), 8.0)
    assert scaled.bbox == (-45, -20, 115, 60)
    # The last row and column of a crop count as outside.
    assert [int(mask.sum()) for mask in scaled.cropped_mask] == [19 * 29] * 3


def test_a_bbox_between_pixels() -> None:
    scaled = with_scaled_box(seg(cropped_mask=None, bbox=(25.4, 15.4, 44.6, 24.6)), 1.0)
    assert scaled.bbox == (25.4, 15.4, 44.6, 24.6)
    assert scaled.cropped_mask.sum() == (45 - 25) * (25 - 15)


def test_the_boxes_of_a_tracked_segment_are_scaled_in_every_frame(tracked: TrackedSeg) -> None:
    scaled = with_scaled_box(tracked, 0.5)
    assert isinstance(scaled, TrackedSeg)
    assert scaled.region.box(0).as_tuple() == (12.5, 13, 17.5, 19)
    assert scaled.region.mask(0).sum() == pytest.approx(5 * 6, rel=0.01)
    grown = with_scaled_box(tracked, 2.0)
    assert isinstance(grown, TrackedSeg)
    np.testing.assert_allclose(grown.region.mask(0), tracked.region.mask(0), atol=1 / 255)


def test_merging_encloses_everything() -> None:
    other = seg(crop_region=(0, 0, 30, 20), bbox=(2, 3, 20, 12), confidence=0.25)
    merged = merged_seg(HEADER, [seg(cropped_mask=MOVING), other])
    assert (merged.crop_region, merged.bbox) == ((0, 0, 50, 30), (2, 3, 45, 25))
    assert (merged.confidence, merged.label, merged.control_net_wrapper) == (0.25, "merged", None)
    expected = np.zeros((3, 30, 50), np.float32)
    expected[:, 10:, 20:] = MOVING
    expected[:, :20, :30] = np.maximum(expected[:, :20, :30], MOVING[0])
    np.testing.assert_array_equal(merged.cropped_mask, expected)


def test_merging_tracked_segments_unites_what_they_show(tracked: TrackedSeg) -> None:
    merged = merged_seg(FRAME.shape, [tracked, tracked])
    assert merged.crop_region == tracked.crop_region
    np.testing.assert_allclose(merged.cropped_mask, tracked.cropped_mask, atol=1 / 255)


def test_masks_of_the_whole_picture() -> None:
    shared, moving = picture_masks(HEADER, [seg(), seg(cropped_mask=torch.from_numpy(MOVING))])
    assert (shared.shape, moving.shape) == ((1, *HEADER), (3, *HEADER))
    np.testing.assert_array_equal(shared[0, 10:30, 20:50], MOVING[0])
    np.testing.assert_array_equal(moving[:, 10:30, 20:50], MOVING)
    assert (shared.sum(), moving.sum()) == (20, 60)


def test_an_empty_crop_names_its_segment() -> None:
    with pytest.raises(RegionError, match=r"Segment 2 \('face'\) has an empty crop region"):
        dilated_seg(seg(crop_region=(5, 5, 5, 9)), 3, 2)


def test_frames_of_another_size_than_the_mask(tracked: TrackedSeg) -> None:
    half = np.zeros((1, 24, 30), np.float32)
    half[:, :, 15:] = 1
    cut = intersected_seg(tracked, half)
    assert Size(60, 48) == FRAME
    assert cut.cropped_mask[:, :, : 28 - 4].max() < 0.02
