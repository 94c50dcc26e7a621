"""What of a picture is a person, by MediaPipe's selfie segmentation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from redetail.detection.litert import FOLDER, LiteNetwork
from redetail.detection.views import Square


class Silhouette:
    """Which pixels show people. Not to be shared between threads."""

    def __init__(self) -> None:
        self._network = LiteNetwork(FOLDER / "selfie_segmentation.tflite")
        self.side = self._network.side
        """Of its masks, in pixels."""

    def look(self, rgb: NDArray[np.uint8], square: Square) -> NDArray[np.float32]:
        """How sure it is, 0..1, that a person is seen in each pixel of the square's picture, (side, side)."""
        seen = self._network.run(square.picture(rgb, self.side))
        return next(iter(seen.values()))[..., 0]
