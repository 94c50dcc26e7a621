"""Optical flow: a picture that is moved by a known way, and one that is covered."""

import sys

import numpy as np
import pytest

from redetail.errors import DependencyError
from redetail.imaging import flow
from redetail.imaging.flow import dense_flow, occluded, warp
from redetail.imaging.resample import crop
from redetail.region import Box, Size

pytest.importorskip("cv2")


def texture(side: int = 160) -> np.ndarray:
    """A picture with structure of several pixels, which flow can follow."""
    coarse = np.random.default_rng(4).random((side // 5, side // 5, 3), np.float32)
    return crop(coarse, Box(0, 0, side // 5, side // 5), Size(side, side))


def moved(picture: np.ndarray, x: float, y: float) -> np.ndarray:
    """The picture's content moved by x, y pixels to the right and down."""
    height, width = picture.shape[:2]
    return crop(picture, Box(-x, -y, width - x, height - y), Size(width, height))


@pytest.mark.parametrize("way", [(0.0, 0.0), (3.0, -2.0), (1.5, 0.7)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_way_of_a_moved_picture_is_found(way: tuple[float, float], dtype) -> None:
    first = texture()
    pictures = [first, moved(first, *way)]
    if dtype is not np.float32:
        pictures = [np.rint(picture * np.iinfo(dtype).max).astype(dtype) for picture in pictures]
    flow = dense_flow(*pictures)
    assert flow.shape == (160, 160, 2)
    np.testing.assert_allclose(
        np.median(flow, axis=(0, 1)), way, atol=0.15
    )  # dense inverse search: sub-pixel, not exact


def test_warping_brings_the_picture_before_to_now() -> None:
    before = texture()
    now = moved(before, 4, 2)
    flow = dense_flow(now, before)
    inner = (slice(20, -20), slice(20, -20))
    assert np.abs(warp(before, flow) - now)[inner].mean() < 0.2 * np.abs(before - now)[inner].mean()


def test_a_known_flow_moves_pixels_exactly() -> None:
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4)
    flow = np.zeros((3, 4, 2), np.float32)
    flow[..., 0] = 1
    assert warp(picture, flow).tolist() == [[1, 2, 3, 3], [5, 6, 7, 7], [9, 10, 11, 11]]


def test_what_is_covered_and_what_leaves_is_marked() -> None:
    forward = np.zeros((40, 60, 2), np.float32)
    backward = np.zeros((40, 60, 2), np.float32)
    forward[:, :20, 0], backward[:, 5:25, 0] = 5, -5  # moves and comes back
    forward[10:20, 30:40, 0] = 6  # moves to where nothing comes back from
    forward[:, 55:, 0] = 10  # leaves the picture
    marked = occluded(forward, backward)
    assert not marked[:, :20].any()
    assert marked[10:20, 30:40].all()
    assert marked[:, 55:].all()
    away = np.zeros((40, 60, 2), np.float32)
    away[..., 0] = 3
    assert occluded(away, -away).any(axis=0).tolist() == [False] * 57 + [True] * 3  # the way back fits, but leaves


def test_pictures_too_small_for_flow_have_none() -> None:
    assert not dense_flow(np.zeros((8, 40, 3), np.uint8), np.ones((8, 40, 3), np.uint8)).any()


def test_without_opencv_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(DependencyError, match=r"pip install 'redetail\[standalone\]'"):
        dense_flow(texture(), texture())


def test_the_flow_of_small_pictures_is_that_of_the_whole_ones() -> None:
    y, x = np.mgrid[0:400, 0:600]
    pattern = (128 + 60 * np.sin(x / 23) * np.cos(y / 17) + 40 * np.sin((x + 2 * y) / 41)).astype(np.uint8)
    picture = np.repeat(pattern[..., None], 3, axis=-1)
    now, before = picture[50:350, 100:500], picture[50:350, 106:506]  # what is at x now was at x - 6 before
    reduced = flow.small(now, 200), flow.small(before, 200)
    assert reduced[0].shape == (150, 200, 3)
    motion = flow.dense_flow(*reduced)
    grown, trusted = flow.enlarged(motion, ~flow.occluded(motion, flow.dense_flow(*reduced[::-1])), (300, 400))
    assert grown.shape == (300, 400, 2)
    inner = np.s_[40:-40, 40:-40]
    assert trusted[inner].mean() > 0.99
    assert np.median(grown[inner][..., 0]) == pytest.approx(-6, abs=0.3)
    assert np.median(grown[inner][..., 1]) == pytest.approx(0, abs=0.3)
    assert flow.small(now, None) is now
    assert flow.enlarged(motion, trusted, motion.shape[:2])[0] is motion
