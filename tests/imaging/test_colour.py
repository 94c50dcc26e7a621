"""Colour matching: the light follows the source, the detail stays, nothing bleeds in, nothing flickers."""

import numpy as np
import pytest

from redetail.imaging.colour import match_low_frequencies


def shading(frames: int = 1, side: int = 128) -> np.ndarray:
    """A smooth picture (F, side, side, 3) in 0.3..0.7."""
    y, x = np.mgrid[0:side, 0:side] / side
    planes = [0.5 + 0.2 * np.sin(2 * x + phase) * np.cos(1.5 * y) for phase in (0, 1, 2)]
    return np.repeat(np.stack(planes, axis=-1)[None], frames, axis=0).astype(np.float32)


def detail(seed: int = 0, side: int = 128) -> np.ndarray:
    """Fine texture: noise without its low frequencies, since neighbours cancel."""
    noise = np.random.default_rng(seed).normal(0, 0.03, (side, side, 1)).astype(np.float32)
    return (noise - np.roll(noise, 1, axis=1))[None]


FULL = np.ones((128, 128), np.float32)


def test_a_colour_step_is_removed_and_detail_kept() -> None:
    source = shading()
    result = source + np.array([0.08, -0.05, 0.03], np.float32) + detail()
    matched = match_low_frequencies(result, source, FULL, 12)
    # What is left beyond the texture is the texture's own low frequency: a fraction of its 0.04.
    np.testing.assert_allclose(matched, source + detail(), atol=0.008)
    assert abs((matched - source).mean(axis=(0, 1, 2))).max() < 2e-4


def test_equal_pictures_stay_as_they_are() -> None:
    source = shading()
    np.testing.assert_array_equal(match_low_frequencies(source, source, FULL), source)


def test_a_constant_shift_is_removed_exactly_up_to_the_edge_of_the_mask() -> None:
    source = shading()
    mask = np.zeros((128, 128), np.float32)
    mask[30:90, 40:100] = 1
    result = source + np.where(mask[..., None] > 0, np.float32(0.1), np.float32(-0.25))
    matched = match_low_frequencies(result, source, mask, 8)
    inside = mask > 0
    # float32 rounding only: the mean is normalised by the mask, so the -0.25 outside is never seen.
    np.testing.assert_allclose(matched[:, inside], source[:, inside], atol=2e-6)


def test_far_from_the_mask_the_result_stays() -> None:
    source, mask = shading(), np.zeros((128, 128), np.float32)
    mask[:10, :10] = 1
    result = np.clip(source + 0.1, 0, 1)
    np.testing.assert_array_equal(match_low_frequencies(result, source, mask, 4)[:, 60:, 60:], result[:, 60:, 60:])
    np.testing.assert_array_equal(match_low_frequencies(result, source, np.zeros_like(mask)), result)


def test_flicker_of_brightness_is_taken_out() -> None:
    source = shading(6)
    offsets = np.array([0.03, -0.04, 0.02, -0.03, 0.04, 0.0], np.float32)[:, None, None, None]
    matched = match_low_frequencies(source + offsets + detail(), source, FULL)
    assert np.abs(np.diff(matched, axis=0)).max() < 1e-5
    assert np.abs(np.diff(source + offsets, axis=0)).min() > 0.02


def test_each_frame_has_its_own_mask_or_shares_one() -> None:
    source = shading(2)
    result = source + np.float32(0.1)
    left, right = np.zeros((2, 128, 128), np.float32)
    left[:, :20], right[:, -20:] = 1, 1
    matched = match_low_frequencies(result, source, np.stack([left, right]), 4)
    for index, mask in enumerate((left, right)):
        alone = match_low_frequencies(result[index : index + 1], source[index : index + 1], mask[None], 4)
        np.testing.assert_array_equal(matched[index], alone[0])


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (64, 48)])
@pytest.mark.parametrize("radius", [0.5, 7.0, 300.0])
def test_every_size_and_radius(shape: tuple[int, int], radius: float) -> None:
    source = np.full((2, *shape, 3), 0.4, np.float32)
    matched = match_low_frequencies(source + np.float32(0.2), source, np.ones(shape, np.float32), radius)
    np.testing.assert_allclose(matched, source, atol=2e-6)


def test_the_result_stays_in_range_and_the_input_as_it_was() -> None:
    result, source = np.zeros((1, 40, 40, 3), np.float32), np.ones((1, 40, 40, 3), np.float32)
    result[:, 20, 20] = 1
    matched = match_low_frequencies(result, source, np.ones((40, 40), np.float32))
    assert matched.max() <= 1
    assert result.sum() == 3
