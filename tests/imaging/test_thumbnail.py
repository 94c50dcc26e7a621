"""Small pictures of frames."""

import numpy as np
import pytest

from redetail.imaging.thumbnail import SIDE, thumbnail


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (64, 64), (480, 854), (1080, 1920)])
def test_a_flat_picture_stays_flat(shape: tuple[int, int]) -> None:
    small = thumbnail(np.full((*shape, 3), (10, 120, 240), np.uint8))
    assert (small.shape, small.dtype) == ((SIDE, SIDE, 3), np.uint8)
    assert (small == (10, 120, 240)).all()


def test_whole_areas_are_averaged() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (3 * SIDE, 2 * SIDE, 3), np.uint8)
    means = picture.reshape(SIDE, 3, SIDE, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(thumbnail(picture), means, atol=0.51)


def test_sixteen_bits_lose_their_lower_half() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (700, 600, 3), np.uint8)
    deep = picture.astype(np.uint16) * 256 + 200
    np.testing.assert_array_equal(thumbnail(deep), thumbnail(picture))
