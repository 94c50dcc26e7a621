import logging
from typing import Any

import numpy as np
import pytest
import torch

from redetail.errors import RegionError
from redetail.region import Box, Region, Size
from redetail.segs import Seg
from redetail.tracking import (
    region_from_box,
    region_from_seg,
    regions_from_masks,
    regions_from_segs,
    seg_from_region,
    segs_from_regions,
)

FRAME = Size(200, 120)


def document(**changes: Any) -> dict[str, Any]:
    entry = {"crop_region": [40, 20, 120, 100], "bbox": [60, 40, 100, 80], "label": "face", "confidence": 0.8}
    return {"size": [200, 120], "segs": [{**entry, **changes}]}


def seg(mask: Any, crop: tuple[int, int, int, int] = (40, 20, 120, 100)) -> Seg:
    return Seg(None, mask, 0.8, crop, (60.0, 40.0, 100.0, 80.0), "face")


def moving() -> Region:
    path = np.array([10.0, 20.0]) + np.arange(12)[:, None] * np.array([4.25, 0.5])
    boxes = np.concatenate([path + 10, path + 30], axis=1)
    return Region("face 1", 0.7, 5, Size(40, 40), path, boxes)


def test_a_document_at_the_frames_size() -> None:
    (region,) = regions_from_segs(document(), FRAME, 4, 9)
    assert (region.label, region.confidence, region.start, region.stop) == ("face", 0.8, 4, 9)
    assert region.window(0) == Box(40, 20, 120, 100)
    assert region.box(0) == Box(60, 40, 100, 80)
    assert region.masks is None


def test_label_and_confidence_may_be_left_out() -> None:
    plain = document()
    del plain["segs"][0]["label"], plain["segs"][0]["confidence"]
    (region,) = regions_from_segs(plain, FRAME, 0, 1)
    assert (region.label, region.confidence) == ("segment", 1.0)


@pytest.mark.parametrize("absent", [True, False])
def test_without_a_bbox_the_crop_region_is_the_subject(absent: bool) -> None:
    plain = document()
    plain["segs"][0] |= {"bbox": None, "confidence": None}
    if absent:
        del plain["segs"][0]["bbox"], plain["segs"][0]["confidence"]
    (region,) = regions_from_segs(plain, FRAME, 0, 1)
    assert region.box(0) == region.window(0) == Box(40, 20, 120, 100)
    assert region.confidence == 1.0


def test_each_axis_is_scaled_by_its_own_ratio() -> None:
    (region,) = regions_from_segs(document(), Size(400, 120), 0, 1)
    assert region.window(0) == Box(80, 20, 240, 100)
    assert region.box(0) == Box(120, 40, 200, 80)


def test_a_mask_in_a_document_is_brought_to_the_crop() -> None:
    left = [[1.0] * 40 + [0.0] * 40] * 80
    (region,) = regions_from_segs(document(mask=left), Size(400, 240), 0, 3)
    assert region.size == Size(160, 160)
    assert (region.mask(2)[:, :79] == 1).all()
    assert (region.mask(2)[:, 81:] == 0).all()


def test_region_and_mask_are_clipped_together(caplog: pytest.LogCaptureFixture) -> None:
    mask = np.tile(np.arange(80, dtype=np.float32) / 80, (80, 1))
    with caplog.at_level(logging.WARNING):
        region = region_from_seg(seg(mask, (40, 20, 120, 100)), Size(100, 120), Size(100, 120), 0, 1)
    assert region.window(0) == Box(40, 20, 100, 100)
    # 8-bit storage: half a step of 1/255
    np.testing.assert_allclose(region.mask(0), mask[:, :60], atol=0.5 / 255 + 1e-6)
    assert "extends beyond the 100x120-pixel frame" in caplog.text


@pytest.mark.parametrize(
    "mask",
    [
        np.full((80, 80), True),
        np.full((80, 80), 255, np.uint8),
        np.ones((1, 80, 80), np.float32),
        np.ones((6, 80, 80), np.float64),
        torch.ones(80, 80),
        None,
    ],
)
def test_masks_of_every_kind(mask: Any) -> None:
    region = region_from_seg(seg(mask), FRAME, FRAME, 0, 6)
    assert region.size == Size(80, 80)
    assert all((region.mask(index) == 1).all() for index in range(6))


def test_one_mask_for_each_frame() -> None:
    masks = np.zeros((6, 80, 80), np.float32)
    masks[3, 10:20, 10:20] = 1
    region = region_from_seg(seg(masks), FRAME, FRAME, 0, 6)
    assert [float(region.mask(index).sum()) for index in range(6)] == [0, 0, 0, 100, 0, 0]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((4, 80, 80), np.float32), "The segment cannot be used: There are 4 masks for 6 frames"),
        (np.ones((80,), np.float32), r"mask of shape \(80,\)"),
        (np.full((80, 80), np.nan, np.float32), "not finite"),
        (np.full((80, 80), 7.0, np.float32), "values from 7 to 7"),
    ],
)
def test_masks_that_cannot_be_used(mask: Any, message: str) -> None:
    with pytest.raises(RegionError, match=message):
        region_from_seg(seg(mask), FRAME, FRAME, 0, 6)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"segs": []}, "The document needs 2 numbers under 'size', not None"),
        ({"size": [200], "segs": []}, r"2 numbers under 'size', not \[200\]"),
        ({"size": [0, 120], "segs": [1]}, "document is 0x120"),
        ({"size": [200, 120], "segs": []}, "contains no segments"),
        ({"size": [200, 120], "segs": "face"}, "contains no segments"),
        ({"size": [200, 120], "segs": [7]}, "Segment 0 must be an object with a crop_region, not int"),
        (document(bbox=7), "Segment 0 needs 4 numbers under 'bbox', not 7"),
        (document(bbox=[1, 2, 3, "4"]), "Segment 0 needs 4 numbers under 'bbox'"),
        (document(bbox=[1, 2, float("nan"), 4]), "all numbers must be finite"),
        (
            document(bbox=[100, 40, 60, 80]),
            "Segment 0 cannot be used: The corners of the box .* are in the wrong order",
        ),
        (document(bbox=[0, 0, 10, 10]), r"bbox \[0, 0, 10, 10\] outside its crop region \[40, 20, 120, 100\]"),
        (document(bbox=[60, 40, 60, 80]), r"bbox \[60, 40, 60, 80\]"),
        (
            document(crop_region=[400, 20, 500, 100]),
            r"Segment 0 \(crop region \[400, 20, 500, 100\]\) lies outside",
        ),
        (document(crop_region=[40, 20, 40.2, 100]), "does not cover a whole pixel"),
        (document(confidence="high"), "confidence 'high'"),
        (document(confidence=float("nan")), "confidence nan"),
        (document(mask=[[1, 2], [3]]), "not a table of numbers"),
        (document(mask=[[1, 2]]), r"rows of equal length that contain only numbers from 0 to 1"),
        (document(mask=[]), r"mask of shape \(0,\)"),
    ],
)
def test_documents_that_cannot_be_used(broken: dict[str, Any], message: str) -> None:
    with pytest.raises(RegionError, match=message):
        regions_from_segs(broken, FRAME, 0, 5)


def test_a_resting_region_is_a_segment_with_one_mask() -> None:
    region = region_from_box(Box(60, 40, 100, 80), FRAME, 0, 8, crop_factor=2.0)
    result = seg_from_region(region, FRAME)
    assert result.crop_region == (40, 20, 120, 100)
    assert result.bbox == (60, 40, 100, 80)
    assert result.cropped_image is None
    assert result.cropped_mask.shape == (80, 80)
    assert result.cropped_mask.dtype == np.float32
    assert result.cropped_mask.sum() == 1600


def test_a_moving_region_is_the_union_of_its_windows() -> None:
    region = moving()
    result = seg_from_region(region, FRAME)
    assert result.crop_region == (10, 20, 97, 66)
    assert result.bbox == (20, 30, 86.75, 55.5)
    assert result.cropped_mask.shape == (12, 46, 87)
    for index, mask in enumerate(result.cropped_mask):
        assert mask.sum() == pytest.approx(400, rel=1e-4)
        assert (np.arange(87) + 0.5) @ mask.sum(axis=0) / mask.sum() + 10 == pytest.approx(30 + 4.25 * index, abs=1e-3)


def test_masks_are_zero_where_the_region_is_not() -> None:
    mask = seg_from_region(moving(), FRAME, 0, 20).cropped_mask
    assert mask.shape[0] == 20
    assert [index for index in range(20) if mask[index].any()] == list(range(5, 17))


def test_there_and_back_again() -> None:
    rows, columns = np.mgrid[:120, :200]
    masks = [np.where((columns - 40 - 3 * i) ** 2 + (rows - 60) ** 2 < 200, 255, 0).astype(np.uint8) for i in range(20)]
    (region,) = regions_from_masks(masks, FRAME, 0, 20, 2.0)
    (height, width), (only,) = segs_from_regions([region], FRAME)
    back = region_from_seg(only, Size(width, height), FRAME, 0, 20)
    x, y = (int(value) for value in back.path[0])
    for index in (0, 7, 19):
        canvas = np.zeros(FRAME.shape, np.float32)
        canvas[y : y + back.size.height, x : x + back.size.width] = back.mask(index)
        # The sub-pixel path of the window moves edges by up to half a pixel there and back; the area stays.
        assert canvas.sum() == pytest.approx(masks[index].sum() / 255, rel=0.01)
        assert np.abs(canvas - masks[index] / 255).mean() < 0.005


def test_only_the_part_of_an_enormous_crop_region_inside_the_frame_is_made() -> None:
    far = document(crop_region=[-1e6, -1e6, 5, 5], bbox=[0, 0, 5, 5], mask=[[0, 1], [1, 1]])
    (region,) = regions_from_segs(far, FRAME, 0, 2)
    assert region.size == Size(5, 5)
    assert region.mask(0).min() == 1


@pytest.mark.parametrize("corner", [1e7, 1e300])
def test_a_crop_region_in_another_unit_is_refused(corner: float) -> None:
    with pytest.raises(RegionError, match=r"Segment 0 has the crop region .*longer than 1048576 pixels"):
        regions_from_segs(document(crop_region=[0, 0, corner, corner]), FRAME, 0, 2)


def test_messages_shorten_what_is_long() -> None:
    with pytest.raises(RegionError) as raised:
        regions_from_segs(document(bbox=[[0.5] * 1000, 40, 100, 80]), FRAME, 0, 2)
    assert len(str(raised.value)) < 300
