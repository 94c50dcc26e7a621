"""Noise that depends only on the seed and the frame: the same on every device, and the same for a clip in parts.

The noise of the first :data:`TOGETHER` frames of a segment is one draw (F, C, h, w) of float32 normals from a CPU
generator, as in ComfyUI; a part skips the numbers of earlier frames. Every later frame has its own generator, so that
noise takes the same time wherever a part starts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from redetail.errors import SettingsError
from redetail.geometry.context import shuffled_frames

NoiseSource = Callable[[float, float], Tensor]
"""Standard normal noise for the step from one sigma to the next, (F, C, h, w)."""

# Number of frames of a segment whose noise is drawn together.
TOGETHER = 256
# torch fills normals in blocks: each turns 16 uniform numbers into 16 normal ones.
BLOCK = 16
# Numbers are skipped this many at a time, so that memory does not grow with their total.
CHUNK = BLOCK * 65536


def seeded_generator(seed: int) -> torch.Generator:
    """A CPU generator for a seed 0..2^64-1."""
    return torch.Generator("cpu").manual_seed(seed)


def initial_noise(shape: Sequence[int], seed: int, *, first_frame: int = 0, total_frames: int | None = None) -> Tensor:
    """Frames ``first_frame`` .. ``first_frame + F`` of the noise of a segment of ``total_frames`` frames.

    ``shape`` is the part's (F, C, h, w); ``total_frames`` defaults to the end of the part. Returns float32 on the CPU.
    """
    return NormalStream(seed, shape, first_frame, total_frames).draw()


class NormalStream:
    """Draws of standard normals for the frames ``first_frame`` .. ``first_frame + F`` of a segment, one after another.

    In a segment of up to :data:`TOGETHER` frames, draw n is the n-th ``torch.randn(total_frames, *shape[1:])`` of one
    generator, exact for every shape. In a longer segment, this holds for the first :data:`TOGETHER` frames; draw n of a
    later frame f comes from a generator seeded by (seed, n, f). So frames are independent, and overlapping parts agree.

    ``total_frames`` defaults to the end of the part. In segments of up to :data:`TOGETHER` frames, draws after the
    first depend on it; so do the last 16 numbers of a draw whose size is not a multiple of 16.
    """

    def __init__(self, seed: int, shape: Sequence[int], first_frame: int = 0, total_frames: int | None = None) -> None:
        last = first_frame + shape[0]
        total = last if total_frames is None else total_frames
        if not 0 <= first_frame <= last <= total:
            raise SettingsError(
                f"Frames {first_frame} to {last} do not lie within a segment of {total_frames} frames; give frames "
                "inside it."
            )
        self._seed, self._shape = seed, tuple(shape)
        self._first, self._last, self._together = first_frame, last, min(total, TOGETHER)
        self._generator, self._draws = seeded_generator(seed), 0
        self._owed = 0  # numbers to skip before the next draw

    def draw(self) -> Tensor:
        """The next draw, (F, C, h, w) float32 on the CPU."""
        together = max(0, min(self._last, self._together) - self._first)
        parts = [self._drawn_together(together)] if together else []
        if self._last > self._first + together:
            parts.append(self._drawn_alone(self._first + together))
        self._draws += 1
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _drawn_together(self, count: int) -> Tensor:
        frame = math.prod(self._shape[1:])
        numbers = self._numbers(self._first * frame, (self._first + count) * frame, self._together * frame)
        return numbers.reshape(count, *self._shape[1:])

    def _drawn_alone(self, first: int) -> Tensor:
        base = int(np.random.SeedSequence(self._seed, spawn_key=(self._draws,)).generate_state(1)[0])
        drawn, generator = torch.empty(self._last - first, *self._shape[1:]), seeded_generator(0)
        for frame, numbers in enumerate(drawn, first):
            numbers.normal_(generator=generator.manual_seed(_mixed(base + frame)))
        return drawn

    def _numbers(self, first: int, last: int, total: int) -> Tensor:
        """``torch.randn(total)[first:last]``, without the memory of the whole."""
        if total < BLOCK or (first == 0 and last == total):
            return torch.randn(total, generator=self._generator)[first:last]
        blocks_end = total - total % BLOCK
        start, stop = first - first % BLOCK, min(last + -last % BLOCK, blocks_end)
        self._skip(self._owed + start)
        values = torch.empty(max(last, stop) - start)
        values[: stop - start] = torch.randn(stop - start, generator=self._generator)
        self._owed = blocks_end - stop
        # If the total is not a multiple of the block, torch draws the last 16 numbers a second time.
        if total % BLOCK and last > total - BLOCK:
            self._skip(self._owed + total % BLOCK)
            tail, begin = torch.randn(BLOCK, generator=self._generator), max(start, total - BLOCK)
            values[begin - start : last - start] = tail[begin - total + BLOCK : last - total + BLOCK]
            self._owed = 0
        elif total % BLOCK:
            self._owed += total % BLOCK + BLOCK
        return values[first - start : last - start]

    def _skip(self, count: int) -> None:
        """Skip ``count`` normals, each of which takes one 32-bit number of the generator."""
        numbers = torch.empty(min(CHUNK, count), dtype=torch.int32)
        for begin in range(0, count, CHUNK):
            numbers[: count - begin].random_(generator=self._generator)


def _mixed(number: int) -> int:
    """A 32-bit number from another, one to one and without visible order (the end of MurmurHash3).

    torch's CPU generator takes 32 bits of a seed, so two frames of a draw must not share them.
    """
    number &= 0xFFFFFFFF
    number = ((number ^ (number >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    number = ((number ^ (number >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return number ^ (number >> 16)


@dataclass(frozen=True)
class NoiseFrames:
    """The noise that a run draws: ``shape`` (F, C, h, w), the seed, and the frames' position in their segment.

    ``free_noise``: (window, step) of :func:`~redetail.geometry.context.shuffled_frames`, for the noise that a run
    starts from; None: every frame has its own noise.
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
            return self.stream(seed).draw()
        window, step = self.free_noise
        frames = shuffled_frames(self.first_frame, self.first_frame + self.shape[0], window, step, seed)
        return initial_noise((window, *self.shape[1:]), seed)[frames]

    def stream(self, seed: int) -> NormalStream:
        """Draws of normals for these frames from a seed."""
        return NormalStream(seed, self.shape, self.first_frame, self.total_frames)


class PlainNoise:
    """A new draw for every request, from a separate generator with the run's seed."""

    def __init__(self, frames: NoiseFrames) -> None:
        self._stream = frames.stream(frames.seed)

    def __call__(self, sigma: float, sigma_next: float) -> Tensor:
        """Standard normal noise (F, C, h, w), whatever the sigmas."""
        return self._stream.draw()
