"""A codec on arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from redetail.engines.base import CropSource
from redetail.engines.latent import Codec


def encoded(codec: Codec, crops: NDArray[np.float32]) -> Tensor:
    return codec.encode(CropSource.of(crops), lambda: None)


def decoded(codec: Codec, latents: Tensor, crops: NDArray[np.float32]) -> NDArray[np.float32]:
    result = np.full(crops.shape, np.nan, np.float32)

    def write(start: int, pixels: NDArray[np.float32]) -> None:
        result[start : start + len(pixels)] = pixels

    codec.decode(latents, CropSource.of(crops), write, lambda: None)
    return result
