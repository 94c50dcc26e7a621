"""What ``--scale 2`` gains over enlarging by a filter.

    python benchmarks/enlarging.py

The shared clips are softened as ``make demo`` does it, enlarged to twice their size in several ways, and compared with
the originals that a Lanczos filter enlarged: inside each face, and over whole frames. Prints Markdown.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from datetime import date

import cv2
import numpy as np
from clips import CLIPS, Frames, softened_and_original  # which finds redetail next to this folder

import redetail
from redetail.engines.base import Engine


def filtered(frames: Frames, kernel: int) -> Frames:
    """Twice the size by a filter of OpenCV."""
    return np.stack([cv2.resize(frame, None, fx=2, fy=2, interpolation=kernel) for frame in frames])


def detailed(frames: Frames, engine: Engine, **options: object) -> Frames:
    """What the command does with these options."""
    return redetail.detail(frames, engine=engine, **options).frames


WAYS: dict[str, Callable[[Frames, Engine], Frames]] = {
    "bicubic": lambda frames, engine: filtered(frames, cv2.INTER_CUBIC),
    "detailed, then bicubic": lambda frames, engine: filtered(detailed(frames, engine), cv2.INTER_CUBIC),
    "`--scale 2`": lambda frames, engine: detailed(frames, engine, scale=2),
    "`--scale 2 --background model`": lambda frames, engine: detailed(frames, engine, scale=2, background="model"),
}


def psnr(frames: Frames, original: Frames) -> float:
    """Over whole frames, in dB."""
    error = np.mean((frames.astype(np.float32) - original) ** 2)
    return float(10 * np.log10(255**2 / error))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clips", nargs="+", choices=CLIPS, default=list(CLIPS))
    parser.add_argument("--frames", type=int, default=12, help="of each clip [12]")
    options = parser.parse_args()
    engine = redetail.load_engine()
    print(f"{date.today()}, {platform.machine()}, {options.frames} frames of each clip, {engine.capabilities.name}\n")
    print("| clip | way | PSNR dB and SSIM in each face | PSNR dB of frames |\n" + "|---" * 4 + "|")
    for name in options.clips:
        source, original = softened_and_original(name, options.frames)
        large = filtered(original, cv2.INTER_LANCZOS4)
        results = {way: make(source, engine) for way, make in WAYS.items()}
        for one in redetail.compare(source, results, original=large).results:
            faces = "; ".join(f"{face.psnr:.2f}, {face.ssim:.3f}" for face in one.subjects if face is not None)
            print(f"| {name} | {one.name} | {faces} | {psnr(results[one.name], large):.2f} |", flush=True)


if __name__ == "__main__":
    main()
