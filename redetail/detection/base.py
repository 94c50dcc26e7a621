"""The interface of detectors: a detector says who is in a frame.

Detectors look at single frames and remember nothing; following a subject is the tracker's job.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from redetail.errors import InputError
from redetail.region import Detection

RGB = NDArray[np.uint8] | NDArray[np.uint16]
"""(H, W, 3) upright picture: uint8 0..255 or uint16 0..65535."""


class Detector(Protocol):
    """Finds subjects in a frame."""

    def detect(self, frame: RGB) -> list[Detection]:
        """All subjects of ``frame``, most confident first; boxes lie inside the frame.

        Uncertain ones are reported, too, because the tracker keeps subjects alive with them, so check ``confidence``
        before you use a single detection. Raises :class:`~redetail.errors.InputError` for anything but a picture.
        """
        ...


def to_uint8(frame: RGB) -> NDArray[np.uint8]:
    """The picture with 8 bits per channel; raises InputError unless it is (H, W, 3) uint8 or uint16."""
    if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape or frame.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"A frame must be an array (height, width, 3) of uint8 or uint16, not {frame.shape} of {frame.dtype}."
        )
    if frame.dtype == np.uint16:
        return (frame >> 8).astype(np.uint8)
    return frame.astype(np.uint8, copy=False)
