"""Drafts: one step without noise, over the windows of the motion layers."""

import numpy as np
import pytest
import torch

from redetail.engines.base import CropSource
from redetail.engines.restoration import NetworkConfig, ResidualCodec, RestorationUNet
from redetail.engines.restoration.draft import drafts
from redetail.geometry.context import ContextWindow, context_windows
from redetail.sampling import NoiseTable

CONFIG = NetworkConfig(
    channels=(8, 16),
    down_blocks=(1, 1),
    up_blocks=(1, 1),
    motion_channels=(4, 8),
    motion_heads=(1, 2),
    residual_std=0.1,
)
CODEC = ResidualCodec(CONFIG)


@pytest.fixture
def network() -> RestorationUNet:
    torch.manual_seed(0)
    network = RestorationUNet(CONFIG)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return network.eval().requires_grad_(False)


def crops(frames: int) -> np.ndarray:
    return np.random.default_rng(0).random((frames, 32, 48, 3), np.float32) * 0.2 + 0.4


def drafted(network: RestorationUNet, clip: np.ndarray, seen: torch.Tensor, windows: list[ContextWindow]) -> np.ndarray:
    return drafts(network, CODEC, CropSource.of(clip), seen, windows).all()


def test_a_draft_is_one_step_from_the_highest_noise_level(network: RestorationUNet) -> None:
    clip = crops(3)
    seen = network.look(CODEC.condition(clip))
    latents = torch.zeros(3, 48, 8, 12)
    predicted = network(latents, torch.tensor(NoiseTable.stable_diffusion().sigma_max), seen, 3)
    made = drafted(network, clip, seen, context_windows(3, 16, 4))
    np.testing.assert_allclose(made, CODEC.restored(predicted, clip), atol=1e-6)
    assert np.abs(made - clip).max() > 0.01


def test_motion_layers_see_a_window_at_once(network: RestorationUNet) -> None:
    clip = crops(6)
    seen = network.look(CODEC.condition(clip))
    alone = drafted(network, clip, seen, context_windows(6, 1, 0))
    each = [drafted(network, clip[i : i + 1], seen[i : i + 1], context_windows(1, 16, 4)) for i in range(6)]
    np.testing.assert_allclose(alone, np.concatenate(each), atol=1e-6)
    windowed = drafted(network, clip, seen, context_windows(6, 4, 2))
    whole = drafted(network, clip, seen, context_windows(6, 16, 4))
    assert len({made.tobytes() for made in (alone, windowed, whole)}) == 3


def test_a_network_that_leaves_the_crops_alone_drafts_the_crops() -> None:
    clip, network = crops(2), RestorationUNet(CONFIG)
    seen = network.look(CODEC.condition(clip))
    with torch.no_grad():
        assert np.array_equal(drafted(network, clip, seen.detach(), context_windows(2, 16, 4)), clip)
