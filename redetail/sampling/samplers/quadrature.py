"""Integrals of interpolating polynomials: the weights of multistep methods."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# Exact for polynomials up to degree 31, and to rounding for an exponential over any step that samplers take.
POINTS = 16


@functools.cache
def _gauss_legendre() -> tuple[Array, Array]:
    points, weights = np.polynomial.legendre.leggauss(POINTS)
    return points, weights


def gauss(start: float, stop: float) -> tuple[Array, Array]:
    """Points and weights that integrate a smooth function from ``start`` to ``stop`` (weights sum to stop - start)."""
    points, weights = _gauss_legendre()
    half = (stop - start) / 2
    return start + half * (points + 1), half * weights


def lagrange_integrals(nodes: Sequence[float], points: Array, weights: Array) -> list[float]:
    """Sum over ``points`` of weight * l_j for each node j; l_j is 1 at its node and 0 at the others.

    An integral of a function known at ``nodes`` is then the sum of its values times these.
    """
    integrals = []
    for node in nodes:
        basis = np.ones_like(points)
        for other in nodes:
            if other != node:
                basis *= (points - other) / (node - other)
        integrals.append(float(basis @ weights))
    return integrals
