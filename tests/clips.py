"""Frames of the real clips under tests/data/clips, for tests that need pictures and no video layer."""

from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

CLIPS = Path(__file__).parent / "data" / "clips"


@cache
def clip_frames(name: str) -> list[NDArray[np.uint8]]:
    """All frames of a clip, (H, W, 3) RGB uint8; shared between tests, so never change them in place."""
    with av.open(CLIPS / f"{name}.mp4") as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for frame in frames:
        frame.flags.writeable = False
    return frames
