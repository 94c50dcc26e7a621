"""The codec: residual latents and back."""

import numpy as np
import pytest
import torch

from redetail.engines.restoration import NetworkConfig, ResidualCodec
from redetail.errors import RegionError

CODEC = ResidualCodec(NetworkConfig(residual_std=0.1))


def pixels(seed: int, frames: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).random((frames, 32, 48, 3), np.float32)


def test_untouched_crops_come_back_bit_by_bit() -> None:
    crops = pixels(0)
    latents = CODEC.encode(crops)
    assert latents.shape == (2, 48, 8, 12)
    assert not latents.any()
    assert np.array_equal(CODEC.decode(latents, crops), crops)


def test_residual_leads_to_its_target() -> None:
    crops, targets = pixels(1), pixels(2)
    restored = CODEC.decode(CODEC.residual(crops, targets), crops)
    np.testing.assert_allclose(restored, targets, atol=1e-6)  # float32 rounding of values around 10


def test_output_is_clamped() -> None:
    crops = pixels(3)
    restored = CODEC.decode(torch.full((2, 48, 8, 12), 50.0), crops)
    assert restored.dtype == np.float32
    assert np.array_equal(restored, np.ones_like(crops))


def test_condition_holds_the_pixels_of_each_cell() -> None:
    crops = pixels(4, frames=1)
    cell = CODEC.condition(crops)[0, :, 1, 2].reshape(3, 4, 4)
    np.testing.assert_allclose(cell.numpy(), crops[0, 4:8, 8:12].transpose(2, 0, 1) * 2 - 1, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 30, 48, 3), (2, 32, 40, 3), (32, 48, 3), (2, 32, 48, 4)])
def test_unfit_crops_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(RegionError, match="multiples of 16"):
        CODEC.encode(np.zeros(shape, np.float32))
