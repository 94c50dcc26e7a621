"""What prompts do: `python training/prompts.py --model FOLDER --yunet ONNX --output OUT [--media FOLDER ...]`.

Reserved clips, 192x192 around the face, each with one kind of damage and with all three; one row per prompt. Figures:
PSNR gain in dB over leaving the crop alone, and detail, the mean difference of neighbouring pixels over that of the
crop. Writes OUT/prompts.md.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from degrade import Degradation
from evaluate import with_engine
from measure import psnr
from subjects import Clip, reserved_clips, subjects

from redetail.engines import load_engine

log = logging.getLogger("prompts")

DAMAGES = {
    "half size": Degradation(factor=2.0),
    "noise of 8 levels": Degradation(noise=8.0, seed=1),
    "JPEG 50": Degradation(codec="jpeg", quality=50),
    "all three": Degradation(factor=2.0, noise=5.0, codec="jpeg", quality=60, seed=1),
}
PROMPTS = (  # (prompt, negative, cfg)
    ("", "", 1.0),
    ("sharpen", "", 1.0),
    ("denoise", "", 1.0),
    ("deblock", "", 1.0),
    ("denoise, deblock", "", 1.0),
    ("(sharpen:0.5), denoise, deblock", "", 1.0),
    ("denoise, deblock", "", 1.5),
    ("denoise, deblock", "sharpen", 1.5),
    ("keep", "", 1.0),
)


def detail(clip: Clip) -> float:
    """Mean absolute difference of neighbouring pixels."""
    values = clip.astype(np.float32)
    return float(np.abs(np.diff(values, axis=1)).mean() + np.abs(np.diff(values, axis=2)).mean()) / 2


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--yunet", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--media", type=Path, nargs="*", default=[])
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    options.output.mkdir(parents=True, exist_ok=True)
    engine = load_engine(options.model, device="cpu")
    clips = reserved_clips(options.media, options.frames)
    crops = {name: subjects(clips, how, options.yunet) for name, how in DAMAGES.items()}
    lines = ["| prompt | negative | cfg | " + " | ".join(f"{name}: gain dB | detail" for name in DAMAGES) + " |"]
    lines.append("|---" * (3 + 2 * len(DAMAGES)) + "|")
    for prompt, negative, cfg in PROMPTS:
        restore = with_engine(engine, prompt=prompt, negative=negative, cfg=cfg)
        cells = []
        for damaged in crops.values():
            pairs = [(crop, restore(crop)) for crop in damaged]
            gains = [psnr(clip, crop.original) - psnr(crop.soft, crop.original) for crop, clip in pairs]
            details = [detail(clip) / detail(crop.soft) for crop, clip in pairs]
            cells.append(f"{np.mean(gains):+.2f} | {np.mean(details):.2f}")
        lines.append(f"| {prompt or '(none)'} | {negative or '(none)'} | {cfg:g} | " + " | ".join(cells) + " |")
        log.info("%s", lines[-1])
    (options.output / "prompts.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
