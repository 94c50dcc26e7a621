"""Noise: one draw, the same on every device and for every way to divide a segment."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from redetail.errors import SettingsError
from redetail.sampling import initial_noise
from redetail.sampling import noise as noise_module
from redetail.sampling.brownian import BrownianNoise
from redetail.sampling.noise import TOGETHER, NoiseFrames, NormalStream, PlainNoise
from tests.sampling.toy import recorded, tensors

SEED, RECORDED = recorded()["defaults"]["seed"], tuple(tensors()["noise"].shape)


def test_the_noise_is_the_recorded_draw() -> None:
    assert torch.equal(initial_noise(RECORDED, SEED), tensors()["noise"])
    assert torch.equal(NoiseFrames(RECORDED, SEED).initial(1), tensors()["noise_seed_plus_1"])


def test_plain_requests_are_the_recorded_draws() -> None:
    plain = PlainNoise(NoiseFrames(RECORDED, SEED))
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


# Far into a segment ----------------------------------------------------------------------------------------------

SHAPE = (4, 6, 8)


def second_draw(frames: NoiseFrames) -> torch.Tensor:
    source = PlainNoise(frames)
    source(1, 0)
    return source(1, 0)


def increment(frames: NoiseFrames) -> torch.Tensor:
    return BrownianNoise(frames, [10.0, 0.1, 0.0])(5.0, 2.0)


KINDS: list[Callable[[NoiseFrames], torch.Tensor]] = [NoiseFrames.initial, second_draw, increment]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", [0, TOGETHER - 9, TOGETHER - 3, TOGETHER, TOGETHER + 5, 20000])
def test_overlapping_parts_have_the_same_noise(kind: Callable[[NoiseFrames], torch.Tensor], first: int) -> None:
    total = first + 500
    one = kind(NoiseFrames((12, *SHAPE), 3, first, total))
    other = kind(NoiseFrames((12, *SHAPE), 3, first + 4, total))
    assert torch.equal(one[4:], other[:8])


@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_normal_and_independent_wherever_it_lies(kind: Callable[[NoiseFrames], torch.Tensor]) -> None:
    frames = kind(NoiseFrames((64, *SHAPE), 3, TOGETHER - 20, 5000)).flatten(1)
    # Mean, variance and correlations of 192 numbers, or 64 x 192: five standard errors.
    assert frames.mean().abs() < 5 / frames.numel() ** 0.5
    assert frames.var().item() == pytest.approx(1, abs=5 * (2 / frames.numel()) ** 0.5)
    correlations = torch.corrcoef(frames) - torch.eye(len(frames))
    assert correlations.abs().max() < 5 / frames.shape[1] ** 0.5


def test_draws_of_a_late_frame_are_independent() -> None:
    stream = NormalStream(3, (1, 4, 32, 32), 20000)
    draws = torch.stack([stream.draw().flatten() for _ in range(8)])
    assert (torch.corrcoef(draws) - torch.eye(8)).abs().max() < 5 / draws.shape[1] ** 0.5
    other = NormalStream(4, (1, 4, 32, 32), 20000).draw().flatten()
    assert torch.corrcoef(torch.stack([draws[0], other]))[0, 1].abs() < 5 / draws.shape[1] ** 0.5


def test_frames_drawn_alone_share_no_seed() -> None:
    assert len({noise_module._mixed(12345 + frame) for frame in range(50000)}) == 50000


def test_a_part_steps_over_no_more_than_what_is_drawn_together(monkeypatch: pytest.MonkeyPatch) -> None:
    stepped: list[int] = []
    monkeypatch.setattr(NormalStream, "_skip", lambda self, count: stepped.append(count))
    for first in (0, 200, TOGETHER, 20000):
        initial_noise((16, *SHAPE), 1, first_frame=first)
        stepped.append(-first)
    assert stepped == [0, 200 * 192, -200, -TOGETHER, -20000]


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
