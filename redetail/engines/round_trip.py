"""Restores in the result what a VAE loses when it encodes and decodes.

A VAE does not return its input exactly: fine texture is lost and colours shift. Where nothing was re-diffused, that is
the only change. So the result is source + decode(refined) - decode(encode(source)), which adds the difference that the
network made to the source's own pixels.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from redetail.engines.base import CropSource, Pixels, Write


@contextmanager
def round_trip_cancelled(crops: CropSource, decode_source: Callable[[Write], None], write: Write) -> Iterator[Write]:
    """A ``write`` that adds what the VAE lost of the ``crops`` before it passes pixels on.

    ``decode_source`` writes decode(encode(crops)). The losses of all frames wait in a temporary file in half precision,
    which suffices since they are small: near 0.1, float16 is exact to 0.00003.
    """
    with tempfile.TemporaryFile(prefix="redetail-") as file:
        lost = np.memmap(file, np.float16, "w+", shape=crops.shape)

        def keep(start: int, pixels: Pixels) -> None:
            stop = start + len(pixels)
            lost[start:stop] = crops.read(start, stop) - pixels

        def add(start: int, pixels: Pixels) -> None:
            write(start, np.clip(pixels + lost[start : start + len(pixels)].astype(np.float32), 0, 1))

        decode_source(keep)
        yield add
