"""Peak memory and work space of runs of several lengths: apart from the results, neither may grow with the clip.

    python benchmarks/length.py --frames 100 1000
    python benchmarks/length.py --frames 100 1000 5000 --engine bundled --clip tests/data/clips/guitarist.mp4
    python benchmarks/length.py --frames 300 --engine bundled --clip tests/data/clips/guitarist.mp4 \
        --part 85,20,285,132 --enlarge 1920x1080

Each run is a separate process. Without ``--clip`` the clip is a pattern that moves, and a box of ``--size`` pixels is
detailed. With it, that clip is played forwards and backwards to the wanted length, and its faces are detailed with the
usual settings. The engine "fake" is a formula that takes little time, so that the pipeline is measured; "bundled" is
the bundled model. Results of the fake engine contain noise, which cannot be compressed, so its work space is the
largest possible.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import threading
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from clips import write_h264  # which finds redetail next to this folder
from processes import alone

FRAME = 640, 480


def write_clip(path: Path, frames: int, size: tuple[int, int] = FRAME) -> None:
    """An H.264 clip of a soft pattern that moves."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    waves = ((128 + 90 * np.sin((x + n) / 9) * np.cos(y / 11)).astype(np.uint8) for n in range(frames))
    write_h264(path, (np.repeat(wave[..., None], 3, 2) for wave in waves), size)


def swung(source: Path, path: Path, frames: int, part: str, enlarged: str) -> None:
    """A clip, or ``part`` X1,Y1,X2,Y2 of it at another size WxH, forwards and backwards until it has ``frames``."""
    with av.open(str(source)) as container:
        pictures = [frame.to_image() for frame in container.decode(video=0)]
    if part:
        pictures = [picture.crop([int(side) for side in part.split(",")]) for picture in pictures]
    if enlarged:
        width, height = map(int, enlarged.split("x"))
        pictures = [picture.resize((width, height), 3) for picture in pictures]  # 3: bicubic
    there_and_back = pictures + pictures[-2:0:-1]
    write_h264(path, map(np.asarray, islice(cycle(there_and_back), frames)), pictures[0].size)


def measure(folder: str, frames: int, options: argparse.Namespace) -> dict[str, Any]:
    """One run: seconds, peak of resident memory, and the most that its work took on disk."""
    import redetail
    from redetail.engines import FakeEngine

    clip, most, over = Path(folder) / "clip.mp4", 0, threading.Event()
    job = redetail.Job().overlay(source=clip, output=Path(folder) / "out.mp4", steps=1)
    if options.clip:
        alone(swung, options.clip, clip, frames, options.part, options.enlarge)  # its pictures do not count
    else:
        write_clip(clip, frames)
        size = options.size
        box = {"box": (40, 40, 40 + size, 40 + size), "max_size": size, "guide_size": size}
        job = job.overlay(**box, crop_factor=1.0)

    def watch() -> None:
        nonlocal most
        while not over.wait(0.05):
            most = max(most, sum(path.stat().st_size for path in Path(folder).glob(".*.work/*/*") if path.exists()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    result = redetail.run(job, engine=FakeEngine() if options.engine == "fake" else None, work=redetail.Work())
    seconds = time.perf_counter() - started
    over.set()
    watcher.join()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "frames": frames,
        "crops": [f"{len(crop.region)} of {crop.working}" for crop in result.report.plan.crops],
        "seconds": round(seconds, 1),
        "peak_memory_mb": round(peak / 1e6),
        "work_space_mb": round(most / 1e6, 1),
    }


def main() -> None:
    """Measure every length and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--engine", choices=("fake", "bundled"), default="fake")
    parser.add_argument("--size", type=int, default=350, help="of the box in the pattern [350]")
    parser.add_argument("--clip", type=Path, help="a clip with faces, in place of the pattern")
    parser.add_argument("--part", default="", help="X1,Y1,X2,Y2: only this part of the clip")
    parser.add_argument("--enlarge", default="", help="WxH: enlarge the clip")
    options = parser.parse_args()
    for frames in options.frames:
        with tempfile.TemporaryDirectory() as folder:
            told = alone(measure, folder, frames, options)
        print(json.dumps({"engine": options.engine, **told}), flush=True)


if __name__ == "__main__":
    main()
