"""Masks to segments and back, on shapes whose answer is known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from redetail.comfy.mask_segs import (
    Cutting,
    clip_segs_of_masks,
    combined_mask,
    dilated,
    follow_segs,
    masked,
    segs_of_masks,
)
from redetail.errors import InputError, RegionError
from redetail.segs import Seg

FULL = Cutting(crop_factor=1.0, drop_size=0)


def squares(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (40, 60)) -> np.ndarray:
    mask = np.zeros(size, np.float32)
    for x1, y1, x2, y2 in boxes:
        mask[y1:y2, x1:x2] = 1
    return mask


def seg(x1: int, y1: int, x2: int, y2: int, mask: object = None) -> Seg:
    return Seg(None, mask, 0.5, (x1, y1, x2, y2), (x1, y1, x2, y2), "face")


masks = arrays(np.float32, (9, 11), elements=st.sampled_from([0.0, 0.0, 0.25, 1.0]))


@settings(max_examples=60, deadline=None)
@given(mask=masks)
def test_parts_without_their_crops_make_up_the_mask(mask: np.ndarray) -> None:
    segs = segs_of_masks(mask[None], FULL)
    np.testing.assert_array_equal(combined_mask((9, 11), segs)[0], mask)


@settings(max_examples=60, deadline=None)
@given(mask=masks, factor=st.sampled_from([1.0, 1.3, 3.0]))
def test_every_crop_lies_in_the_picture_and_fits_its_mask(mask: np.ndarray, factor: float) -> None:
    for part in segs_of_masks(mask[None], Cutting(factor, 0)):
        x1, y1, x2, y2 = part.crop_region
        assert 0 <= x1 < x2 <= 11
        assert 0 <= y1 < y2 <= 9
        assert part.cropped_mask.shape == (y2 - y1, x2 - x1)


def test_a_hole_and_an_island_in_it_belong_to_the_part_around_them() -> None:
    mask = squares((5, 5, 25, 25))
    mask[10:20, 10:20] = 0
    mask[14, 14] = 0.5
    (open_one,) = segs_of_masks(mask[None], FULL)
    (filled,) = segs_of_masks(mask[None], Cutting(1.0, 0, contour_fill=True))
    assert open_one.cropped_mask.sum() == 300.5
    assert filled.cropped_mask.sum() == 400


def test_a_bay_at_the_border_of_the_picture_is_no_hole() -> None:
    mask = squares((0, 0, 20, 20))
    mask[5:15, 0:10] = 0
    (part,) = segs_of_masks(mask[None], Cutting(1.0, 0, contour_fill=True))
    assert part.cropped_mask.sum() == 300


def test_pixels_that_touch_at_a_corner_are_one_part() -> None:
    mask = np.eye(12, dtype=np.float32)
    assert [part.bbox for part in segs_of_masks(mask[None], FULL)] == [(0, 0, 12, 12)]


def test_drop_size_is_the_largest_side_that_is_left_out() -> None:
    mask = squares((2, 2, 12, 20), (20, 2, 31, 20))
    assert [part.bbox for part in segs_of_masks(mask[None], Cutting(1.0, 10))] == [(20, 2, 31, 20)]


def test_what_is_fainter_than_one_grey_level_is_no_part_of_its_own() -> None:
    assert segs_of_masks(np.full((1, 8, 8), 0.003, np.float32), FULL) == []
    assert len(segs_of_masks(np.full((1, 8, 8), 1 / 255, np.float32), FULL)) == 1


def test_a_combined_box_is_filled_to_its_last_pixel() -> None:
    mask = squares((5, 5, 6, 6), (20, 15, 21, 16)) * 0.5
    (whole,) = segs_of_masks(mask[None], Cutting(1.5, 0, bbox_fill=True), combined=True)
    assert whole.bbox == (5, 5, 20, 15)  # recorded: the last row and column lie outside
    assert combined_mask((40, 60), [whole])[0].sum() == 16 * 11


@pytest.mark.parametrize("box", [(30, 10, 31, 30), (10, 20, 50, 21), (59, 39, 60, 40), (0, 0, 1, 1)])
def test_a_single_row_column_or_pixel_combines_to_a_segment(box: tuple[int, int, int, int]) -> None:
    (whole,) = segs_of_masks(squares(box)[None], Cutting(1.0, 10), combined=True)
    assert whole.bbox[2] > whole.bbox[0]
    assert whole.bbox[3] > whole.bbox[1]
    assert whole.cropped_mask.sum() > 0


def test_a_clip_has_one_crop_and_a_mask_for_every_frame() -> None:
    frames = np.stack([squares((10 + 3 * i, 10, 20 + 3 * i, 20)) for i in range(4)])
    (part,) = clip_segs_of_masks(frames, Cutting(1.0, 1))
    assert part.crop_region == (10, 10, 29, 20)
    assert isinstance(part.cropped_mask, torch.Tensor)
    np.testing.assert_array_equal(part.cropped_mask, frames[:, 10:20, 10:29])


def test_fills_act_on_every_frame_of_a_clip() -> None:
    ring = squares((10, 10, 20, 20))
    ring[12:18, 12:18] = 0
    corner = squares((12, 12, 14, 14), (17, 17, 18, 18))
    frames = np.stack([ring, corner, np.zeros_like(ring)])
    (contours,) = clip_segs_of_masks(frames, Cutting(1.5, 1, contour_fill=True))
    (boxes,) = clip_segs_of_masks(frames, Cutting(1.5, 1, bbox_fill=True))
    assert contours.cropped_mask.sum(dim=(1, 2)).tolist() == [100, 5, 0]
    assert boxes.cropped_mask.sum(dim=(1, 2)).tolist() == [100, 36, 0]


def test_one_mask_for_a_clip_is_shared_and_stays_soft() -> None:
    (part,) = clip_segs_of_masks(squares((10, 10, 20, 20))[None] * 0.5, Cutting(1.0, 1))
    assert part.cropped_mask.shape == (10, 10)
    assert part.cropped_mask.max() == 0.5


def test_masks_that_are_given_stay_as_they_are() -> None:
    frames = np.stack([squares((10, 10, 20, 20)), squares((12, 12, 14, 14))])
    before = frames.copy()
    for segment in clip_segs_of_masks(frames, Cutting(1.0, 1, contour_fill=True)):
        segment.cropped_mask.zero_()
    for segment in segs_of_masks(frames, Cutting(1.0, 1), combined=True):
        segment.cropped_mask[...] = 0
    np.testing.assert_array_equal(frames, before)


def test_a_neighbour_who_reaches_into_the_crop_is_not_followed() -> None:
    frames = np.stack([squares((10, 10, 20, 20), (30, 10, 40, 20)), squares((14, 10, 24, 20), (30, 10, 40, 20))])
    pivot = seg(5, 5, 45, 25, squares((5, 5, 15, 15), size=(20, 40)))
    (followed,) = follow_segs([pivot], frames)
    assert followed.cropped_mask.sum(dim=(1, 2)).tolist() == [100, 100]
    assert followed.cropped_mask[:, :, 25:].sum() == 0
    assert (followed.label, followed.crop_region) == ("face", (5, 5, 45, 25))


def test_united_masks_take_the_largest_value_and_all_kinds_of_masks() -> None:
    soft, boolean = np.full((10, 10), 0.3, np.float32), np.ones((10, 10), bool)
    grey = torch.full((10, 10), 0.5, dtype=torch.bfloat16)
    united = combined_mask(
        (40, 60), [seg(0, 0, 10, 10, soft), seg(5, 0, 15, 10, grey), seg(20, 0, 30, 10, boolean), seg(40, 30, 60, 40)]
    )
    assert united.shape == (1, 40, 60)
    assert [float(united[0, 5, x]) for x in (2, 7, 12, 25, 35)] == [np.float32(0.3), 0.5, 0.5, 1.0, 0.0]
    assert united[0, 35, 50] == 1


def test_a_mask_for_every_frame_makes_united_masks_for_every_frame() -> None:
    moving = torch.zeros(3, 10, 10)
    moving[1] = 1
    united = combined_mask((40, 60), [seg(0, 0, 10, 10, moving), seg(20, 20, 30, 30)])
    assert united.sum(axis=(1, 2)).tolist() == [100, 200, 100]


def test_segments_of_different_clips_do_not_unite() -> None:
    with pytest.raises(RegionError, match="segments have 2 masks and others have 3"):
        combined_mask((40, 60), [seg(0, 0, 10, 10, np.ones((3, 10, 10))), seg(0, 0, 10, 10, np.ones((2, 10, 10)))])


def test_segments_outside_the_picture_are_named() -> None:
    with pytest.raises(RegionError, match=r"Segment 1 \('face'\).*outside"):
        combined_mask((40, 60), [seg(0, 0, 10, 10), seg(70, 0, 80, 10)])


def test_segments_that_do_not_say_how_large_the_picture_is() -> None:
    with pytest.raises(InputError, match="size of the picture as 0x0"):
        combined_mask((0, 0), [])


def test_masked_keeps_what_both_show() -> None:
    (cut,) = masked([seg(0, 0, 20, 20, np.full((20, 20), 0.5, np.float32))], squares((10, 10, 30, 30)) * 0.75)
    assert cut.cropped_mask.sum() == 100 * 0.5
    assert cut.cropped_mask[5, 5] == 0


@pytest.mark.parametrize(
    ("amount", "side"), [(0, 4), (1, 4), (2, 5), (3, 6), (-1, 4), (-2, 3), (-3, 2), (-9, 0), (99, 16)]
)
def test_dilation_is_a_square_of_so_many_pixels(amount: int, side: int) -> None:
    assert dilated(squares((6, 6, 10, 10), size=(16, 16)), amount).sum() == side**2


def test_an_even_square_moves_edges_right_and_down() -> None:
    grown = dilated(squares((6, 6, 10, 10), size=(16, 16)), 2)
    np.testing.assert_array_equal(grown, squares((6, 6, 11, 11), size=(16, 16)))


def test_the_border_of_the_picture_does_not_shrink_a_mask() -> None:
    np.testing.assert_array_equal(dilated(np.ones((8, 8), np.float32), -5), np.ones((8, 8)))
