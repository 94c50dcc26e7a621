"""What is sharp is left alone, what is soft is not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from redetail.engines.restoration import NetworkConfig
from redetail.engines.restoration.restraint import fine_energy, restrained, sums

CONFIG = NetworkConfig(unshuffle=2, residual_std=0.1, tasks=("sharpen", "denoise", "deblock"), restraint=0.5)
BOARD = (torch.arange(96)[:, None] + torch.arange(96)) % 2 * 2.0 - 1


def crop(levels: float) -> Tensor:
    """A chessboard of squares of one pixel: all of it is finer than a binomial 5x5 lets through."""
    return (0.5 + BOARD * levels / 255)[None, ..., None].expand(1, 96, 96, 3)


def luma(whole: float, damage: float) -> Tensor:
    """That of corrections by a board of so many levels."""
    return torch.stack([BOARD * whole, BOARD * damage])[None] / 127.5 / CONFIG.residual_std


def share(levels: float, whole: float, damage: float = 0.0) -> Tensor:
    """What is left of a correction of one: (h/u, w/u)."""
    ones = torch.ones(1, 12, 48, 48)
    return restrained(ones, luma(whole, damage), fine_energy(crop(levels)), CONFIG)[0, 0, 8:-8, 8:-8]


def test_the_energy_of_a_board_is_its_square() -> None:
    energy = fine_energy(crop(20.0))
    assert energy.shape == (1, 1, 12, 12)
    torch.testing.assert_close(energy[..., 3:-3, 3:-3], torch.full((1, 1, 6, 6), 400.0), rtol=1e-3, atol=0)


@pytest.mark.parametrize("levels", [0.0, 3.0, 20.0])
@pytest.mark.parametrize("times", [0.5, 1.0, 2.0])
def test_the_share_follows_the_ratio_of_correction_and_detail(levels: float, times: float) -> None:
    corrected = times * CONFIG.restraint * math.sqrt(levels**2 + 1)
    wanted = torch.full((32, 32), times**4 / (times**4 + 1))
    torch.testing.assert_close(share(levels, corrected), wanted, rtol=2e-3, atol=0)


def test_what_is_not_sharpening_is_damage() -> None:
    assert sums(CONFIG.tasks).tolist() == [[1, 1, 1], [0, 1, 1]]
    assert sums(()).tolist() == [[1], [0]]


def test_noise_is_not_detail() -> None:
    sharp, noisy = share(8.0, 2.3, 0.3), share(8.0, 2.3, 1.3)
    assert sharp.max() < 0.1
    assert noisy.min() > 0.6


def test_it_does_not_depend_on_what_was_asked_for() -> None:
    fine, told = fine_energy(crop(5.0)), luma(3.0, 0.3)
    latents = torch.rand(1, 12, 48, 48)
    whole = restrained(latents, told, fine, CONFIG)
    torch.testing.assert_close(restrained(0.3 * latents, told, fine, CONFIG), 0.3 * whole)


def test_it_acts_where_the_crop_is_sharp() -> None:
    half = crop(0.0).clone()
    half[:, :, :48] = crop(20.0)[:, :, :48]
    ones = torch.ones(1, 12, 48, 48)
    left = restrained(ones, luma(3.0, 0), fine_energy(half), CONFIG)[0, 0]
    assert left[:, :14].max() < 0.02
    assert left[:, 38:].min() > 0.98
