"""What the restoration network is given in training: crops with their neighbours, drafts, and the units of both."""

from __future__ import annotations

import dataclasses
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from data import CHANGE_UNIT, Batch, Samples
from torch import Tensor

from redetail.engines.base import CropSource
from redetail.engines.restoration import NetworkConfig, ResidualCodec, RestorationUNet
from redetail.engines.restoration.draft import drafts
from redetail.engines.restoration.layers import cell_basis
from redetail.engines.restoration.tasks import TASKS
from redetail.geometry.context import context_windows

WINDOW = 16  # frames that the motion layers see at once when drafts are made
MEASURED = 60  # batches whose spread sets the units of a new network
# The grid is as fine as half-size video, and levels are wide where a cell is cheap.
SHAPE = NetworkConfig(
    unshuffle=2,
    channels=(32, 48, 96, 160),
    down_blocks=(1, 1, 2, 2),
    up_blocks=(1, 2, 2, 2),
    motion_channels=(0, 16, 48, 96),
    motion_heads=(1, 1, 2, 4),
    tasks=TASKS,
    reach=3,
)


def unshuffle(clip: Tensor, config: NetworkConfig) -> Tensor:
    """(B, F, h, w, 3) in -1..1 -> (B*F, 3*u*u, h/u, w/u)."""
    frames = clip.flatten(0, 1).permute(0, 3, 1, 2)
    return torch.nn.functional.pixel_unshuffle(frames, config.unshuffle)


def with_neighbours(own: Tensor, changes: Tensor, config: NetworkConfig) -> Tensor:
    """Pictures (B, F, h, w, 3) in -1..1 and their neighbours' differences, (B*F, condition_channels, h/u, w/u)."""
    parts = [unshuffle(own, config)]
    if config.reach:
        cells = unshuffle(changes.flatten(1, 2).float() * (2 * CHANGE_UNIT), config)
        parts.append(cells.unflatten(0, (-1, 2 * config.reach)).flatten(1, 2))
    return torch.cat(parts, dim=1)


def condition_of(batch: Batch, config: NetworkConfig) -> Tensor:
    """The network's condition for each crop, with its neighbours."""
    return with_neighbours(batch.stages[:, 0].float() / 127.5 - 1, batch.changes, config)


def features_of(network: RestorationUNet, batch: Batch) -> Tensor:
    """What the network takes from the crops of a batch, and from their drafts."""
    seen = network.look(condition_of(batch, network.config))
    if batch.drafts is None or batch.beside is None:
        return seen
    residual = (batch.drafts.float() - batch.stages[:, 0].float()) / 127.5
    return seen + network.look_at_draft(with_neighbours(residual, batch.beside, network.config))


class Drafter:
    """Makes the drafts of training clips, on the CPU, as the engine does."""

    def __init__(self, network: RestorationUNet, bf16: bool = True) -> None:
        self.network, self.codec, self.bf16 = network, ResidualCodec(network.config), bf16

    @torch.inference_mode()
    def __call__(self, coded: np.ndarray, changes: np.ndarray, alone: bool) -> np.ndarray:
        """Coded frames (F, h, w, 3) uint8 and their differences -> drafts, uint8."""
        crops = coded.astype(np.float32) / 255
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            neighbours = (row.astype(np.float32) * CHANGE_UNIT for row in changes)
            seen = self.network.look(self.codec.condition(crops, neighbours))
            length = 1 if alone else WINDOW
            windows = context_windows(len(crops), length, length // 4)
            made = drafts(self.network, self.codec, CropSource.of(crops), seen, windows).all()
        return np.asarray(np.rint(made * 255), np.uint8)


def measured_config(data: Path, seed: int) -> NetworkConfig:
    """`SHAPE` with the standard deviations of residual, condition and neighbours over some batches."""
    plain, basis = SHAPE, cell_basis(SHAPE.unshuffle)
    squares = torch.zeros(3, plain.latent_channels)
    for batch in islice(Samples(data, seed + 1, reach=plain.reach), MEASURED):
        residual = unshuffle((batch.stages[:, 3].float() - batch.stages[:, 0].float()) / 127.5, plain)
        crop, others = condition_of(batch, plain).tensor_split([plain.latent_channels], dim=1)
        others = others.reshape(-1, *crop.shape[1:])
        for row, cells in enumerate((residual, crop, others)):
            in_basis = torch.einsum("nchw,dc->dnhw", cells, basis)
            squares[row] += in_basis.square().mean(dim=(1, 2, 3)) / MEASURED
    std = round(float(squares[0].mean().sqrt()), 4)
    squares[0] /= std**2
    scales = [tuple(round(float(x), 5) for x in row.sqrt()) for row in squares]
    return dataclasses.replace(
        plain, residual_std=std, latent_scale=scales[0], condition_scale=scales[1], neighbour_scale=scales[2]
    )
