"""The network: shapes, motion layers, the noise level's part in it."""

import dataclasses

import pytest
import torch

from redetail.engines.restoration import NetworkConfig, RestorationUNet
from redetail.engines.restoration.network import MotionLayer, cell_basis, sigma_features

TINY = NetworkConfig(
    channels=(8, 16), down_blocks=(1, 1), up_blocks=(1, 1), motion_channels=(4, 8), motion_heads=(1, 2)
)


def awake(network: RestorationUNet) -> RestorationUNet:
    """With every zero-initialised parameter given values, so that nothing is an identity any more."""
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2, generator=generator)
    return network.eval()


@pytest.fixture
def network() -> RestorationUNet:
    torch.manual_seed(0)
    return awake(RestorationUNet(TINY))


def inputs(rows: int, height: int = 6, width: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return (
        torch.randn(rows, 48, height, width, generator=generator),
        torch.rand(rows, 48, height, width, generator=generator) * 2 - 1,
    )


@torch.no_grad()
def test_keeps_the_shape_for_any_number_of_frames(network: RestorationUNet) -> None:
    for frames in (1, 4, 11):
        latents, condition = inputs(2 * frames)
        assert network(latents, torch.tensor(1.0), condition, frames).shape == latents.shape


@torch.no_grad()
def test_without_motion_frames_are_run_one_by_one(network: RestorationUNet) -> None:
    latents, condition = inputs(5)
    sigma = torch.tensor(2.0)
    together = network(latents, sigma, condition, 5, motion=False)
    alone = [network(latents[i : i + 1], sigma, condition[i : i + 1], 1, motion=False) for i in range(5)]
    # Convolutions may sum a batch in another order: a few float32 steps of values around one.
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together, network(latents, sigma, condition, 5), atol=1e-3)


@torch.no_grad()
def test_clips_of_a_batch_do_not_see_each_other(network: RestorationUNet) -> None:
    latents, condition = inputs(8)
    sigma = torch.tensor([0.5, 3.0])
    both = network(latents, sigma, condition, 4)
    first = network(latents[:4], sigma[:1], condition[:4], 4)
    torch.testing.assert_close(both[:4], first, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_reversed_time_gives_reversed_output(network: RestorationUNet) -> None:
    latents, condition = inputs(6)
    sigma = torch.tensor(1.0)
    forward = network(latents, sigma, condition, 6)
    backward = network(latents.flip(0), sigma, condition.flip(0), 6)
    torch.testing.assert_close(forward, backward.flip(0), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_new_motion_layer_is_the_identity() -> None:
    x = torch.randn(6, 16, 5, 7)
    assert torch.equal(MotionLayer(16, 8, 2)(x, 3), x)


@torch.no_grad()
def test_untrained_network_changes_nothing_at_full_noise_and_trusts_the_latents_at_none() -> None:
    network = RestorationUNet(TINY)
    latents, condition = inputs(2)
    assert network(latents * 14.6, torch.tensor(14.6), condition, 2).abs().max() < 0.01
    torch.testing.assert_close(network(latents, torch.tensor(0.01), condition, 2), latents, atol=2e-3, rtol=0)


def test_noise_levels_have_distinct_features() -> None:
    features = sigma_features(torch.tensor([0.0292, 0.1, 0.5, 1.0, 2.0, 14.6]), 64)
    distances = torch.cdist(features, features) + 10 * torch.eye(6)
    assert features.shape == (6, 64)
    assert distances.min() > 0.5


def test_configuration_survives_json() -> None:
    assert NetworkConfig.from_json(TINY.to_json()) == TINY
    assert TINY.size_multiple == 8
    assert TINY.latent_channels == 48


def test_cell_basis_is_orthonormal_and_starts_with_the_mean_grey() -> None:
    basis = cell_basis(4)
    torch.testing.assert_close(basis @ basis.T, torch.eye(48), atol=1e-6, rtol=0)
    torch.testing.assert_close(basis[0], torch.full((48,), 48**-0.5))


@torch.no_grad()
def test_scales_are_units_only_where_the_noise_is_low() -> None:
    scaled = dataclasses.replace(TINY, latent_scale=(0.5,) * 48, condition_scale=(2.0,) * 48)
    latents, condition = inputs(2)
    result = RestorationUNet(scaled)(latents, torch.tensor(0.001), condition, 2)
    torch.testing.assert_close(result, latents, atol=1e-3, rtol=0)


TASKS = dataclasses.replace(TINY, tasks=("sharpen", "denoise", "deblock"))


@torch.no_grad()
def test_prediction_is_the_weighted_sum_of_the_tasks() -> None:
    torch.manual_seed(0)
    network = awake(RestorationUNet(TASKS))
    latents, condition = inputs(4)
    sigma = torch.tensor(1.0)
    parts = network.components(latents, sigma, condition, 2)
    assert parts.shape == (4, 3, 48, 6, 8)
    close = {"atol": 1e-4, "rtol": 1e-4}  # sums of values around ten in another order
    torch.testing.assert_close(network(latents, sigma, condition, 2), parts.sum(dim=1), **close)
    weights = torch.tensor([0.5, 0.0, 2.0])
    weighted = network(latents, sigma, condition, 2, weights=weights)
    torch.testing.assert_close(weighted, (weights[:, None, None, None] * parts).sum(dim=1), **close)
    assert not network(latents, sigma, condition, 2, weights=torch.zeros(3)).any()


@torch.no_grad()
def test_a_network_without_tasks_is_scaled_by_its_one_weight(network: RestorationUNet) -> None:
    latents, condition = inputs(2)
    sigma = torch.tensor(1.0)
    whole = network(latents, sigma, condition, 2)
    torch.testing.assert_close(network(latents, sigma, condition, 2, weights=torch.tensor([1.5])), 1.5 * whole)
