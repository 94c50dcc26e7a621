"""How much memory the bundled model takes for requests of several lengths and sizes (Linux).

    python benchmarks/engine_memory.py

Prints the peak beyond the loaded model, in bytes per pixel, and the declared cost.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
STATUS = Path("/proc/self/status")


def status(name: str) -> int:
    """Bytes that the kernel reports for this process."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Measure every size and print it."""
    import redetail
    from redetail.engines.base import CropSource, Request
    from redetail.settings import resolve

    engine = redetail.load_engine(device="cpu")
    settings, cost = resolve({}, engine.capabilities.defaults), engine.capabilities.cost
    loaded = status("VmRSS")
    for frames, height, width in ((16, 64, 64), (16, 256, 256), (16, 256, 448), (48, 192, 192), (16, 464, 768)):
        noise = np.random.default_rng(0).random((height + frames, width, 3), np.float32)

        def read(start: int, stop: int, noise: np.ndarray = noise, height: int = height) -> np.ndarray:
            return np.stack([noise[index : index + height] for index in range(start, stop)])

        def mask(start: int, stop: int, shape: tuple[int, int] = (height, width)) -> np.ndarray:
            return np.ones((stop - start, *shape), np.float32)

        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        started, pixels = time.process_time(), frames * height * width
        engine.run(
            Request(
                crops=CropSource(read, frames, redetail.Size(width, height)),
                mask=mask,
                write=lambda start, pixels: None,
                settings=settings,
            )
        )
        window = cost.window_bytes * min(frames, 16) * height * width
        declared = cost.stretch_bytes * pixels + window + cost.request_bytes
        told = {
            "frames": frames,
            "size": f"{width}x{height}",
            "bytes_per_pixel": round((status("VmHWM") - loaded) / pixels),
            "declared": round(declared / pixels),
            "cpu_seconds": round(time.process_time() - started, 1),
        }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
