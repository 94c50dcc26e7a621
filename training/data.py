"""Training samples drawn from a prepared set: pairs of degraded and clean clips, biased to faces."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from degrade import degrade, draw_degradation, resize
from torch.utils.data import IterableDataset, get_worker_info

MARGIN = 16  # pixels of context round a sample, so that block grids and borders fall anywhere


def load_index(folder: Path) -> list[dict[str, Any]]:
    """The rows of index.json that have data, sorted by name."""
    rows = json.loads((folder / "index.json").read_text())
    return sorted((row for row in rows if "file" in row), key=lambda row: str(row["name"]))


def is_validation(name: str) -> bool:
    """A fixed 5 % of the files, by name, that are watched and not trained on."""
    return sum(name.encode()) % 20 == 0


def item_weight(row: dict[str, Any]) -> float:
    """How often a file is drawn: clips over stills, faces over the rest."""
    weight = 1.0 if row["shape"][0] > 1 else 0.35
    return weight * (2.5 if any(row["faces"].values()) else 1.0)


def pick_centre(row: dict[str, Any], frame: int, side: int, rng: np.random.Generator) -> tuple[float, float]:
    """Centre (x, y) of a sample of this side in source pixels: near a face three times in four, if there is one."""
    _, height, width, _ = row["shape"]
    if row["faces"] and rng.random() < 0.75:
        boxes = row["faces"][min(row["faces"], key=lambda key: abs(int(key) - frame))]
        if boxes:
            x, y, w, h = boxes[rng.integers(len(boxes))]
            jitter = 0.3 * max(side, w) * rng.uniform(-1, 1, 2)
            return x + w / 2 + jitter[0], y + h / 2 + jitter[1]
    return rng.uniform(0, width), rng.uniform(0, height)


def cut(clip: np.ndarray, centre: tuple[float, float], side: int) -> np.ndarray:
    """A square (F, side, side, 3) round the centre, moved inside the frame."""
    left = int(np.clip(centre[0] - side / 2, 0, clip.shape[2] - side))
    top = int(np.clip(centre[1] - side / 2, 0, clip.shape[1] - side))
    return clip[:, top : top + side, left : left + side]


def camera_motion(
    still: np.ndarray, centre: tuple[float, float], side: int, frames: int, scale: float, rng: np.random.Generator
) -> np.ndarray:
    """A still (h, w, 3) seen by a slowly moving camera: (frames, side, side, 3).

    scale is output pixels per source pixel, <= 1. The path is a uniform pan, zoom and turn with a little shake.
    """
    if scale < 1:
        size = (round(still.shape[1] * scale), round(still.shape[0] * scale))
        still = cv2.resize(still, size, interpolation=cv2.INTER_AREA)
        centre = (centre[0] * scale, centre[1] * scale)
    pan = rng.uniform(-3, 3, 2) * rng.random()
    zoom, turn = rng.uniform(-0.008, 0.008), rng.uniform(-0.008, 0.008)
    shake = rng.normal(0, 0.4 * rng.random(), (frames, 2))
    half, result = side / 2, []
    x = np.clip(centre[0], half, max(half, still.shape[1] - half))
    y = np.clip(centre[1], half, max(half, still.shape[0] - half))
    for number in range(frames):
        time = number - frames / 2
        a, b = (1 + zoom * time) * math.cos(turn * time), (1 + zoom * time) * math.sin(turn * time)
        move_x, move_y = pan * time + shake[number]
        matrix = np.array([[a, -b, half - a * x + b * y + move_x], [b, a, half - b * x - a * y + move_y]])
        result.append(
            cv2.warpAffine(still, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        )
    return np.stack(result)


class Samples(IterableDataset[tuple[torch.Tensor, torch.Tensor]]):
    """Endless batches (degraded, clean), each (B, F, side, side, 3) uint8.

    Args:
        folder: what prepare.py wrote.
        seed: of everything that is drawn.
        sizes: (side in pixels, clips a batch, frames a clip); each batch draws one.
        validation: draw from the held-out 5 % instead.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        sizes: tuple[tuple[int, int, int], ...] = ((96, 4, 8),),
        validation: bool = False,
    ) -> None:
        self.folder, self.seed, self.sizes = folder, seed, sizes
        rows = load_index(folder)
        self.rows = [row for row in rows if is_validation(row["name"]) == validation and row["shape"][0] != 2]
        weights = np.array([item_weight(row) for row in self.rows])
        self.weights = weights / weights.sum()

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        worker = get_worker_info()
        cv2.setNumThreads(1)
        rng = np.random.default_rng((self.seed, worker.id if worker else 0))
        while True:
            side, count, frames = self.sizes[rng.integers(len(self.sizes))]
            pairs = [self.draw(rng, side, frames) for _ in range(count)]
            yield (
                torch.from_numpy(np.stack([pair[0] for pair in pairs])),
                torch.from_numpy(np.stack([pair[1] for pair in pairs])),
            )

    def draw(self, rng: np.random.Generator, side: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
        """One (degraded, clean) pair, each (frames, side, side, 3) uint8."""
        zoom = 1.0 if rng.random() < 0.55 else float(rng.uniform(1.0, 1.8))  # the crop scaled up afterwards
        inner = math.ceil(side / zoom)
        clean = self.source(rng, inner + MARGIN, frames)
        if clean[0].std() < 12:  # flat: one redraw keeps some of it, without filling the set with sky
            clean = self.source(rng, inner + MARGIN, frames)
        soft = degrade(clean, draw_degradation(rng))
        left, top = rng.integers(0, MARGIN + 1, 2)
        pair = [resize(x[:, top : top + inner, left : left + inner], (side, side), "cubic") for x in (soft, clean)]
        if rng.random() < 0.5:
            pair = [x[:, :, ::-1] for x in pair]
        if rng.random() < 0.5:
            pair = [x[::-1] for x in pair]
        return np.ascontiguousarray(pair[0]), np.ascontiguousarray(pair[1])

    def source(self, rng: np.random.Generator, side: int, frames: int) -> np.ndarray:
        """A clean clip (frames, side, side, 3) at a size drawn between half and the whole of its own."""
        row = self.rows[rng.choice(len(self.rows), p=self.weights)]
        clip = np.load(self.folder / row["file"], mmap_mode="r")
        most = min(clip.shape[1:3]) / side
        scale = 1.0 if rng.random() < 0.5 else 1 / float(rng.uniform(1.0, max(1.0, min(2.0, most))))
        wide = min(round(side / scale), *clip.shape[1:3])
        if len(clip) < frames:
            centre = pick_centre(row, 0, wide, rng)
            return camera_motion(np.asarray(clip[0]), centre, side, frames, scale, rng)
        stride = 2 if len(clip) >= 2 * frames and rng.random() < 0.2 else 1
        start = int(rng.integers(0, len(clip) - (frames - 1) * stride))
        part = clip[start : start + frames * stride : stride][:frames]
        region = cut(part, pick_centre(row, start, wide, rng), wide)
        return resize(np.ascontiguousarray(region), (side, side), "area" if wide > side else "cubic")
