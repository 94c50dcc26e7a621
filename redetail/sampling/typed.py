"""Schedules typed as text: sigmas from high to low, separated by commas."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from redetail.errors import SettingsError


def is_typed(text: str) -> bool:
    """Whether the text for a scheduler is a list of numbers rather than a name."""
    return re.match(r"[\s\[(]*[+-]?\.?\d", text) is not None


def parsed_sigmas(text: str) -> list[float]:
    """Numbers separated by commas, semicolons or blanks: two or more, each smaller than the one before, from 0 up.

    Raises :class:`~redetail.errors.SettingsError` for anything else.
    """
    words = [word for word in re.split(r"[\s,;]+", text.strip().strip("[]()")) if word]
    values = [_number(word, place) for place, word in enumerate(words, 1)]
    if len(values) < 2:
        raise SettingsError("The list of sigmas needs at least two numbers, for example 14.6, 7.1, 2.5, 0.")
    for place, (high, low) in enumerate(pairwise(values), 2):
        if low >= high:
            raise SettingsError(
                f"The list of sigmas has {low:g} at position {place}, after {high:g}; each number must be smaller than "
                "the one before."
            )
    return values


def resampled(sigmas: Sequence[float], steps: int) -> list[float]:
    """steps + 1 sigmas along the same curve, from the same first to the same last: linear in the logarithm."""
    if steps == len(sigmas) - 1:
        return list(sigmas)
    if sigmas[-1] > 0:
        return _along(sigmas, steps + 1)
    return [*_along(sigmas[:-1], steps), 0.0]


def _along(sigmas: Sequence[float], count: int) -> list[float]:
    """``count`` positive sigmas from the first to the last; a single one is the first."""
    places = np.linspace(0, 1, count)
    curve: list[float] = np.exp(np.interp(places, np.linspace(0, 1, len(sigmas)), np.log(sigmas))).tolist()
    return curve


def _number(word: str, place: int) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise SettingsError(
            f"The list of sigmas has {word!r} at position {place}; give only numbers that are 0 or more, as in 14.6, "
            "7.1, 2.5, 0."
        )
    return value
