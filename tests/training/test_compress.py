"""Factored weights: exact where nothing is lost, the best subspace where something is."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from redetail.engines.restoration import ModelCard, NetworkConfig, ResidualCodec, RestorationUNet
from redetail.engines.restoration.folder import Loaded

CONFIG = NetworkConfig(
    unshuffle=2,
    channels=(8, 16),
    down_blocks=(1, 1),
    up_blocks=(1, 1),
    motion_channels=(0, 8),
    motion_heads=(1, 2),
    reach=1,
    fused_channels=8,
    drafted=True,
)
CARD = ModelCard(context_length=8, defaults={"steps": 1, "denoise": 1.0, "cfg": 1.0})


def network(seed: int, drafted: bool = True) -> RestorationUNet:
    torch.manual_seed(seed)
    made = RestorationUNet(dataclasses.replace(CONFIG, drafted=drafted))
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.05)
    return made.eval().requires_grad_(False)


def output(of: RestorationUNet) -> torch.Tensor:
    torch.manual_seed(5)
    cells = torch.rand(3, CONFIG.condition_channels, 16, 16)
    seen = of.look(cells) + of.look_at_draft(cells * 0.1)
    return of(torch.randn(3, CONFIG.latent_channels, 16, 16), torch.tensor(1.0), seen, 3)


def test_full_ranks_change_nothing_and_both_ends_share_their_subspaces(script) -> None:
    compress = script("compress")
    faithful, inventive = network(1), network(2)
    loaded = Loaded(faithful, network(3, drafted=False), ResidualCodec(CONFIG), CARD, inventive)
    clips = np.random.default_rng(0).random((2, 3, 32, 32, 3), np.float32)
    with torch.no_grad():
        ends, drafts = compress.watched(loaded, clips, (0, 16))
        made = compress.compressed([faithful, inventive], ends, (0, 16), 24)
        for old, new in zip((faithful, inventive), made, strict=True):
            torch.testing.assert_close(output(new), output(old), atol=1e-4, rtol=1e-4)
    assert set(drafts) == {"fuse", *(name for name in ends if "block" in name)}
    first, second = (new.state_dict() for new in made)
    shared = [name for name in first if name.endswith((".first.1.weight", ".second.1.weight")) or "narrow" in name]
    assert len(shared) == 6
    assert all(torch.equal(first[name], second[name]) for name in shared)


def test_what_passes_through_few_channels_is_what_is_listened_to(script) -> None:
    compress = script("compress")
    loud, heard = torch.diag(torch.tensor([100.0, 1.0, 2.0]).double()), torch.zeros(1, 3, 1, 1).double()
    heard[0, 1:] = 1  # the loudest channel is not read
    into, back = compress.narrowing(loud, [heard], 1)
    kept = torch.einsum("oc,cd->od", heard[..., 0, 0], back @ into)
    torch.testing.assert_close(kept, heard[..., 0, 0], atol=1e-3, rtol=0)


def test_moments_are_those_of_all_that_passed(script) -> None:
    moments = script("compress").Moments()
    values = torch.randn(6, 4, 3, 3).double()
    for part in values.split(2):
        moments.add(part)
    rows = values.movedim(1, -1).reshape(-1, 4)
    torch.testing.assert_close(moments.mean, rows.mean(dim=0))
    torch.testing.assert_close(moments.second, rows.T @ rows / len(rows))
