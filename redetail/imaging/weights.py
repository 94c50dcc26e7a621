"""Linear filters along one axis, as banded weight matrices.

A resize, a blur and a sub-pixel shift are the same operation: a matrix with few entries per row, applied to rows and
then to columns. It is stored as dense bands, so that applying it takes a few small matrix products.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Kernel = Callable[[NDArray[np.float64]], NDArray[np.float64]]

_BAND = 64  # rows of a band: small enough that few zeros are multiplied, large enough for the matrix product


@dataclass(frozen=True, eq=False)
class AxisWeights:
    """A (count, length) matrix: output = matrix @ input along one axis.

    ``indices`` and ``weights`` are (count, taps): the inputs of each output, and their weights. Rows sum to one.
    """

    indices: NDArray[np.intp]
    weights: NDArray[np.float64]
    length: int

    @property
    def count(self) -> int:
        """Number of outputs."""
        return len(self.indices)

    @property
    def span(self) -> tuple[int, int]:
        """First and last (excluded) input that is used."""
        return int(self.indices.min()), int(self.indices.max()) + 1

    def within_span(self) -> AxisWeights:
        """The same filter for an input that was cut to its span."""
        first, last = self.span
        return AxisWeights(self.indices - first, self.weights, last - first)

    def part(self, start: int, stop: int) -> AxisWeights:
        """The filter that makes only the outputs ``start`` to ``stop`` (excluded)."""
        return AxisWeights(self.indices[start:stop], self.weights[start:stop], self.length)

    @property
    def identity(self) -> bool:
        """Whether the matrix changes nothing."""
        own = self.indices == np.arange(self.count)[:, None]
        return self.count == self.length and bool((own | (self.weights == 0)).all())

    def dense(self, start: int = 0, stop: int | None = None, first: int = 0, last: int | None = None) -> Floats:
        """The part of the matrix from row ``start`` to ``stop`` and column ``first`` to ``last``, float64."""
        indices, weights = self.indices[start:stop] - first, self.weights[start:stop]
        columns = (self.length if last is None else last) - first
        rows = np.arange(len(indices))[:, None] * columns
        flat: NDArray[np.float64] = np.bincount((rows + indices).ravel(), weights.ravel(), len(indices) * columns)  # type: ignore[assignment]
        return flat.reshape(len(indices), columns)

    def rows(self, planes: Floats) -> Floats:
        """(..., length, n) -> (..., count, n), in the dtype of ``planes`` (themselves, where nothing changes)."""
        if self.identity:
            return planes
        out = np.empty((*planes.shape[:-2], self.count, planes.shape[-1]), planes.dtype)
        for start, stop, first, last in self._bands():
            band = self.dense(start, stop, first, last).astype(planes.dtype)
            np.matmul(band, planes[..., first:last, :], out=out[..., start:stop, :])
        return out

    def columns(self, planes: Floats) -> Floats:
        """(..., n, length) -> (..., n, count), in the dtype of ``planes`` (themselves, where nothing changes)."""
        if self.identity:
            return planes
        out = np.empty((*planes.shape[:-1], self.count), planes.dtype)
        for start, stop, first, last in self._bands():
            band = self.dense(start, stop, first, last).astype(planes.dtype)
            np.matmul(planes[..., first:last], band.T, out=out[..., start:stop])
        return out

    def _bands(self) -> list[tuple[int, int, int, int]]:
        """(first row, last row, first column, last column) of each band, ends excluded."""
        edges = [*range(0, self.count, _BAND), self.count]
        parts = [(a, b, self.indices[a:b]) for a, b in itertools.pairwise(edges)]
        return [(a, b, int(part.min()), int(part.max()) + 1) for a, b, part in parts]


def lanczos3(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sinc windowed by its own main lobe, with three lobes per side (Duchon 1979)."""
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


def triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear interpolation: never leaves the range of its inputs."""
    return np.asarray(np.maximum(0.0, 1 - np.abs(x)))


def resampling(
    start: float, step: float, count: int, length: int, kernel: Kernel = lanczos3, *, antialias: bool = True
) -> AxisWeights:
    """Weights of ``count`` samples of a row of ``length`` pixels, ``step`` pixels apart.

    Sample k lies at ``start + (k + 0.5) * step``, pixel i at i + 0.5. If samples are further apart than pixels, the
    kernel is widened by ``step``, so that structure too fine for the result is averaged instead of aliased
    (``antialias``). Beyond the ends, the last pixel repeats.
    """
    width = max(1.0, step) if antialias else 1.0
    reach = int(np.ceil(3 * width)) if kernel is lanczos3 else int(np.ceil(width))
    centers = start + (np.arange(count) + 0.5) * step - 0.5
    taps = np.floor(centers)[:, None] + np.arange(-reach, reach + 2)
    weights = kernel((taps - centers[:, None]) / width)
    weights[np.abs(weights) < 1e-12] = 0.0  # sinc of a whole number is not exactly zero in floating point
    weights /= weights.sum(axis=1, keepdims=True)
    return AxisWeights(np.clip(taps, 0, length - 1).astype(np.intp), weights, length)


def gaussian(length: int, width: int, sigma: float) -> AxisWeights:
    """A Gaussian blur with ``width`` taps (odd); the picture is mirrored at its ends without repeating the last
    pixel."""
    offsets = np.arange(width) - width // 2
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    taps = np.arange(length)[:, None] + offsets
    period = max(1, 2 * (length - 1))
    mirrored = np.abs((taps + length - 1) % period - (length - 1)) if length > 1 else np.zeros_like(taps)
    return AxisWeights(mirrored.astype(np.intp), np.tile(weights, (length, 1)), length)
