"""Frames per second of the bundled model: `python benchmarks/restoration.py`.

Sixteen crops of 256x256 pixels (a piece of a real clip), at one step and at five, in each precision. Neighbours are
aligned once, whatever the number of steps, and this time is reported separately.
"""

from __future__ import annotations

import argparse
import logging
import platform
import time
from collections.abc import Callable
from datetime import date
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from redetail.engines import enhance_arrays, load_engine
from redetail.imaging.align import aligned_differences
from redetail.settings import resolve
from redetail.video import open_source

CLIP = Path(__file__).parents[1] / "tests" / "data" / "clips" / "guitarist.mp4"
FRAMES, SIDE, REACH = 16, 256, 3
log = logging.getLogger("benchmark")


def crops() -> np.ndarray:
    """(FRAMES, SIDE, SIDE, 3) float32 0..1."""
    frames = [frame.pixels for frame in islice(open_source(CLIP).frames(), FRAMES)]
    return np.stack(frames)[:, 40 : 40 + SIDE, 40 : 40 + SIDE].astype(np.float32) / 255


def fastest(work: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of some runs, after one that does not count."""
    work()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def main() -> None:
    """Measure and log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    clip = crops()
    mask = np.ones((1, SIDE, SIDE), np.float32)
    log.info("%s, %d threads, %s", platform.machine(), torch.get_num_threads(), date.today())
    seconds = fastest(lambda: list(aligned_differences(clip, REACH)), options.repeats)
    log.info("alignment: %.0f ms a frame", 1000 * seconds / FRAMES)
    for dtype in ("bfloat16", "float32"):
        engine = load_engine(device=options.device, dtype=dtype)
        for steps in (1, 5):
            settings = resolve({"steps": steps}, engine.capabilities.defaults)
            seconds = fastest(lambda: enhance_arrays(engine, clip, mask, settings), options.repeats)  # noqa: B023
            rate = FRAMES / seconds
            log.info("%s, %d steps: %.1f frames a second, %.1f steps a second", dtype, steps, rate, rate * steps)


if __name__ == "__main__":
    main()
