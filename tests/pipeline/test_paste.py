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


@pytest.mark.parametrize("scale", [0.4, 1, 2, 2.6])
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


def in_frame(subject, level, dtype=np.uint8):
    """The crop of frame 2 with ``level`` added."""
    return (resample.crop(FRAME, subject.window(0), Size(48, 50)) + np.float32(level))[None]


def pasted_frame(subjects, crops, feather=0):
    (frame,) = pasted_frames([Frame(2, 2, FRAME)], subjects, crops, feather)
    return frame.result.pixels.astype(float)


def test_frames_outside_every_region_are_passed_on():
    frames = [Frame(index, index, FRAME) for index in range(4)]
    pasted = list(pasted_frames(frames, [region(), region()], [np.ones((1, 25, 24, 3), np.float32)] * 2, 0))
    assert [len(frame.patches) for frame in pasted] == [0, 0, 2, 0]
    assert pasted[0].result.pixels is FRAME
    assert pasted[2].source.pixels is FRAME


@pytest.mark.parametrize("order", [1, -1])
def test_a_subject_that_changes_nothing_does_not_reset_another(order):
    """Windows and masks overlap; what the first changes stays, whichever is pasted first."""
    subjects = [region(), region(12.8, 9.1)]
    crops = [np.ones((1, 25, 24, 3), np.float32), in_frame(subjects[1], 0)]
    both = pasted_frame(subjects[::order], crops[::order])
    alone = pasted_frame(subjects[:1], crops[:1])
    assert np.abs(alone - FRAME).max() > 200
    np.testing.assert_allclose(both, alone, atol=1)  # rounding: the mask of both is applied to their sum


def test_changes_do_not_depend_on_the_order():
    subjects = [region(), region(12.8, 9.1), region(6.2, 11.5)]
    crops = [np.zeros((1, 25, 24, 3), np.float32), np.ones((1, 25, 24, 3), np.float32), in_frame(subjects[2], 0.1)]
    forwards, backwards = pasted_frame(subjects, crops, 5), pasted_frame(subjects[::-1], crops[::-1], 5)
    np.testing.assert_allclose(forwards, backwards, atol=1)


def test_the_same_change_twice_is_made_once():
    subjects = [region(x=10, y=8), region(x=10, y=8)]
    crops = [in_frame(one, 0.1) for one in subjects]
    np.testing.assert_allclose(pasted_frame(subjects, crops), pasted_frame(subjects[:1], crops[:1]), atol=1)


def test_masks_that_meet_softly_make_a_whole_change():
    """Two halves of a subject, each with a soft edge in the middle: no seam between them."""
    ramp = np.clip(np.linspace(1.5, -0.5, 24), 0, 1) * 255
    left = np.broadcast_to(np.rint(ramp).astype(np.uint8), (25, 24))
    subjects = [region(10, 8, masks=[left]), region(10, 8, masks=[255 - left])]
    crops = [in_frame(one, 0.1) for one in subjects]
    whole = region(10, 8, masks=[np.full((25, 24), 255, np.uint8)])
    np.testing.assert_allclose(pasted_frame(subjects, crops), pasted_frame([whole], crops[:1]), atol=1)


def test_masks_that_do_not_overlap_are_pasted_as_each_would_be_alone():
    """Their windows overlap."""
    first, second = region(10, 8), region(26, 8)
    crops = [in_frame(first, 0.2), in_frame(second, -0.2)]
    both = pasted_frame([first, second], crops)
    changes = [pasted_frame([one], [crop]) - FRAME for one, crop in ((first, crops[0]), (second, crops[1]))]
    np.testing.assert_array_equal(both, FRAME + sum(changes))


@pytest.mark.parametrize("side", [12, 26, 60])
def test_the_soft_edge_of_a_box_lies_outside_it(side):
    """A box counts in full, however small: 1 inside, a half at the feather from it, 0 at twice the feather."""
    feather, corner, whole = 5, 20, Size(side + 40, side + 40)
    box = np.array([[corner, corner, corner + side, corner + side]], float)
    subject = Region("face 1", 0.9, 0, whole, np.zeros((1, 2)), box)
    _, mask, _ = paste_crop(np.zeros((*whole.shape, 3), np.uint8), subject, 0, np.ones((*whole.shape, 3)), feather)
    assert (mask[corner : corner + side, corner : corner + side] == 1).all()
    edge = mask[corner + side // 2, corner + side : corner + side + 2 * feather]
    np.testing.assert_allclose(edge + edge[::-1], 1, atol=1e-6)
    assert (np.diff(edge) < 0).all()
    assert mask[:, corner + side + 2 * feather :].max() == 0


def test_the_soft_edge_of_a_mask_lies_on_it():
    shape = np.zeros((66, 66), np.uint8)
    shape[20:46, 20:46] = 255
    boxes = np.array([[20, 20, 46, 46]], float)
    subject = Region("mask", 1.0, 0, Size(66, 66), np.zeros((1, 2)), boxes, [shape])
    _, mask, _ = paste_crop(np.zeros((66, 66, 3), np.uint8), subject, 0, np.ones((66, 66, 3), np.float32), 5)
    assert mask[33, 19] + mask[33, 20] == pytest.approx(1)
    assert mask[:, 46 + 5 :].max() == 0


def test_a_subject_that_fills_its_window_has_a_soft_edge():
    """Crop factor 1: the mask is 1 all over the window."""
    full = region(10, 8, masks=[np.full((25, 24), 255, np.uint8)])
    _, mask, _ = paste_crop(FRAME, full, 0, np.ones((25, 24, 3), np.float32), 5)
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert border.max() == 0
    assert mask[12, 12] == 1
    assert np.abs(np.diff(mask[12])).max() <= 0.21
    _, hard, _ = paste_crop(FRAME, full, 0, np.ones((25, 24, 3), np.float32), 0)
    assert hard.min() == 1


def test_a_window_at_the_frame_s_border_keeps_its_edge_there():
    corner = replace(region(masks=[np.full((25, 24), 255, np.uint8)]), path=np.zeros((1, 2)))
    _, mask, _ = paste_crop(FRAME, corner, 0, np.ones((25, 24, 3), np.float32), 5)
    assert mask[0, 0] == mask[12, 0] == mask[0, 12] == 1
    assert mask[-1].max() == mask[:, -1].max() == 0


@pytest.mark.parametrize("axis", [0, 1])
def test_an_edge_does_not_jump_when_the_window_leaves_the_frame_s_border(axis):
    full, previous = region(masks=[np.full((25, 24), 255, np.uint8)]), None
    for position in np.linspace(0, 8, 33):
        path = np.zeros((1, 2))
        path[0, axis] = position
        _, mask, box = paste_crop(FRAME, replace(full, path=path), 0, np.ones((25, 24, 3), np.float32), 5)
        whole = np.zeros(FRAME.shape[:2], np.float32)
        whole[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)] = mask
        # The window covers a quarter of a pixel less, and the ramp of 5 pixels moves by a quarter of one.
        assert previous is None or np.abs(whole - previous).max() < 0.25 + 0.25 / 5
        previous = whole


def test_a_subject_lost_in_mid_shot_fades():
    subject = replace(region(frames=6), fade_in=0, fade_out=3)
    white = np.ones((25, 24, 3), np.float32)
    strengths = [paste_crop(FRAME, subject, index, white, 5)[1].max() for index in range(6)]
    np.testing.assert_allclose(strengths, [1, 1, 1, 0.75, 0.5, 0.25], atol=0.02)


def test_counts_are_checked():
    with pytest.raises(RegionError, match="1 regions but 0 arrays of crops"):
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


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_where_an_engine_changes_nothing_the_enlarged_frame_keeps_its_bits(dtype):
    frame = Frame(2, 2, FRAME.astype(dtype) * (257 if dtype == np.uint16 else 1), native=object())
    size = Size(96, 80)
    crop = resample.crop(frame.pixels, region().window(0), Size(50, 52))
    (pasted,) = pasted_frames([frame], [region()], [crop[None]], 5, size)
    np.testing.assert_array_equal(pasted.result.pixels, pasted.source.pixels)
    assert pasted.result.pixels.shape == (80, 96, 3)
    assert pasted.result.pixels.dtype == dtype
    assert pasted.source.native is None  # it has other samples
    assert pasted.patches[0].mask.max() > 0.9


def test_a_crop_is_pasted_at_the_size_of_the_output():
    """A grey frame and a ramp in the crop: the output shows the ramp of the enlarged scene, at every pixel inside."""
    grey, subject = np.full((48, 64, 3), 100, np.uint8), region(masks=np.full((1, 25, 24), 255, np.uint8))
    scale = 2
    columns = (np.arange(24 * 4) + 0.5) / 4  # source pixels from the window's left side
    ramp = np.broadcast_to((100 / 255 + columns / 255)[None, :, None], (100, 96, 3)).astype(np.float32)
    (pasted,) = pasted_frames([Frame(2, 2, grey)], [subject], [ramp[None]], 0, Size(64 * scale, 48 * scale))
    x = np.arange(30, 60)
    expected = 100 + (x + 0.5) / scale - 10.3
    np.testing.assert_allclose(pasted.result.pixels[30:50, 30:60].mean(axis=(0, 2)), expected, atol=0.51)  # rounding
