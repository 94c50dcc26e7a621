"""The gain of following a subject over time, against simpler ways to detail it with the same model.

    python benchmarks/detailing.py
    python benchmarks/detailing.py --frames 8 --clips busker
    python benchmarks/detailing.py --ways "redetail detail" Real-ESRGAN

The shared clips are softened to half their size and back and compressed, as in ``make demo``, and detailed

- frame by frame: every frame alone, in the box that the detector finds in it, with a separate seed;
- in a fixed crop: all frames together, in one window that contains all positions of the subject;
- as ``redetail detail`` does it by default;
- on request, by Real-ESRGAN's animevideov3 (training/esrgan.py says what that needs): whole frames, shrunk to half
  their size, which keeps all of their detail, and enlarged to twice that.

``redetail.compare`` measures all of them against the originals. Prints Markdown.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import date

import numpy as np
from clips import CLIPS, ROOT, Frames, softened_and_original  # which finds redetail next to this folder

import redetail
from redetail.engines.base import Engine
from redetail.evaluate.comparison import Comparison

Way = Callable[[Frames, Engine], Frames]


def frame_by_frame(frames: Frames, engine: Engine) -> Frames:
    """Every frame alone."""
    found = redetail.detect(frames).per_frame
    done = []
    for number, (frame, faces) in enumerate(zip(frames, found, strict=True)):
        boxes = [tuple(map(round, face.box.as_tuple())) for face in faces if face.confidence >= 0.6]
        alone = frame[None]
        done.append(redetail.detail(alone, box=boxes, engine=engine, seed=number).frames[0] if boxes else frame)
    return np.stack(done)


def fixed_crop(frames: Frames, engine: Engine) -> Frames:
    """All frames in one window for each subject."""
    regions = redetail.track(redetail.detect(frames), (frames.shape[2], frames.shape[1]))
    boxes = [(*map(float, one.boxes[:, :2].min(0)), *map(float, one.boxes[:, 2:].max(0))) for one in regions]
    return redetail.detail(frames, box=boxes, engine=engine).frames


def by_default(frames: Frames, engine: Engine) -> Frames:
    """As the command does it."""
    return redetail.detail(frames, engine=engine).frames


def by_realesrgan(frames: Frames, engine: Engine) -> Frames:
    """Another model on whole frames; the engine is not used."""
    sys.path.insert(0, str(ROOT / "training"))
    from degrade import resize
    from esrgan import enlarge, load_esrgan

    height, width = frames.shape[1:3]
    return resize(
        enlarge(load_esrgan(2, 1), resize(frames, (height // 2, width // 2), "area")), (height, width), "cubic"
    )


WAYS: dict[str, Way] = {
    "frame by frame": frame_by_frame,
    "fixed crop": fixed_crop,
    "redetail detail": by_default,
    "Real-ESRGAN": by_realesrgan,
}


def compared(name: str, frames: int, engine: Engine, ways: Mapping[str, Way]) -> Comparison:
    """All ways on the first frames of a shared clip, measured."""
    source, original = softened_and_original(name, frames)
    results = {way: make(source, engine) for way, make in ways.items()}
    return redetail.compare(source, results, original=original)


def rows(name: str, measured: Comparison) -> Iterator[str]:
    """A row for each subject and way."""
    for clip in measured.clips:
        for one in clip.subjects:
            if one is not None:
                vmaf = "-" if one.vmaf is None else f"{one.vmaf:.1f}"
                seam = "-" if one.seam is None else f"{one.seam:.1f}"
                fidelity = f"{one.psnr:.2f} | {one.ssim:.3f} | {vmaf}"
                flicker = f"{one.flicker:.2f} | {one.flicker_ratio:.2f}"
                yield f"| {name}, {one.label} | {clip.name} | {fidelity} | {flicker} | {seam} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Ways to detail a subject with the same model, measured.")
    parser.add_argument("--clips", nargs="+", choices=CLIPS, default=list(CLIPS))
    parser.add_argument("--frames", type=int, default=24, help="of each clip [24]")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS)[:3], help="[the first three]")
    options = parser.parse_args()
    engine = redetail.load_engine()
    print(f"{date.today()}, {platform.machine()}, {options.frames} frames of each clip, {engine.capabilities.name}\n")
    print("| clip | way | PSNR dB | SSIM | VMAF | warped error | ratio to the source's | seam |\n" + "|---" * 8 + "|")
    for name in options.clips:
        measured = compared(name, options.frames, engine, {way: WAYS[way] for way in options.ways})
        print("\n".join(rows(name, measured)), flush=True)


if __name__ == "__main__":
    main()
