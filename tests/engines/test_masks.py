"""Noise masks at the size of latents."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from redetail.engines.base import CropSource, Request
from redetail.engines.masks import latent_mask
from redetail.geometry.latent_grid import IMAGE, WAN, LatentGrid, open_latents
from redetail.imaging.masks import resize_mask
from redetail.region import Size
from redetail.settings import Settings

SIZE = Size(48, 32)


def asked(masks: NDArray[np.float32], frames: int) -> Request:
    def unread(*_: Any) -> Any:
        raise AssertionError("crops are not needed")

    return Request(
        crops=CropSource(unread, frames, SIZE),
        mask=lambda start, stop: masks[start:stop],
        write=unread,
        settings=Settings(),
        shared_mask=len(masks) == 1,
    )


@pytest.mark.parametrize("frames", [1, 5, 40])
def test_images_have_a_mask_for_each_frame(frames: int) -> None:
    masks = np.random.default_rng(0).random((frames, *SIZE.shape), np.float32)
    values, opened = latent_mask(asked(masks, frames), IMAGE)
    np.testing.assert_allclose(values, resize_mask(masks, Size(6, 4)), atol=1e-5)
    assert opened


@pytest.mark.parametrize("grid", [IMAGE, WAN])
def test_one_mask_for_all_frames_stays_one(grid: LatentGrid) -> None:
    masks = np.random.default_rng(1).random((1, *SIZE.shape), np.float32)
    values, _ = latent_mask(asked(masks, 9), grid)
    assert values.shape == (1, 4, 6)


def test_a_latent_of_several_frames_is_open_where_one_of_them_is() -> None:
    masks = np.zeros((7, *SIZE.shape), np.float32)
    masks[2, :16] = 1
    values, _ = latent_mask(asked(masks, 7), WAN)
    np.testing.assert_array_equal(values, open_latents(resize_mask(masks, Size(6, 4)), WAN))
    assert values.amax(dim=(1, 2)).tolist() == [0, 1, 0]


def test_masks_of_one_stay_one() -> None:
    """Differential diffusion compares with 1 at its first step: 0.9999999 would leave the area closed."""
    values, _ = latent_mask(asked(np.full((2, *SIZE.shape), 0.999999, np.float32), 2), IMAGE)
    assert (values == 1).all()


def test_a_single_pixel_that_scaling_loses_still_opens_the_mask() -> None:
    masks = np.zeros((20, *SIZE.shape), np.float32)
    assert not latent_mask(asked(masks, 20), IMAGE).opened
    masks[18, 0, 0] = 1e-3
    values, opened = latent_mask(asked(masks, 20), IMAGE)
    assert opened
    assert not values.any()
