"""What training minimises, on clips whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch


def panning(frames: int = 3, side: int = 64) -> torch.Tensor:
    """(1, F, side, side, 3) uint8: smooth texture that moves by two pixels a frame."""
    y, x = np.indices((side, side + 2 * frames)).astype(float)
    wide = np.stack([128 + 80 * np.sin(x / 5 + k) * np.cos(y / 7 - k) for k in range(3)], axis=-1).astype(np.uint8)
    return torch.from_numpy(np.stack([wide[:, 2 * t : 2 * t + side] for t in range(frames)]))[None]


def pictures(clip: torch.Tensor) -> torch.Tensor:
    return clip.permute(0, 1, 4, 2, 3).float() / 127.5 - 1


def test_loss_is_the_share_that_is_left(script) -> None:
    loss = script("losses").restoration_loss
    clean = torch.randn(4, 3, 12, 8, 8, generator=torch.Generator().manual_seed(1)) * 10
    nothing = loss(torch.zeros_like(clean), clean, 2)
    assert nothing["error"].item() == pytest.approx(1, abs=1e-3)  # the floor under the mean square takes 1e-4
    assert loss(clean, clean, 2)["tasks"].item() == 0
    half = loss(clean / 2, clean, 2)
    assert half["error"].item() == pytest.approx(nothing["error"].item() / 4)
    assert half["change"].item() == pytest.approx(nothing["change"].item() / 4)
    swapped = loss(clean.flip(1), clean, 2)  # right in sum, wrong for each task
    assert swapped["error"].item() == pytest.approx(0, abs=1e-6)
    assert swapped["tasks"].item() > 0.5


def test_a_constant_error_does_not_change_over_time(script) -> None:
    clean = torch.randn(6, 1, 12, 4, 4, generator=torch.Generator().manual_seed(2))
    loss = script("losses").restoration_loss(clean + 1, clean, 2)
    assert loss["change"].item() == pytest.approx(0, abs=1e-6)
    assert loss["error"].item() > 0.5


def test_flows_follow_a_pan(script) -> None:
    grid, valid = script("losses").clip_flows(panning())
    assert grid.shape == (1, 2, 64, 64, 2)
    x = torch.arange(64) * 2 / 63 - 1
    moved = (grid[..., 0] - x)[:, :, 16:48, 16:48] * 63 / 2
    assert moved.mean().item() == pytest.approx(2, abs=0.1)  # what is at x was at x + 2 a frame before
    assert valid[:, :, :, 8:-8, 8:-8].mean() > 0.95


def test_flicker_is_counted_along_the_motion(script) -> None:
    losses, clip = script("losses"), panning()
    flows, calm = losses.clip_flows(clip), pictures(clip)
    noise = 0.1 * torch.randn(calm.shape, generator=torch.Generator().manual_seed(3))
    # Independent noise in two frames adds twice its variance, less what bilinear sampling takes from one of them.
    added = losses.flow_change(calm + noise, *flows) - losses.flow_change(calm, *flows)
    assert 0.012 < added.item() < 0.021
    assert losses.warped_loss(calm + noise, calm + noise, flows).item() == pytest.approx(1, abs=0.02)
    steady = losses.warped_loss(calm + 0.1, calm, flows).item()
    assert steady == pytest.approx(losses.warped_loss(calm, calm, flows).item(), abs=1e-3)
