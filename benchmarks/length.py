"""Peak memory and work space of runs of several lengths: neither may grow with the clip, but for the results.

    python benchmarks/length.py --frames 100 1000
    python benchmarks/length.py --frames 100 1000 5000 --engine bundled --size 350

Each run is a separate process. The clip is a pattern that moves; a box of ``--size`` pixels is detailed. The engine
"fake" is a formula that takes little time, so that the pipeline is measured; "bundled" is the bundled model. Results of
the fake engine hold noise, which cannot be compressed: its work space is the most that there can be.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
FRAME = 640, 480


def write_clip(path: Path, frames: int, size: tuple[int, int] = FRAME) -> None:
    """An H.264 clip of a soft pattern that moves."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"crf": "20", "preset": "ultrafast"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            wave = (128 + 90 * np.sin((x + index) / 9) * np.cos(y / 11)).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.repeat(wave[..., None], 3, 2), format="rgb24")))
        container.mux(stream.encode(None))


def measure(folder: str, frames: int, engine: str, size: int) -> dict[str, Any]:
    """One run: seconds, peak of resident memory, and the most that its work took on disk."""
    import redetail
    from redetail.engines import FakeEngine

    clip, most, over = Path(folder) / "clip.mp4", 0, threading.Event()
    write_clip(clip, frames)

    def watch() -> None:
        nonlocal most
        while not over.wait(0.05):
            most = max(most, sum(path.stat().st_size for path in Path(folder).glob(".*.work/*/*") if path.exists()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    options: dict[str, Any] = {"box": (40, 40, 40 + size, 40 + size), "max_size": size, "guide_size": size, "steps": 1}
    job = redetail.Job().overlay(source=clip, output=Path(folder) / "out.mp4", crop_factor=1.0, **options)
    started = time.perf_counter()
    redetail.run(job, engine=FakeEngine() if engine == "fake" else None, work=redetail.Work())
    seconds = time.perf_counter() - started
    over.set()
    watcher.join()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "frames": frames,
        "seconds": round(seconds, 1),
        "peak_memory_mb": round(peak / 1e6),
        "work_space_mb": round(most / 1e6, 1),
    }


def main() -> None:
    """Measure every length and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--engine", choices=("fake", "bundled"), default="fake")
    parser.add_argument("--size", type=int, default=350)
    options = parser.parse_args()
    for frames in options.frames:
        with (
            tempfile.TemporaryDirectory() as folder,
            ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
        ):
            told = pool.submit(measure, folder, frames, options.engine, options.size).result()
        print(json.dumps({"engine": options.engine, "size": options.size, **told}))


if __name__ == "__main__":
    main()
