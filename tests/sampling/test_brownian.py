"""One Brownian path: the recorded increments, and the same noise for every way to divide sigma or the clip."""

import math
from itertools import pairwise

import pytest
import torch

from redetail.sampling import VarianceExploding, schedule
from redetail.sampling.brownian import BrownianNoise
from redetail.sampling.noise import NoiseFrames
from redetail.sampling.schedulers import step_range
from tests.sampling.toy import path, recorded, tensors

SEED, RECORDED = recorded()["defaults"]["seed"], tuple(tensors()["noise"].shape)


def brownian_cases() -> list[str]:
    return [key for key in tensors() if key.endswith(".brownian")]


@pytest.mark.parametrize("key", brownian_cases())
def test_brownian_increments_match_the_recorded_ones(key: str) -> None:
    case = recorded()["cases"][key.removesuffix(".brownian")]
    ends = case["calls"][0]["sigmas"]
    if "heun" not in key:
        asked = case["settings"]
        ends = schedule(
            asked["scheduler"], path(asked["model_sampling"]), step_range(asked["steps"], asked["denoise"])[1]
        )
    noise = BrownianNoise(NoiseFrames(RECORDED, SEED), ends)
    for (sigma, sigma_next), reference in zip(case["brownian_draws"], tensors()[key], strict=True):
        # Float32 additions of the tree's parts, of a size of a few.
        torch.testing.assert_close(noise(sigma, sigma_next), reference, rtol=0, atol=3e-6)


def test_brownian_noise_does_not_depend_on_how_the_way_is_divided() -> None:
    noise = BrownianNoise(NoiseFrames((2, 4, 8, 8), 3), [10.0, 1.0, 0.1, 0.0])
    whole = noise(9.0, 4.0) * math.sqrt(5)
    parts = noise(9.0, 7.0) * math.sqrt(2) + noise(7.0, 4.0) * math.sqrt(3)
    torch.testing.assert_close(whole, parts, rtol=0, atol=1e-5)
    assert torch.equal(noise(4.0, 9.0), -noise(9.0, 4.0))
    assert noise(9.0, 4.0).std().item() == pytest.approx(1, abs=0.15)  # 512 values: 5 standard errors


def test_a_part_gets_its_frames_of_the_brownian_path() -> None:
    sigmas = [10.0, 0.1, 0.0]
    whole = BrownianNoise(NoiseFrames((6, 4, 4, 4), 3), sigmas)(5.0, 2.0)
    part = BrownianNoise(NoiseFrames((2, 4, 4, 4), 3, 3, 6), sigmas)(5.0, 2.0)
    assert torch.equal(part, whole[3:5])


@pytest.mark.parametrize("name", ["karras", "simple", "AYS SVD"])
def test_the_tree_is_that_of_torchsde_to_the_last_bit(name: str) -> None:
    torchsde = pytest.importorskip("torchsde")
    sigmas = schedule(name, VarianceExploding.animatediff(), 12)
    low, high = sigmas[-2], sigmas[0]
    tree = torchsde.BrownianTree(t0=low, w0=torch.zeros(5, 4, 5, 7), t1=high, entropy=SEED, tol=1e-6)
    noise = BrownianNoise(NoiseFrames((3, 4, 5, 7), SEED, 2), sigmas)
    for sigma, sigma_next in pairwise(sigmas[:-1]):
        increment = tree(max(sigma_next, round(low, 6)), min(sigma, round(high, 6)))[2:]
        assert torch.equal(noise(sigma, sigma_next), -increment / math.sqrt(sigma - sigma_next))


@pytest.mark.parametrize("first", [0, 20000])
def test_a_request_draws_and_holds_as_much_wherever_the_frames_lie(first: int) -> None:
    noise = BrownianNoise(NoiseFrames((3, 1, 4, 4), 3, first), [14.6, 0.03, 0.0])
    noise(9.0, 4.0)
    noise(4.0, 2.5)
    assert len(noise._known) < 60
    assert all(left.shape == (3, 1, 4, 4) for left in noise._known.values())


def test_a_step_below_the_resolution_is_zero() -> None:
    assert not BrownianNoise(NoiseFrames((2, 1, 4, 4), 3), [10.0, 0.1, 0.0])(2.0, 2.0 - 1e-8).any()
