"""The network: shapes, motion layers, the noise level's part in it."""

import dataclasses

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from redetail.engines.restoration import NetworkConfig, RestorationUNet
from redetail.engines.restoration import network as networks
from redetail.engines.state_dict import skeleton

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
    """Latents, and what a network has seen of the crops."""
    generator = torch.Generator().manual_seed(2)
    return (
        torch.randn(rows, 48, height, width, generator=generator),
        torch.randn(rows, 8, height, width, generator=generator),
    )


def conditions(rows: int, reach: int) -> torch.Tensor:
    channels = 48 * (1 + 2 * reach)
    return torch.rand(rows, channels, 6, 8, generator=torch.Generator().manual_seed(3)) * 2 - 1


@torch.no_grad()
def test_keeps_the_shape_for_any_number_of_frames(network: RestorationUNet) -> None:
    for frames in (1, 4, 11):
        latents, seen = inputs(2 * frames)
        assert network(latents, torch.tensor(1.0), seen, frames).shape == latents.shape


@torch.no_grad()
@pytest.mark.parametrize("motion", [(0, 8), (4, 8)], ids=["finest level frame by frame", "finest level across frames"])
@pytest.mark.parametrize("rows", [1, 2])
def test_a_few_frames_at_a_time_give_what_all_give(
    motion: tuple[int, int], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = awake(RestorationUNet(dataclasses.replace(TINY, motion_channels=motion)))
    latents, seen = inputs(5)
    sigmas = torch.linspace(0.1, 9, 5)
    together = network(latents, sigmas, seen, 5)
    parts = network.components(latents, sigmas, seen, 5)
    monkeypatch.setattr(networks, "AT_ONCE", rows * seen[0].numel())
    torch.testing.assert_close(network(latents, sigmas, seen, 5), together, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(network.components(latents, sigmas, seen, 5), parts, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_without_motion_frames_are_run_one_by_one(network: RestorationUNet) -> None:
    latents, seen = inputs(5)
    sigma = torch.tensor(2.0)
    together = network(latents, sigma, seen, 5, motion=False)
    alone = [network(latents[i : i + 1], sigma, seen[i : i + 1], 1, motion=False) for i in range(5)]
    # Convolutions may sum a batch in another order: a few float32 steps of values around one.
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together, network(latents, sigma, seen, 5), atol=1e-3)


@torch.no_grad()
def test_clips_of_a_batch_do_not_see_each_other(network: RestorationUNet) -> None:
    latents, seen = inputs(8)
    sigma = torch.tensor([0.5, 3.0])
    both = network(latents, sigma, seen, 4)
    first = network(latents[:4], sigma[:1], seen[:4], 4)
    torch.testing.assert_close(both[:4], first, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_reversed_time_gives_reversed_output(network: RestorationUNet) -> None:
    latents, seen = inputs(6)
    sigma = torch.tensor(1.0)
    forward = network(latents, sigma, seen, 6)
    backward = network(latents.flip(0), sigma, seen.flip(0), 6)
    torch.testing.assert_close(forward, backward.flip(0), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_untrained_network_changes_nothing_at_full_noise_and_trusts_the_latents_at_none() -> None:
    network = RestorationUNet(TINY)
    latents, seen = inputs(2)
    assert network(latents * 14.6, torch.tensor(14.6), seen, 2).abs().max() < 0.01
    torch.testing.assert_close(network(latents, torch.tensor(0.01), seen, 2), latents, atol=2e-3, rtol=0)


@torch.no_grad()
def test_scales_are_units_only_where_the_noise_is_low() -> None:
    scaled = dataclasses.replace(TINY, latent_scale=(0.5,) * 48, condition_scale=(2.0,) * 48)
    latents, seen = inputs(2)
    result = RestorationUNet(scaled)(latents, torch.tensor(0.001), seen, 2)
    torch.testing.assert_close(result, latents, atol=1e-3, rtol=0)


TASKS = dataclasses.replace(TINY, tasks=("sharpen", "denoise", "deblock"))


@torch.no_grad()
def test_prediction_is_the_weighted_sum_of_the_tasks() -> None:
    torch.manual_seed(0)
    network = awake(RestorationUNet(TASKS))
    latents, seen = inputs(4)
    sigma = torch.tensor(1.0)
    parts = network.components(latents, sigma, seen, 2)
    assert parts.shape == (4, 3, 48, 6, 8)
    close = {"atol": 1e-4, "rtol": 1e-4}  # sums of values around ten in another order
    torch.testing.assert_close(network(latents, sigma, seen, 2), parts.sum(dim=1), **close)
    weights = torch.tensor([0.5, 0.0, 2.0])
    weighted = network(latents, sigma, seen, 2, weights=weights)
    torch.testing.assert_close(weighted, (weights[:, None, None, None] * parts).sum(dim=1), **close)
    assert not network(latents, sigma, seen, 2, weights=torch.zeros(3)).any()


@torch.no_grad()
@pytest.mark.parametrize("sigma", [0.05, 14.0])
def test_the_luma_of_other_sums_comes_with_the_prediction(sigma: float) -> None:
    torch.manual_seed(0)
    network = awake(RestorationUNet(TASKS))
    latents, seen = inputs(4)
    weights, sums = torch.tensor([0.5, 0.0, 2.0]), torch.tensor([[1.0, 1, 1], [0, 1, 0.5]])
    told = latents, torch.tensor(sigma), seen, 2
    result, luma = network.beside_luma(*told, weights, sums)
    torch.testing.assert_close(result, network(*told, weights=weights), atol=1e-4, rtol=1e-4)
    parts = network.components(*told)
    for row, found in zip(sums, luma.unbind(1), strict=True):
        pixels = torch.nn.functional.pixel_shuffle((row[:, None, None, None] * parts).sum(dim=1), TASKS.unshuffle)
        wanted = torch.einsum("c,nchw->nhw", torch.tensor([0.299, 0.587, 0.114]), pixels)
        torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_a_network_without_tasks_is_scaled_by_its_one_weight(network: RestorationUNet) -> None:
    latents, seen = inputs(2)
    sigma = torch.tensor(1.0)
    whole = network(latents, sigma, seen, 2)
    torch.testing.assert_close(network(latents, sigma, seen, 2, weights=torch.tensor([1.5])), 1.5 * whole)


LOOKING = dataclasses.replace(TINY, reach=2, fused_channels=8)


@torch.no_grad()
def test_new_eyes_see_the_crop_alone() -> None:
    torch.manual_seed(0)
    network = RestorationUNet(LOOKING)
    condition = conditions(3, 2)
    seen = network.look(condition)
    assert seen.shape == (3, 8, 6, 8)
    other = condition.clone()
    other[:, 48:] = 0
    assert torch.equal(network.look(other), seen)


@torch.no_grad()
def test_trained_eyes_see_the_neighbours_of_a_frame_and_no_other() -> None:
    torch.manual_seed(0)
    network = awake(RestorationUNet(LOOKING))
    condition = conditions(3, 2)
    seen = network.look(condition)
    for neighbour in range(4):
        other = condition.clone()
        other[1, 48 * (1 + neighbour) : 48 * (2 + neighbour)] = 0
        changed = (network.look(other) - seen).abs().amax(dim=(1, 2, 3))
        assert changed[1] > 1e-3
        assert not changed[[0, 2]].any()


@torch.no_grad()
def test_scales_are_the_units_of_what_is_seen() -> None:
    torch.manual_seed(0)
    network = awake(RestorationUNet(LOOKING))
    values = {"condition_scale": (2.0,) * 48, "neighbour_scale": (0.5,) * 48}
    scaled = RestorationUNet(dataclasses.replace(LOOKING, **values)).eval()
    scaled.load_state_dict(network.state_dict())
    condition = conditions(2, 2)
    units = torch.cat([condition[:, :48] * 2, condition[:, 48:] / 2], dim=1)
    torch.testing.assert_close(scaled.look(units), network.look(condition), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_neighbours_are_narrowed_after_they_have_their_units() -> None:
    torch.manual_seed(0)
    whole = awake(RestorationUNet(dataclasses.replace(LOOKING, neighbour_scale=(0.5,) * 48)))
    narrow = awake(RestorationUNet(dataclasses.replace(whole.config, neighbour_rank=5)))
    into, weight = narrow.narrow.weight[:, :, 0, 0], narrow.fuse[0].weight
    whole.load_state_dict(
        {
            **{name: value for name, value in narrow.state_dict().items() if name != "narrow.weight"},
            "fuse.0.weight": torch.cat([weight[:, :48], torch.einsum("orij,rc->ocij", weight[:, 48:], into)], dim=1),
        }
    )
    condition = conditions(2, 2)
    torch.testing.assert_close(narrow.look(condition), whole.look(condition), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_what_is_seen_of_a_draft_starts_at_nothing() -> None:
    network = RestorationUNet(dataclasses.replace(TINY, reach=1, drafted=True))
    drafted = conditions(2, reach=1)
    assert not network.look_at_draft(drafted).any()
    assert awake(network).look_at_draft(drafted).shape == network.look(drafted).shape
    assert not torch.allclose(network.look_at_draft(drafted), network.look(drafted), atol=1e-3)


@torch.no_grad()
def test_a_draft_is_read_in_the_units_of_a_residual() -> None:
    scales = {"residual_std": 0.25, "latent_scale": (2.0,) * 48, "condition_scale": (4.0,) * 48}
    network = awake(RestorationUNet(dataclasses.replace(TINY, reach=0, drafted=True, **scales)))
    plain = RestorationUNet(dataclasses.replace(TINY, reach=0, drafted=True, residual_std=1.0))
    plain.load_state_dict(network.state_dict())
    drafted = conditions(1, reach=0)
    torch.testing.assert_close(network.look_at_draft(drafted), plain.look_at_draft(drafted / 0.5))


class MetaOperations(TorchDispatchMode):
    """Notes the operations whose results are on the meta device."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.is_meta:
            self.names.add(str(func))
        return result


def test_a_network_without_values_is_made_without_arithmetic() -> None:
    """On the meta device that would import PyTorch's compiler, seconds in which a run does nothing else."""
    with MetaOperations() as operations:
        skeleton(lambda: RestorationUNet(TINY))
    assert operations.names <= {"aten.empty.memory_format", "aten.zero_.default", "aten.fill_.Scalar"}
