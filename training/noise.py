"""The noise levels of training, and the network's input at each."""

from __future__ import annotations

import torch
from torch import Tensor

SIGMA_MAX = 14.6146  # of Stable Diffusion's table
# (share, lowest, highest): few-step sampling evaluates the high and middle noise levels.
SIGMA_BANDS = ((0.82, 5.0, SIGMA_MAX), (0.14, 0.6, 5.0), (0.04, 0.03, 0.6))


def draw_sigmas(count: int, generator: torch.Generator) -> Tensor:
    """(count,) noise levels, log-uniform in a band drawn from SIGMA_BANDS; six in ten of the top band are its end."""
    shares = torch.tensor([band[0] for band in SIGMA_BANDS])
    picks = torch.multinomial(shares, count, replacement=True, generator=generator)
    low = torch.tensor([band[1] for band in SIGMA_BANDS])[picks].log()
    high = torch.tensor([band[2] for band in SIGMA_BANDS])[picks].log()
    sigma = (low + (high - low) * torch.rand(count, generator=generator)).exp()
    at_end = (picks == 0) & (torch.rand(count, generator=generator) < 0.6)
    return torch.where(at_end, torch.full_like(sigma, SIGMA_MAX), sigma)


def noisy_input(clean: Tensor, sigma: Tensor, frames: int, generator: torch.Generator) -> Tensor:
    """clean (B*F, C, h, w) plus noise.

    A quarter of the clips start from no residual at all, as with a denoise below 1, and a quarter from a weakened one,
    as after the network's own earlier steps.
    """
    kind = torch.rand(len(sigma), generator=generator)
    keep = torch.rand(len(sigma), generator=generator)
    keep = torch.where(kind < 0.25, torch.zeros_like(keep), torch.where(kind < 0.5, keep, torch.ones_like(keep)))
    rows = [value.repeat_interleave(frames)[:, None, None, None].to(clean.device) for value in (keep, sigma)]
    noise = torch.randn(clean.shape, generator=generator).to(clean.device)
    return clean * rows[0] + rows[1] * noise
