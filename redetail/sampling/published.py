"""Schedules that others optimised and published as tables of sigmas.

They were optimised for certain noise levels, but are used unchanged with any model.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from redetail.errors import UnknownNameError
from redetail.sampling.path import NoisePath

# Sabour et al. 2024, arXiv 2404.14507, table 1, with more digits from its project page; for 10 steps.
ALIGN_YOUR_STEPS = {
    "SD1": "14.6146412293 6.4745760956 3.8636745985 2.6946151520 1.8841921177 1.3943805092 0.9642583904 0.6523686016 "
    "0.3977456272 0.1515232662 0.0291671582",
    "SDXL": "14.6146412293 6.3184485287 3.7681790315 2.1811480769 1.3405244945 0.8620721141 0.5550693289 0.3798540708 "
    "0.2332364134 0.1114188177 0.0291671582",
    "SVD": "700 54.5 15.886 7.977 4.248 1.789 0.981 0.403 0.173 0.034 0.002",
}
# The last sigma of every GITS row, replaced by 0 in use; rows for more than 20 steps are interpolated from it.
GITS_LAST = 0.02916753
GITS_STEPS = range(2, 21)


def align_your_steps(path: NoisePath, steps: int, *, name: str) -> list[float]:
    """Align Your Steps (Sabour et al. 2024, arXiv 2404.14507); interpolated for numbers of steps other than 10."""
    sigmas = [float(sigma) for sigma in ALIGN_YOUR_STEPS[name].split()]
    return [*_resampled(sigmas, steps)[:-1], 0.0]


def gits(path: NoisePath, steps: int, *, coefficient: float) -> list[float]:
    """GITS with the sigmas of :func:`gits_sigmas`, whatever the noise table."""
    return gits_sigmas(steps, coefficient)


def gits_sigmas(steps: int, coefficient: float) -> list[float]:
    """GITS (Chen et al. 2024, arXiv 2405.11326): a row for each number of steps from 2 to 20, interpolated above.

    A single step is that of the recorded runs, the last of twenty; use another schedule for it. Raises
    :class:`~redetail.errors.UnknownNameError` for a coefficient that the table does not have.
    """
    rows = _gits_rows()
    key = f"{coefficient:.2f}"
    if key not in rows or abs(coefficient - float(key)) > 1e-9:
        raise UnknownNameError("GITS coefficient", coefficient, rows)
    if steps == 1:
        return [rows[key][-1][-1], 0.0]
    if steps in GITS_STEPS:
        return [*rows[key][GITS_STEPS.index(steps)], 0.0]
    return [*_resampled([*rows[key][-1], GITS_LAST], steps)[:-1], 0.0]


def _resampled(sigmas: Sequence[float], steps: int) -> list[float]:
    """steps + 1 sigmas along the same curve: ln sigma is linear between evenly spaced points."""
    if steps == len(sigmas) - 1:
        return list(sigmas)
    places = np.linspace(0, 1, steps + 1)
    resampled: list[float] = np.exp(np.interp(places, np.linspace(0, 1, len(sigmas)), np.log(sigmas))).tolist()
    return resampled


@functools.cache
def _gits_rows() -> dict[str, list[list[float]]]:
    """Coefficient -> rows of sigmas, without the last, for 2 to 20 steps."""
    stored: dict[str, Any] = json.loads(files("redetail.sampling").joinpath("gits.json").read_text())
    levels = stored["levels"]
    return {key: [[levels[index] for index in row] for row in rows] for key, rows in stored["rows"].items()}
