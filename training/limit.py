"""What a linear filter can gain, and from which pixels: `python training/limit.py --data DATA`.

Fits, by least squares, the filter that brings the luma of softened clips closest to the original: from 7x7 pixels of
the frame alone, and with 3x3 pixels of each neighbour as well, aligned (see `redetail.imaging.align`) or not. Fitted on
some clips and measured on others, it shows what a source of information can contribute before a network is trained on
it. Logs the mean gain in dB of PSNR over the softened input.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from data import load_index
from degrade import Degradation, damage, resize
from subjects import SOFTENINGS

from redetail.imaging.align import aligned_differences

log = logging.getLogger("limit")

FRAMES, SIDE, BORDER = 20, 288, 8
REACHES = (1, 2, 3, 6)
FITTED, MEASURED = (8, 12), (10,)  # frames of a clip
SHARE = 6000  # pixels of a frame that are fitted to


def patches(picture: np.ndarray, side: int) -> np.ndarray:
    """The side x side pixels round every pixel but those near the border: (h, w) -> (N, side**2)."""
    padded = np.pad(picture, side // 2, mode="edge")
    height, width = picture.shape
    views = [padded[y : y + height, x : x + width] for y in range(side) for x in range(side)]
    inner = np.stack(views, axis=-1)[BORDER:-BORDER, BORDER:-BORDER]
    return inner.reshape(-1, side**2)


def sources(row: dict[str, Any], folder: Path, how: Degradation, frames: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    """For each of these frames of a clip: the inputs for every pixel, by name, and "missing": the target."""
    clip = np.array(np.load(folder / row["file"], mmap_mode="r")[:FRAMES, :SIDE, :SIDE])
    soft = resize(damage(clip, how).coded, clip.shape[1:3], how.up)
    grey, wanted = (np.stack([cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in y]).astype(np.float32) for y in (soft, clip))
    for now in frames:
        reach = max(REACHES)
        near = slice(now - reach, now + reach + 1)
        aligned = [*aligned_differences(soft[near], reach)][reach].mean(axis=-1) * 255
        still = np.delete(grey[near], reach, axis=0) - grey[now]
        yield {
            "alone": patches(grey[now], 7) - patches(grey[now], 1),
            "aligned": [patches(change, 3) for change in aligned],
            "unaligned": [patches(change, 3) for change in still],
            "missing": patches(wanted[now] - grey[now], 1)[:, 0],
        }


def columns(known: dict[str, Any]) -> dict[str, np.ndarray]:
    """What each filter reads, by its name."""
    most = max(REACHES)
    result = {"frame alone": known["alone"]}
    for kind in ("aligned", "unaligned"):
        for reach in REACHES if kind == "aligned" else (3,):
            result[f"{kind} +-{reach}"] = np.concatenate([known["alone"], *known[kind][most - reach : most + reach]], 1)
    return result


def fitted(rows: list[dict[str, Any]], folder: Path, how: Degradation, rng: np.random.Generator) -> dict[str, Any]:
    """The best filter of each kind; every frame counts the same."""
    sums: dict[str, np.ndarray] = {}
    for row in rows:
        for known in sources(row, folder, how, FITTED):
            missing = known["missing"]
            picks = rng.choice(len(missing), min(SHARE, len(missing)), replace=False)
            scale = np.sqrt(np.square(missing).mean()) + 1
            for name, values in columns(known).items():
                both = np.concatenate([values[picks], missing[picks, None]], axis=1).astype(np.float64) / scale
                sums[name] = sums.get(name, 0) + both.T @ both
    ridge = 1e-6
    return {
        name: np.linalg.solve(
            total[:-1, :-1] + ridge * np.trace(total) / len(total) * np.eye(len(total) - 1), total[:-1, -1]
        )
        for name, total in sums.items()
    }


def main() -> None:
    """Fit, measure and log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=30, help="clips that are fitted to")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    rng = np.random.default_rng(options.seed)
    rows = [row for row in load_index(options.data) if row["shape"][0] >= FRAMES]
    rng.shuffle(rows)
    for softening, how in SOFTENINGS.items():
        filters = fitted(rows[: options.clips], options.data, how, rng)
        gains: dict[str, list[float]] = {name: [] for name in filters}
        for row in rows[options.clips : options.clips + options.clips // 2]:
            for known in sources(row, options.data, how, MEASURED):
                before = np.square(known["missing"]).mean()
                for name, values in columns(known).items():
                    left = np.square(known["missing"] - values @ filters[name]).mean()
                    gains[name].append(10 * np.log10(before / left))
        log.info("%s: %s", softening, ", ".join(f"{name} {np.mean(gain):+.2f} dB" for name, gain in gains.items()))


if __name__ == "__main__":
    main()
