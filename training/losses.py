"""The losses of training."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from redetail.imaging.flow import dense_flow, occluded

FLOOR = 0.02  # added to a clip's mean square before its error is divided by it, or nearly clean clips would dominate
STILL = (2 / 255) ** 2  # likewise to the change of the input, in -1..1 units: one level


def restoration_loss(predicted: Tensor, clean: Tensor, clips: int) -> dict[str, Tensor]:
    """The unexplained share of the mean square of residual latents (B*F, T, C, h, w), one for each task.

    "error": of their sum; "change": of the sum's differences from frame to frame; "tasks": of each alone, summed. Each
    clip counts relative to its own sum, as the gain in decibels does.
    """
    predicted, clean = (x.float().unflatten(0, (clips, -1)) for x in (predicted, clean))
    left, whole = (predicted - clean).sum(dim=2), clean.sum(dim=2)
    total = whole.square().mean(dim=(1, 2, 3, 4)) + FLOOR
    change = left.diff(dim=1).square().mean(dim=(1, 2, 3, 4)) if left.shape[1] > 1 else torch.zeros_like(total)
    tasks = (predicted - clean).square().mean(dim=(1, 3, 4, 5)).sum(dim=1)
    rows = {"error": left.square().mean(dim=(1, 2, 3, 4)), "change": change, "tasks": tasks}
    return {key: (row / total).mean() for key, row in rows.items()}


def clip_flows(clean: Tensor) -> tuple[Tensor, Tensor]:
    """(B, F, h, w, 3) uint8 -> where each pixel was one frame before, and whether that is reliable.

    Shapes (B, F-1, h, w, 2) in the units of ``grid_sample`` and (B, F-1, 1, h, w).
    """
    grids, valid = [], []
    for clip in clean.numpy():
        for before, now in itertools.pairwise(clip):
            flow = dense_flow(now, before)
            valid.append(~occluded(flow, dense_flow(before, now)))
            grids.append(flow)
    count, frames, height, width = clean.shape[:4]
    y, x = np.indices((height, width), np.float32)
    places = (np.stack(grids) + np.stack([x, y], axis=-1)) * 2 / np.array([width - 1, height - 1], np.float32) - 1
    grid = torch.from_numpy(places.astype(np.float32)).reshape(count, frames - 1, height, width, 2)
    return grid, torch.from_numpy(np.stack(valid)).float().reshape(count, frames - 1, 1, height, width)


def warped_loss(output: Tensor, soft: Tensor, flows: tuple[Tensor, Tensor]) -> Tensor:
    """Flicker of the output (B, F, 3, h, w) over that of the input: mean squared change along the original's flow."""
    own, given = (flow_change(clip, *flows) for clip in (output, soft))
    return (own / (given + STILL)).mean()


def flow_change(clip: Tensor, grid: Tensor, valid: Tensor) -> Tensor:
    """Mean square of frame t minus frame t-1 warped along the flow: (B, F, 3, h, w) -> (B,)."""
    before = functional.grid_sample(
        clip[:, :-1].flatten(0, 1), grid.flatten(0, 1), padding_mode="border", align_corners=True
    ).unflatten(0, grid.shape[:2])
    squares = (clip[:, 1:] - before).square() * valid
    return squares.sum(dim=(1, 2, 3, 4)) / (3 * valid.sum(dim=(1, 2, 3, 4))).clamp_min(1)
