"""Noise: one draw, the same on every device and for every way to divide a segment."""

import math
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from redetail.errors import DependencyError, SettingsError
from redetail.sampling import initial_noise
from redetail.sampling import noise as noise_module
from redetail.sampling.noise import BrownianNoise, NoiseFrames, PlainNoise
from tests.sampling.toy import recorded, schedules, tensors

SEED = recorded()["defaults"]["seed"]


def test_the_noise_is_the_recorded_draw() -> None:
    assert torch.equal(initial_noise((6, 4, 8, 8), SEED), tensors()["noise"])
    assert torch.equal(NoiseFrames((6, 4, 8, 8), SEED).initial(1), tensors()["noise_seed_plus_1"])


def test_plain_requests_are_the_recorded_draws() -> None:
    plain = PlainNoise(NoiseFrames((6, 4, 8, 8), SEED))
    for reference in tensors()["plain_draws"]:
        assert torch.equal(plain(1.0, 0.5), reference)


@given(
    frame=st.sampled_from([(4, 4, 4), (4, 3, 5), (1, 1, 3), (3, 5, 7), (4, 2, 2)]),
    first=st.integers(0, 9),
    count=st.integers(1, 5),
    rest=st.integers(0, 6),
)
@settings(deadline=None, max_examples=80)
def test_a_part_has_the_frames_of_the_whole_draw(
    frame: tuple[int, int, int], first: int, count: int, rest: int
) -> None:
    total = first + count + rest
    generator = torch.Generator().manual_seed(5)
    whole, following = torch.randn(total, *frame, generator=generator), torch.randn(total, *frame, generator=generator)
    plain = PlainNoise(NoiseFrames((count, *frame), 5, first, total))
    assert torch.equal(plain(1, 0), whole[first : first + count])
    assert torch.equal(plain(1, 0), following[first : first + count])


def test_skipping_far_needs_no_more_than_a_chunk_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise_module, "CHUNK", 64)
    whole = torch.randn(50, 4, 5, 5, generator=torch.Generator().manual_seed(8))
    assert torch.equal(initial_noise((3, 4, 5, 5), 8, first_frame=40, total_frames=50), whole[40:43])


def test_a_short_clip_is_a_prefix_of_a_longer_one() -> None:
    assert torch.equal(initial_noise((3, 4, 8, 8), 1), initial_noise((9, 4, 8, 8), 1)[:3])


def test_frames_outside_their_segment_are_refused() -> None:
    with pytest.raises(SettingsError, match="segment of 4 frames"):
        initial_noise((3, 4, 8, 8), 1, first_frame=2, total_frames=4)


def brownian_cases() -> list[str]:
    return [key for key in tensors() if key.endswith(".brownian")]


@pytest.mark.parametrize("key", brownian_cases())
def test_brownian_increments_match_the_recorded_ones(key: str) -> None:
    case = recorded()["cases"][key.removesuffix(".brownian")]
    ends = case["calls"][0]["sigmas"]
    if "heun" not in key:
        ends = schedules()["models"]["sd15"]["schedules"][case["settings"]["scheduler"]]["euler/20"]
    path = BrownianNoise(NoiseFrames((6, 4, 8, 8), SEED), ends)
    for (sigma, sigma_next), reference in zip(case["brownian_draws"], tensors()[key], strict=True):
        # Float32 additions of the tree's parts, of a size of a few.
        torch.testing.assert_close(path(sigma, sigma_next), reference, rtol=0, atol=3e-6)


def test_brownian_noise_does_not_depend_on_how_the_way_is_divided() -> None:
    path = BrownianNoise(NoiseFrames((2, 4, 8, 8), 3), [10.0, 1.0, 0.1, 0.0])
    whole = path(9.0, 4.0) * math.sqrt(5)
    parts = path(9.0, 7.0) * math.sqrt(2) + path(7.0, 4.0) * math.sqrt(3)
    torch.testing.assert_close(whole, parts, rtol=0, atol=1e-5)
    assert torch.equal(path(4.0, 9.0), -path(9.0, 4.0))
    assert path(9.0, 4.0).std().item() == pytest.approx(1, abs=0.15)  # 512 values: 5 standard errors


def test_a_part_gets_its_frames_of_the_brownian_path() -> None:
    sigmas = [10.0, 0.1, 0.0]
    whole = BrownianNoise(NoiseFrames((6, 4, 4, 4), 3), sigmas)(5.0, 2.0)
    part = BrownianNoise(NoiseFrames((2, 4, 4, 4), 3, 3, 6), sigmas)(5.0, 2.0)
    assert torch.equal(part, whole[3:5])


def test_without_torchsde_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchsde", None)
    with pytest.raises(DependencyError, match=r"torchsde .* pip install 'redetail\[standalone\]'"):
        BrownianNoise(NoiseFrames((1, 4, 4, 4), 0), [1.0, 0.0])


def test_free_noise_shuffles_the_noise_of_the_first_window() -> None:
    plain = NoiseFrames((40, 4, 3, 5), 7).initial()
    free = NoiseFrames((40, 4, 3, 5), 7, free_noise=(16, 12))
    shuffled = free.initial()
    torch.testing.assert_close(shuffled[:16], initial_noise((16, 4, 3, 5), 7), rtol=0, atol=0)
    first = {tuple(frame.flatten().tolist()) for frame in plain[:16]}
    assert {tuple(frame.flatten().tolist()) for frame in shuffled[16:28]} < first
    # A part of the segment gets what it would get in the whole.
    part = NoiseFrames((20, 4, 3, 5), 7, first_frame=17, free_noise=(16, 12)).initial()
    assert torch.equal(part, shuffled[17:37])


def test_free_noise_of_a_short_clip_is_plain_noise() -> None:
    shape = (16, 4, 3, 5)
    assert torch.equal(NoiseFrames(shape, 7, free_noise=(16, 12)).initial(), initial_noise(shape, 7))
