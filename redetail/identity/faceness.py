"""Determines whether a descriptor belongs to a face: other things that look like faces have other descriptors."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from redetail.identity.descriptor import Descriptor

WEIGHTS = Path(__file__).parents[1] / "bundled" / "face_descriptor" / "faceness.safetensors"


def faceness(descriptor: Descriptor) -> float:
    """How similar a descriptor (128,) is to those of faces; above 0, it is more similar to them than to those of other
    things.

    A linear discriminant (Fisher 1936), fitted by ``training/faceness.py``. It is weak for profiles and drawings,
    and for single descriptors; use the mean of several.
    """
    direction, offset = _discriminant()
    return float(descriptor @ direction) + offset


@cache
def _discriminant() -> tuple[NDArray[np.float32], float]:
    from safetensors.numpy import load_file

    weights = load_file(WEIGHTS)
    return weights["direction"], float(weights["offset"][0])
