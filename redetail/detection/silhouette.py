"""Finds the pixels of a picture that show people, with MediaPipe's selfie segmentation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from redetail.detection.litert import FOLDER, LiteNetwork
from redetail.detection.views import Square


class Silhouette:
    """Finds the pixels that show people. Do not share it between threads."""

    def __init__(self) -> None:
        self._network = LiteNetwork(FOLDER / "selfie_segmentation.tflite")
        self.side = self._network.side
        """Side of its masks, in pixels."""

    def look(self, rgb: NDArray[np.uint8], square: Square) -> NDArray[np.float32]:
        """The probability, 0..1, that each pixel of the square's picture shows a person, (side, side)."""
        seen = self._network.run(square.picture(rgb, self.side))
        return next(iter(seen.values()))[..., 0]
