"""Noise that depends on the seed alone: the same on every device, and the same for a clip sampled in parts.

One draw covers the whole segment (F, C, h, w): float32 normals from a CPU generator. A part of the segment needs only
its own frames, but those of the whole draw; :func:`normal_frames` steps over the frames before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from redetail.errors import DependencyError, SettingsError

NoiseSource = Callable[[float, float], Tensor]
"""Standard normal noise for the way from one sigma to the next, (F, C, h, w)."""

# torch fills normals in blocks: each turns 16 uniform numbers into 16 normal ones.
BLOCK = 16
# Skipped numbers are drawn and dropped this many at a time, so that memory does not grow with what is skipped.
CHUNK = BLOCK * 65536


def seeded_generator(seed: int) -> torch.Generator:
    """A CPU generator for a seed 0..2^64-1."""
    return torch.Generator("cpu").manual_seed(seed)


def initial_noise(
    shape: Sequence[int], seed: int, *, first_frame: int = 0, total_frames: int | None = None
) -> Tensor:
    """Frames ``first_frame`` .. ``first_frame + F`` of the noise of a segment of ``total_frames`` frames.

    ``shape`` is (F, C, h, w) of the part; ``total_frames`` defaults to where the part ends. Returns float32 on the CPU.
    """
    return normal_frames(seeded_generator(seed), shape, first_frame, total_frames)


def normal_frames(
    generator: torch.Generator, shape: Sequence[int], first_frame: int = 0, total_frames: int | None = None
) -> Tensor:
    """``torch.randn(total_frames, *shape[1:])[first_frame:first_frame + F]``, without the memory of the whole.

    Advances the generator past the whole draw. Exact for every shape: where the whole is no multiple of torch's block
    of 16, torch draws its last 16 numbers anew, and so does this.
    """
    total = first_frame + shape[0] if total_frames is None else total_frames
    return torch.randn(total, *shape[1:], generator=generator)[first_frame : first_frame + shape[0]]
