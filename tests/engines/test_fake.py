"""The formula of the fake engine."""

from __future__ import annotations

import numpy as np

from redetail.engines import FakeEngine, enhance_arrays
from redetail.engines.fake import invert, pixel_noise
from redetail.settings import Settings


def test_the_formula() -> None:
    rng = np.random.default_rng(1)
    crops = rng.random((3, 16, 24, 3), dtype=np.float32)
    mask = rng.random((3, 16, 24), dtype=np.float32)
    result = enhance_arrays(FakeEngine(noise=0.1), crops, mask, Settings(denoise=0.5, seed=3))
    target = invert(crops) + 0.1 * pixel_noise(crops.shape, 3, 0)
    expected = np.clip(crops + 0.5 * mask[..., None] * (target - crops), 0, 1)
    np.testing.assert_allclose(result, expected, atol=1e-6)  # float32 rounding of a handful of operations


def test_outside_the_mask_nothing_changes() -> None:
    crops = np.random.default_rng(2).random((2, 16, 16, 3), dtype=np.float32)
    mask = np.zeros((1, 16, 16), np.float32)
    mask[0, 4:8, 4:8] = 1
    changed = (enhance_arrays(FakeEngine(), crops, mask, Settings()) != crops).any(axis=-1)
    np.testing.assert_array_equal(changed, np.repeat(mask > 0, 2, axis=0))


def test_noise_of_a_frame_depends_on_seed_and_position() -> None:
    whole = pixel_noise((5, 8, 8, 3), 11, 0)
    np.testing.assert_array_equal(pixel_noise((2, 8, 8, 3), 11, 3), whole[3:])
    assert abs(float(whole.std()) - 1) < 0.1
    assert (pixel_noise((5, 8, 8, 3), 12, 0) != whole).any()
