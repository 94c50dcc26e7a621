"""Stretches of time in which a subject is small."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HYSTERESIS = 1.15
"""How much larger than the limit a subject must become to be left alone, once it was below: a subject whose size
trembles around the limit would appear and go."""
SHORTEST = 8
"""Frames that a stretch below the limit needs: two fades and something between."""


def smaller_stretches(sides: NDArray[np.float64], limit: float) -> list[tuple[int, int]]:
    """First and one after the last frame of the stretches in which ``sides`` (F,) is below a limit, with hysteresis."""
    stretches: list[tuple[int, int]] = []
    inside = False
    for index, side in enumerate(sides.tolist()):
        was, inside = inside, side < (limit * HYSTERESIS if inside else limit)
        if inside and was:
            stretches[-1] = (stretches[-1][0], index + 1)
        elif inside:
            stretches.append((index, index + 1))
    return [one for one in stretches if one[1] - one[0] >= min(SHORTEST, len(sides))]
