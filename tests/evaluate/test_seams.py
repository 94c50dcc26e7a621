"""Seams: a step of known height is found at its height, a feathered one is not, whatever lies under it."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from redetail.evaluate.pictures import luma_levels
from redetail.evaluate.seams import find_seam
from tests.clips import clip_frames

FRAME = luma_levels(clip_frames("guitarist")[10])
BOX = (slice(90, 250), slice(80, 260))


def pasted(height: float, feather: float = 0.0) -> np.ndarray:
    mask = np.zeros(FRAME.shape, np.float32)
    mask[BOX] = 1
    return FRAME + height * (gaussian_filter(mask, feather) if feather else mask)


@pytest.mark.parametrize("height", [4, 8, 16, -8])
def test_a_hard_edge_has_its_height(height: float) -> None:
    seam = find_seam(FRAME, pasted(height))
    assert seam is not None
    assert seam.visible
    assert seam.step == pytest.approx(abs(height), rel=0.12)
    assert seam.area.as_tuple() == pytest.approx((80, 90, 260, 250), abs=6)


def test_a_feathered_edge_of_the_same_change_does_not_show() -> None:
    seam = find_seam(FRAME, pasted(8, feather=12))
    assert seam is not None
    assert not seam.visible
    assert seam.step < 1.6


def test_detail_that_is_added_without_a_step_is_no_seam() -> None:
    soft = gaussian_filter(FRAME, 2.0)
    sharper = soft.copy()
    sharper[BOX] = FRAME[BOX]
    seam = find_seam(soft, sharper)
    assert seam is None or not seam.visible


def test_noise_of_an_encoder_everywhere_is_nothing_pasted() -> None:
    noise = np.random.default_rng(0).normal(0, 1.2, FRAME.shape).astype(np.float32)
    assert find_seam(FRAME, FRAME + noise) is None
    seam = find_seam(FRAME, pasted(8) + noise)
    assert seam is not None
    assert seam.step == pytest.approx(8, rel=0.15)


def test_what_fills_the_frame_has_no_seam_at_its_border() -> None:
    half = FRAME.copy()
    half[:, 100:] += 8
    seam = find_seam(FRAME, half)
    assert seam is not None
    assert seam.area.as_tuple() == pytest.approx((100, 0, 350, 350), abs=6)
    assert seam.step < 8  # one side of four shows
    assert find_seam(FRAME, FRAME) is None
