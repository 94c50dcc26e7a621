"""Brownian noise: increments of one path over sigma, so that noise does not depend on the steps taken.

A virtual Brownian tree (Li et al. 2020, arXiv 2001.01328): the increment over the whole range is one draw, and each
half of an interval follows from the increment of the interval and a separate draw by the Brownian bridge (Levy).
Rounding, seeds and order of the draws are those of torchsde's BrownianTree, so a seed gives the same noise as there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from torch import Tensor

from redetail.sampling.noise import NoiseFrames

# Decimal places to which the path resolves sigma.
DIGITS = 6
# torchsde's size of the pool that seeds are mixed in.
POOL = 24


class _Interval(NamedTuple):
    """A node of the tree: part number ``place`` of the range divided into 2^``depth`` equal parts."""

    start: float
    end: float
    place: int = 0
    depth: int = 0

    @property
    def middle(self) -> float:
        return round(0.5 * (self.end + self.start), DIGITS)

    @property
    def left(self) -> _Interval:
        return _Interval(self.start, self.middle, 2 * self.place, self.depth + 1)

    @property
    def right(self) -> _Interval:
        return _Interval(self.middle, self.end, 2 * self.place + 1, self.depth + 1)


class BrownianNoise:
    """Standard normal noise from the increments of a Brownian path over sigma.

    ``sigmas``: any list whose smallest positive and largest values are the ends of the path. An increment is divided by
    the square root of its length, so that its variance is one. Sigmas are rounded to a millionth, so the noise of a
    step shorter than that is zero.

    A request takes about 25 draws for the frames, and as many tensors of their size are held, wherever the frames are
    in their segment (except for skipping earlier frames; see :class:`~redetail.sampling.noise.NormalStream`).
    """

    def __init__(self, frames: NoiseFrames, sigmas: Sequence[float]) -> None:
        low, high = min(sigma for sigma in sigmas if sigma > 0), max(sigmas)
        self._frames = frames
        self._root = _Interval(round(low, DIGITS), round(high, DIGITS))
        seed = np.random.SeedSequence(frames.seed, pool_size=POOL).generate_state(3)[0]
        self._whole = self._drawn(int(seed)) * math.sqrt(high - low)
        self._known: dict[_Interval, Tensor] = {}

    def __call__(self, sigma: float, sigma_next: float) -> Tensor:
        """Standard normal noise (F, C, h, w) for the step from ``sigma`` to ``sigma_next``."""
        low, high = sorted((sigma, sigma_next))
        increment = self._increment(round(low, DIGITS), round(high, DIGITS))
        return (increment if sigma < sigma_next else -increment) / math.sqrt(high - low)

    def _increment(self, low: float, high: float) -> Tensor:
        low, high = max(low, self._root.start), min(high, self._root.end)
        if low >= high:
            return self._whole.new_zeros(self._whole.shape)
        # The next request, slightly further down, mostly needs the nodes that this one used.
        known, self._known = self._known, {}
        return reduce(Tensor.add, self._covering(self._root, self._whole, low, high, known))

    def _covering(
        self, interval: _Interval, increment: Tensor, low: float, high: float, known: dict[_Interval, Tensor]
    ) -> Iterator[Tensor]:
        """The increments of the largest intervals that make up ``low`` .. ``high``, from left to right."""
        if (low, high) == (interval.start, interval.end):
            yield increment
            return
        left = known[interval] if interval in known else self._left(interval, increment)
        self._known[interval] = left
        middle = interval.middle
        if low < middle:
            yield from self._covering(interval.left, left, low, min(high, middle), known)
        if high > middle:
            yield from self._covering(interval.right, increment - left, max(low, middle), high, known)

    def _left(self, interval: _Interval, increment: Tensor) -> Tensor:
        """The increment over the left half, given that over the whole: a Brownian bridge."""
        key = (interval.place, interval.depth)
        seed = np.random.SeedSequence(self._frames.seed, spawn_key=key, pool_size=POOL).generate_state(4)[0]
        left, right = interval.middle - interval.start, interval.end - interval.middle
        share = 1 / (interval.end - interval.start)
        return left * increment * share + math.sqrt(left * right * share) * self._drawn(int(seed))

    def _drawn(self, seed: int) -> Tensor:
        return self._frames.stream(seed).draw()
