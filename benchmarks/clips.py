"""The shared clips, unchanged and softened, and clips made from pictures."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

Frames = NDArray[np.uint8]
FOLDER = ROOT / "tests" / "data" / "clips"
CLIPS = ("guitarist", "busker", "two_people")


def softened_and_original(name: str, frames: int) -> tuple[Frames, Frames]:
    """The first frames of a shared clip, softened as in ``make demo``, and unchanged."""
    from demo import soften

    from redetail.video import open_source

    clip = FOLDER / f"{name}.mp4"
    with tempfile.TemporaryDirectory() as folder:
        soft = Path(folder) / "soft.mp4"
        soften(clip, soft)
        source, original = (
            np.stack([one.pixels for one in open_source(path).frames(0, frames)]) for path in (soft, clip)
        )
    return source, original


def write_h264(path: str | Path, pictures: Iterable[Frames], size: tuple[int, int], crf: int = 20) -> None:
    """Pictures (h, w, 3) of a width and height as a clip of 25 frames per second."""
    options = {"crf": str(crf), "preset": "ultrafast"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
