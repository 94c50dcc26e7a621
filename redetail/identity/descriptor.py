"""Descriptors of faces: 128 numbers for each face, which are close to one another for two faces of one person.

Descriptors are biometric data. They stay in memory with the subjects that were found, and are never written to a file
(docs/subjects.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from redetail.identity.align import Points, aligned_face

if TYPE_CHECKING:
    from redetail.identity.network import FaceNetwork

Descriptor = NDArray[np.float32]
"""(128,) float32."""

CHIP = 150
"""Width and height in pixels of the aligned face that the network takes."""
MIN_SIDE = 30.0
"""Shorter side of a face box, in pixels, from which its descriptor is used."""
SAME = 0.6
"""Distance up to which two faces are taken for one person: the threshold that dlib recommends (King 2017)."""


class FaceDescriber:
    """Describes faces with the bundled network on the CPU; the network is loaded for the first face in the process."""

    def describe(self, frame: NDArray[np.uint8] | NDArray[np.uint16], landmarks: Points) -> Descriptor:
        """The descriptor (128,) of the face with these landmarks (5, 2) in an RGB frame (H, W, 3).

        Landmarks are x, y in pixels of the frame, as in :attr:`redetail.region.Detection.landmarks`. Raises
        :class:`~redetail.errors.RegionError` for landmarks of another shape.
        """
        face = aligned_face(frame, np.asarray(landmarks, np.float64), CHIP)
        return _network().described(face)


@cache
def _network() -> FaceNetwork:
    from redetail.identity.network import load_face_network  # imports torch

    return load_face_network()


def distance(one: Descriptor, other: Descriptor) -> float:
    """Euclidean distance: 0 for the same picture, about 0.3 to 0.5 for one person, 0.6 and more for two people."""
    return float(np.linalg.norm(one - other))


def mean_descriptor(descriptors: Sequence[Descriptor]) -> Descriptor | None:
    """The mean of several descriptors of one person; None if there are none."""
    return np.mean(descriptors, axis=0, dtype=np.float32) if descriptors else None
