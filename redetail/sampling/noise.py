"""Noise that depends on the seed alone: the same on every device, and the same for a clip sampled in parts.

One draw covers the whole segment (F, C, h, w): float32 normals from a CPU generator. A part of the segment needs only
its own frames, but those of the whole draw; :func:`normal_frames` steps over the frames before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from redetail.errors import DependencyError, SettingsError
from redetail.geometry.context import shuffled_frames

NoiseSource = Callable[[float, float], Tensor]
"""Standard normal noise for the way from one sigma to the next, (F, C, h, w)."""

# torch fills normals in blocks: each turns 16 uniform numbers into 16 normal ones.
BLOCK = 16
# Skipped numbers are drawn and dropped this many at a time, so that memory does not grow with what is skipped.
CHUNK = BLOCK * 65536
# Decimal places to which a Brownian path resolves sigma; it rounds its own ends so, and warns of what lies beyond.
DIGITS = 6


def seeded_generator(seed: int) -> torch.Generator:
    """A CPU generator for a seed 0..2^64-1."""
    return torch.Generator("cpu").manual_seed(seed)


def initial_noise(shape: Sequence[int], seed: int, *, first_frame: int = 0, total_frames: int | None = None) -> Tensor:
    """Frames ``first_frame`` .. ``first_frame + F`` of the noise of a segment of ``total_frames`` frames.

    ``shape`` is (F, C, h, w) of the part; ``total_frames`` defaults to where the part ends. Returns float32 on the CPU.
    """
    return normal_frames(seeded_generator(seed), shape, first_frame, total_frames)


def normal_frames(
    generator: torch.Generator, shape: Sequence[int], first_frame: int = 0, total_frames: int | None = None
) -> Tensor:
    """``torch.randn(total_frames, *shape[1:])[first_frame:first_frame + F]``, without the memory of the whole.

    Leaves the generator after the whole draw. Exact for every shape: where the whole is no multiple of torch's block
    of 16, torch draws its last 16 numbers anew, and so does this.
    """
    frame = math.prod(shape[1:])
    first, last = first_frame * frame, (first_frame + shape[0]) * frame
    total = last if total_frames is None else total_frames * frame
    if not 0 <= first <= last <= total:
        raise SettingsError(
            f"Frames {first_frame} to {first_frame + shape[0]} do not lie within a segment of {total_frames} frames."
        )
    if total < BLOCK or (first == 0 and last == total):
        return torch.randn(total, generator=generator)[first:last].reshape(*shape)
    return _normal_slice(generator, first, last, total).reshape(*shape)


def _normal_slice(generator: torch.Generator, first: int, last: int, total: int) -> Tensor:
    """``torch.randn(total)[first:last]`` for a total of at least a block."""
    blocks_end = total - total % BLOCK
    start = first - first % BLOCK
    stop = min(last + -last % BLOCK, blocks_end)
    _skip(generator, start)
    values = torch.empty(max(last, stop) - start)
    values[: stop - start] = torch.randn(stop - start, generator=generator)
    _skip(generator, blocks_end - stop)
    if total % BLOCK:
        torch.rand(total % BLOCK, generator=generator)
        tail, tail_start = torch.randn(BLOCK, generator=generator), total - BLOCK
        begin = max(start, tail_start)
        if begin < last:
            values[begin - start : last - start] = tail[begin - tail_start : last - tail_start]
    return values[first - start : last - start]


def _skip(generator: torch.Generator, count: int) -> None:
    for begin in range(0, count, CHUNK):
        torch.randn(min(CHUNK, count - begin), generator=generator)


@dataclass(frozen=True)
class NoiseFrames:
    """Which noise a run draws: ``shape`` (F, C, h, w), the seed, and the frames' place in their segment.

    ``free_noise``: (window, step) of :func:`~redetail.geometry.context.shuffled_frames`, for the noise that a run
    starts from; None: every frame has noise of its own.
    """

    shape: tuple[int, ...]
    seed: int
    first_frame: int = 0
    total_frames: int | None = None
    free_noise: tuple[int, int] | None = None

    def initial(self, seed_offset: int = 0) -> Tensor:
        """The noise that a run starts from."""
        seed = (self.seed + seed_offset) % 2**64
        if self.free_noise is None:
            return initial_noise(self.shape, seed, first_frame=self.first_frame, total_frames=self.total_frames)
        window, step = self.free_noise
        frames = shuffled_frames(self.first_frame, self.first_frame + self.shape[0], window, step, seed)
        return initial_noise((window, *self.shape[1:]), seed)[frames]


class PlainNoise:
    """A new draw at every request, from a generator of its own with the run's seed."""

    def __init__(self, frames: NoiseFrames) -> None:
        self._frames, self._generator = frames, seeded_generator(frames.seed)

    def __call__(self, sigma: float, sigma_next: float) -> Tensor:
        """Standard normal noise (F, C, h, w), whatever the sigmas."""
        frames = self._frames
        return normal_frames(self._generator, frames.shape, frames.first_frame, frames.total_frames)


class BrownianNoise:
    """Increments of one Brownian path over sigma, so that the noise does not depend on how the way is divided.

    ``sigmas``: any list whose smallest positive and largest values are the ends of the path. An increment is divided by
    the square root of its length, so that its variance is one. Li et al. 2020 (arXiv 2001.01328), with torchsde.
    Raises :class:`~redetail.errors.DependencyError` where torchsde is not installed.
    """

    def __init__(self, frames: NoiseFrames, sigmas: Sequence[float]) -> None:
        try:
            from torchsde import BrownianTree
        except ImportError as error:
            raise DependencyError("torchsde", "standalone") from error
        low, high = min(sigma for sigma in sigmas if sigma > 0), max(sigmas)
        # The frames before a part belong to the same draws; those after it do not touch its values.
        whole = torch.zeros(frames.first_frame + frames.shape[0], *frames.shape[1:])
        self._tree = BrownianTree(t0=low, w0=whole, t1=high, entropy=frames.seed, tol=10.0**-DIGITS)
        self._ends = round(low, DIGITS), round(high, DIGITS)
        self._first = frames.first_frame

    def __call__(self, sigma: float, sigma_next: float) -> Tensor:
        """Standard normal noise (F, C, h, w) of the way from ``sigma`` to ``sigma_next``."""
        low, high = sorted((sigma, sigma_next))
        increment: Tensor = self._tree(max(low, self._ends[0]), min(high, self._ends[1]))[self._first :]
        return (increment if sigma < sigma_next else -increment) / math.sqrt(high - low)
