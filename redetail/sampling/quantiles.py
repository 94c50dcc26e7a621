"""Quantiles of the symmetric Beta distribution."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# The terms of the series below at least halve, as does the interval of the bisection: both end at float64 rounding.
TERMS, HALVINGS = 60, 60


def symmetric_beta_quantiles(probabilities: Array, shape: float) -> Array:
    """The points at which the distribution function of Beta(shape, shape) has the values ``probabilities`` (0..1).

    They are found by bisection of the hypergeometric series (Abramowitz and Stegun 26.5.4) on the lower half; the upper
    half mirrors it. The array can have any shape.
    """
    lower = np.minimum(probabilities, 1 - probabilities)
    low, high = np.zeros_like(lower), np.full_like(lower, 0.5)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        above = _lower_half(middle, shape) > lower
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    low[lower == 0.5] = 0.5  # the median is known, and schedules round it
    return np.where(probabilities > 0.5, 1 - low, low)


def _lower_half(x: Array, shape: float) -> Array:
    """Distribution function of Beta(shape, shape) at x <= 1/2: x^a / B(a, a) * sum of (1 - a)_k x^k / (k! (a + k))."""
    coefficient, total = 1.0, np.zeros_like(x)
    for k in range(TERMS):
        total += coefficient / (shape + k) * x**k
        coefficient *= (k + 1 - shape) / (k + 1)
    result: Array = x**shape * total * math.gamma(2 * shape) / math.gamma(shape) ** 2
    return result
