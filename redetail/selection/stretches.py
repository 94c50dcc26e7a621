"""Stretches of time in which a subject is small."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HYSTERESIS = 1.15
"""How many times the limit a subject that was below it must reach before it is left alone again. Without this, the
detailing of a subject whose size varies around the limit would come and go."""
SHORTEST = 8
"""The fewest frames of a stretch below the limit: enough for two fades and something between them."""


def smaller_stretches(sides: NDArray[np.float64], limit: float) -> list[tuple[int, int]]:
    """First frame, and frame after the last, of each stretch in which ``sides`` (F,) is below ``limit``, with
    hysteresis."""
    stretches: list[tuple[int, int]] = []
    inside = False
    for index, side in enumerate(sides.tolist()):
        was, inside = inside, side < (limit * HYSTERESIS if inside else limit)
        if inside and was:
            stretches[-1] = (stretches[-1][0], index + 1)
        elif inside:
            stretches.append((index, index + 1))
    return [one for one in stretches if one[1] - one[0] >= min(SHORTEST, len(sides))]
