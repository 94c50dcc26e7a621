"""Local means are held, and what is fine is left alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from redetail.engines.restoration import NetworkConfig
from redetail.engines.restoration.colour import HELD, held

CONFIG = NetworkConfig(unshuffle=2, residual_std=0.1)


def latents(pixels: Tensor) -> Tensor:
    return functional.pixel_unshuffle(pixels, 2) / CONFIG.residual_std


def pixels(latents: Tensor) -> Tensor:
    return functional.pixel_shuffle(latents * CONFIG.residual_std, 2)


@pytest.mark.parametrize("size", [(64, 96), (16, 16), (50, 38)])
def test_a_shift_of_colour_is_cut_to_what_is_allowed(size: tuple[int, int]) -> None:
    shift = torch.tensor([0.1, -0.05, HELD / 2]).view(1, 3, 1, 1).expand(2, 3, *size)
    found = pixels(held(latents(shift), CONFIG)).mean(dim=(0, 2, 3))
    torch.testing.assert_close(found, torch.tensor([HELD, -HELD, HELD / 2]))


def test_what_is_fine_stays_bit_for_bit() -> None:
    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 0.2 - 0.1
    fine = latents(board.expand(1, 3, 64, 64))
    assert torch.equal(held(fine, CONFIG), fine)


def test_it_acts_where_the_colour_moves() -> None:
    patch = torch.zeros(1, 3, 192, 192)
    patch[:, 0, :, :96] = 0.1
    change = pixels(held(latents(patch), CONFIG)) - patch
    assert change[:, 0, :, :48].mean() == pytest.approx(HELD - 0.1, rel=0.05)
    assert change[:, 0, :, 150:].abs().max() < 0.002
    assert change[:, 1:].abs().max() == 0


def test_nothing_stays_nothing() -> None:
    assert not held(torch.zeros(2, 12, 24, 40), CONFIG).any()
