"""Figures of one picture: closed forms on pictures whose figures are known."""

import numpy as np
import pytest

from redetail.evaluate.pictures import (
    blockiness,
    colour_shift,
    fine_correlation,
    luma_levels,
    noise,
    overshoot,
    sharpness,
)

RNG = np.random.default_rng(3)
RAMP = np.add.outer(np.arange(64, dtype=np.float32), 2 * np.arange(80, dtype=np.float32))


def test_luma_is_in_levels_whatever_the_depth() -> None:
    grey = np.full((4, 5, 3), 100, np.uint8)
    for picture in (grey, grey.astype(np.uint16) * 257, grey.astype(np.float32) / 255):
        assert luma_levels(picture) == pytest.approx(100, abs=1e-3)
    assert luma_levels(np.full((1, 1, 3), (255, 0, 0), np.uint8)).item() == pytest.approx(0.299 * 255, abs=1e-3)


def test_sharpness_of_a_ramp_is_zero_and_of_a_chessboard_eight_times_its_height() -> None:
    inside = np.zeros(RAMP.shape, bool)
    inside[1:-1, 1:-1] = True
    assert sharpness(RAMP, inside) == pytest.approx(0, abs=1e-4)
    chess = 5.0 * (np.indices((20, 20)).sum(axis=0) % 2 * 2 - 1).astype(np.float32)
    assert sharpness(chess, np.pad(np.ones((18, 18), bool), 1)) == pytest.approx(40)


def test_noise_is_its_standard_deviation_on_a_slope_and_none_at_an_edge() -> None:
    noisy = RAMP + RNG.normal(0, 5, RAMP.shape).astype(np.float32)
    assert noise(noisy) == pytest.approx(5, rel=0.12)  # by chance the smoother half is a little calmer
    edge = np.zeros((64, 80), np.float32)
    edge[:, 40:] = 200
    assert noise(edge) == 0


def test_blocks_count_on_their_own_grid_only() -> None:
    flat = np.tile(np.arange(80, dtype=np.float32), (64, 1))
    assert blockiness(flat) == 0
    blocks = flat + 3 * (np.arange(80) // 8)  # steps of 4 across the borders, of 1 elsewhere, along one axis
    assert blockiness(blocks) == pytest.approx(3)
    assert blockiness(blocks[:, 3:], left=3) == pytest.approx(3)
    assert blockiness(blocks[:, 3:]) < 0.1


def test_overshoot_of_a_plain_edge_is_nothing_and_of_a_halo_something() -> None:
    edge = np.zeros((40, 40), np.float32)
    edge[:, 20:] = 100
    assert overshoot(edge) < 0.1  # what is left of the blur nine pixels away
    halo = edge.copy()
    halo[:, 20] += 30
    halo[:, 19] -= 30
    assert overshoot(halo) == pytest.approx(60 / 40, rel=0.05)


def test_fine_structure_correlates_with_itself_whatever_its_height_and_not_with_noise() -> None:
    texture, other = (RNG.normal(0, 8, (64, 64)).astype(np.float32) for _ in range(2))
    assert fine_correlation(texture, texture) == pytest.approx(1)
    assert fine_correlation(3 * texture + 20, texture) == pytest.approx(1, abs=1e-6)
    assert abs(fine_correlation(texture, other)) < 0.1
    assert fine_correlation(np.zeros((16, 16), np.float32), texture[:16, :16]) == 0


def test_colour_shift_is_told_for_each_channel_inside_the_mask() -> None:
    picture = RNG.integers(20, 200, (12, 12, 3)).astype(np.uint8)
    inside = np.zeros((12, 12), bool)
    inside[3:9, 3:9] = True
    moved = picture.copy()
    moved[inside] += np.array([4, 0, 2], np.uint8)
    assert colour_shift(moved, picture, inside) == pytest.approx((4, 0, 2), abs=1e-4)
    assert colour_shift(moved, picture, ~inside) == (0, 0, 0)
    assert colour_shift(moved, picture, np.zeros((12, 12), bool)) == (0, 0, 0)
