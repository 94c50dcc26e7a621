from dataclasses import replace

import numpy as np
import pytest

from redetail.errors import RegionError
from redetail.imaging import resample
from redetail.pipeline.paste import check_counts, paste_crop, pasted_frames, placed_change
from redetail.region import Box, Region, Size
from redetail.video import Frame

RNG = np.random.default_rng(3)
FRAME = RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)


def region(x=10.3, y=8.7, frames=1, masks=None):
    path = np.tile([x, y], (frames, 1)).astype(float)
    boxes = np.tile([x + 5, y + 4, x + 19, y + 20], (frames, 1)).astype(float)
    return Region("face 1", 0.9, 2, Size(24, 25), path, boxes, masks)


@pytest.mark.parametrize("scale", [1, 2, 2.6])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_untouched_crop_leaves_the_frame_bit_for_bit(scale, dtype):
    frame = FRAME.astype(dtype) * (257 if dtype == np.uint16 else 1)
    subject = region()
    crop = resample.crop(frame, subject.window(0), Size(round(24 * scale), round(25 * scale)))
    pasted, mask, _ = paste_crop(frame, subject, 0, crop, 5)
    np.testing.assert_array_equal(pasted, frame)
    assert mask.max() > 0.9


def test_a_zero_mask_leaves_the_frame_whatever_the_crop_holds():
    subject = region(masks=np.zeros((1, 25, 24), np.uint8))
    pasted, mask, _ = paste_crop(FRAME, subject, 0, np.ones((50, 48, 3), np.float32), 5)
    np.testing.assert_array_equal(pasted, FRAME)
    assert mask.max() == 0


def test_pixels_outside_the_mask_keep_their_bits_and_inside_shows_the_crop():
    subject = region(x=10, y=8)
    pasted, mask, box = paste_crop(FRAME, subject, 0, np.full((50, 48, 3), 0.5, np.float32), 5)
    touched = np.zeros(FRAME.shape[:2], bool)
    touched[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)] = mask > 0
    np.testing.assert_array_equal(pasted[~touched], FRAME[~touched])
    # Inside, what remains of the frame's noise is what a crop at twice the size cannot hold of it.
    center = pasted[8 + 10 : 8 + 14, 10 + 10 : 10 + 14].astype(float)
    assert abs(center.mean() - 127.5) < 4


def test_later_regions_lie_on_top_and_frames_outside_are_passed_on():
    first, second = region(), region()
    frames = [Frame(index, index, FRAME) for index in range(4)]
    crops = [np.zeros((1, 25, 24, 3), np.float32), np.ones((1, 25, 24, 3), np.float32)]
    pasted = list(pasted_frames(frames, [first, second], crops, 0))
    assert [len(frame.patches) for frame in pasted] == [0, 0, 2, 0]
    assert pasted[0].result.pixels is FRAME
    assert pasted[2].result.pixels[20, 22].mean() > 220
    assert pasted[2].source.pixels is FRAME


def test_a_subject_lost_in_mid_shot_fades():
    subject = replace(region(frames=6), fade_in=0, fade_out=3)
    white = np.ones((25, 24, 3), np.float32)
    strengths = [paste_crop(FRAME, subject, index, white, 5)[1].max() for index in range(6)]
    np.testing.assert_allclose(strengths, [1, 1, 1, 0.75, 0.5, 0.25], atol=0.02)


def test_counts_are_checked():
    with pytest.raises(RegionError, match="1 regions but crops of 0"):
        check_counts([region()], [])
    with pytest.raises(RegionError, match=r"'face 1' has 1 frames, but its crops have the shape \(2, 4, 4, 3\)"):
        check_counts([region()], [np.zeros((2, 4, 4, 3), np.float32)])


def test_a_change_is_placed_where_it_is_asked_for():
    """Of a crop that is brighter than its frame by 0.25: that much, under the window moved into a part of the frame."""
    frame = np.full((20, 30, 3), 0.5, np.float32)
    crop = np.full((12, 16, 3), 0.75, np.float32)
    change, box = placed_change(frame, crop, Box(10, 8, 18, 14), Box(2, 1, 10, 7), Size(12, 9))
    assert box == Box(2, 1, 10, 7)
    np.testing.assert_allclose(change, 0.25, atol=1e-6)  # float32 sums of the filter
