"""Training samples drawn from a prepared set: clips in every stage of degradation, biased to faces.

Whole clips go through the chain, as videos do (a codec treats the first frame of a clip and those that follow
differently), into a pool of which one is replaced for each batch; samples are cut out of the pool.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from degrade import KERNELS, Degradation, Stages, damage, draw_degradation, resize
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from redetail.imaging.align import aligned_differences

POOL = 40  # clips of which samples are cut
LONGEST = 32  # frames of a clip in the pool
WIDEST = 320  # pixels of its longer side
KEPT = 3  # batches drawn before a clip of the pool is replaced: finding the motion of a clip takes longest
CHANGE_UNIT = 1 / 2040  # of an aligned difference, which is at most 8.6 / 255: int8 holds it
MOVED_STILL = (16, 240)  # frames and pixels of a still seen by a moving camera


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


class Drawn(NamedTuple):
    """A training clip: stages (4, F, s, s, 3) uint8 (coded, noisy, soft, clean) and changes (F, N, s, s, 3) int8."""

    stages: np.ndarray
    changes: np.ndarray


class Batch(NamedTuple):
    """Training clips: stages (B, 4, F, s, s, 3) uint8 and changes (B, F, N, s, s, 3) int8 in `CHANGE_UNIT`."""

    stages: Tensor
    changes: Tensor


@dataclass(frozen=True)
class Source:
    """A clip in the pool.

    Attributes:
        clean: (F, h, w, 3) uint8.
        stages: of its degradation, at the small size.
        changes: (F, 2 * reach, h, w, 3) int8, in `CHANGE_UNIT`: how the neighbours of a coded frame differ from it.
        up: name of the kernel that brings the small size back.
        faces: (n, 4): frame, x, y, width.
    """

    clean: np.ndarray
    stages: Stages
    changes: np.ndarray
    up: str
    faces: np.ndarray

    def centre(self, frame: int, side: float, rng: np.random.Generator) -> tuple[float, float]:
        """Centre (x, y) of a sample of this side: near a face three times in four, if there is one."""
        if len(self.faces) and rng.random() < 0.75:
            near = self.faces[np.abs(self.faces[:, 0] - frame) == np.abs(self.faces[:, 0] - frame).min()]
            _, x, y, width = near[rng.integers(len(near))]
            jitter = 0.3 * max(side, width) * rng.uniform(-1, 1, 2)
            return x + jitter[0], y + jitter[1]
        return rng.uniform(0, self.clean.shape[2]), rng.uniform(0, self.clean.shape[1])

    def sample(self, rng: np.random.Generator, side: int, frames: int, zoom: float) -> Drawn:
        """A square of some frames, all at ``zoom`` times the clean size."""
        start = int(rng.integers(0, len(self.clean) - frames + 1))
        picked = slice(start, start + frames)
        x, y = self.centre(start, side / zoom, rng)
        left = int(np.clip(x - side / zoom / 2, 0, self.clean.shape[2] - side / zoom))
        top = int(np.clip(y - side / zoom / 2, 0, self.clean.shape[1] - side / zoom))
        coded = self.magnified(self.stages.coded[picked], (left, top), side, zoom)
        same = self.stages.noisy is self.stages.coded
        noisy = coded if same else self.magnified(self.stages.noisy[picked], (left, top), side, zoom)
        same = self.stages.soft is self.stages.noisy
        soft = noisy if same else self.magnified(self.stages.soft[picked], (left, top), side, zoom)
        clean = self.magnified(self.clean[picked], (left, top), side, zoom, "cubic")
        changes = self.magnified(self.changes[picked].reshape(-1, *self.clean.shape[1:]), (left, top), side, zoom)
        return Drawn(np.stack([coded, noisy, soft, clean]), changes.reshape(frames, -1, *clean.shape[1:]))

    def magnified(
        self, clip: np.ndarray, corner: tuple[int, int], side: int, zoom: float, kernel: str = ""
    ) -> np.ndarray:
        """The square whose corner has these clean coordinates, cut out of a clip of any size."""
        inner = round(side / zoom)
        if clip.shape[1:3] == self.clean.shape[1:3] and inner == side:
            return clip[:, corner[1] : corner[1] + side, corner[0] : corner[0] + side]
        scale = [small / whole for small, whole in zip(clip.shape[2:0:-1], self.clean.shape[2:0:-1], strict=True)]
        # Pixel centres: destination p is clean corner + (p + 0.5) / zoom - 0.5.
        matrix = np.array(
            [
                [scale[0] / zoom, 0, (corner[0] + 0.5 / zoom) * scale[0] - 0.5],
                [0, scale[1] / zoom, (corner[1] + 0.5 / zoom) * scale[1] - 0.5],
            ]
        )
        flags = KERNELS[kernel or self.up] | cv2.WARP_INVERSE_MAP
        shape = {"flags": flags, "borderMode": cv2.BORDER_REPLICATE}
        if clip.dtype == np.int8:  # which OpenCV does not move
            moved = [cv2.warpAffine(f.astype(np.float32), matrix, (side, side), **shape) for f in clip]
            return np.rint(moved).clip(-127, 127).astype(np.int8)
        return np.stack([cv2.warpAffine(f, matrix, (side, side), **shape) for f in clip])


class Samples(IterableDataset[Batch]):
    """Endless batches of clips in every stage of degradation, with what the neighbours of each frame know of it.

    Args:
        folder: what prepare.py wrote.
        seed: of everything that is drawn.
        sizes: (side in pixels, clips a batch, frames a clip); each batch draws one.
        validation: draw from the held-out 5 % instead.
        degradation: of every clip, in place of random ones.
        reach: neighbours on either side.
        order: seed of the sizes; processes that wait for one another draw the same ones.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        sizes: tuple[tuple[int, int, int], ...] = ((96, 4, 8),),
        validation: bool = False,
        degradation: Degradation | None = None,
        order: int = 0,
        reach: int = 3,
    ) -> None:
        self.folder, self.seed, self.sizes, self.degradation, self.order = folder, seed, sizes, degradation, order
        self.reach = reach
        rows = load_index(folder)
        self.rows = [row for row in rows if is_validation(row["name"]) == validation and row["shape"][0] != 2]
        weights = np.array([item_weight(row) for row in self.rows])
        self.weights = weights / weights.sum()

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        cv2.setNumThreads(1)
        rng = np.random.default_rng((self.seed, worker.id if worker else 0))
        order = np.random.default_rng(self.order)
        pool: list[Source] = []
        for number in itertools.count():
            if len(pool) < POOL:
                pool += [self.source(rng) for _ in range(4)]
            elif number % KEPT == 0:
                pool[rng.integers(POOL)] = self.source(rng)
            side, count, frames = self.sizes[order.integers(len(self.sizes))]
            drawn = [self.draw(rng, pool, side, frames) for _ in range(count)]
            yield Batch(*(torch.from_numpy(np.stack(arrays)) for arrays in zip(*drawn, strict=True)))

    def draw(self, rng: np.random.Generator, pool: list[Source], side: int, frames: int) -> Drawn:
        """One clip, mirrored in space and in time half of the times each."""
        for _ in range(3):  # flat or too short or small ones are redrawn; that keeps some sky without filling the set
            zoom = 1.0 if self.degradation or rng.random() < 0.6 else float(rng.uniform(1.0, 1.8))
            source = pool[rng.integers(len(pool))]
            if len(source.clean) < frames or min(source.clean.shape[1:3]) < side / zoom:
                continue
            stages, changes = source.sample(rng, side, frames, zoom)
            if stages[3, 0].std() >= 12:
                break
        else:
            return self.draw(rng, [self.source(rng)], side, frames)
        if rng.random() < 0.5:
            stages, changes = stages[:, :, :, ::-1], changes[:, :, :, ::-1]
        if rng.random() < 0.5:
            stages, changes = stages[:, ::-1], changes[::-1, ::-1]
        return Drawn(np.ascontiguousarray(stages), np.ascontiguousarray(changes))

    def source(self, rng: np.random.Generator) -> Source:
        """A clip for the pool."""
        clean, faces = self.clean(self.rows[rng.choice(len(self.rows), p=self.weights)], rng)
        how = self.degradation or draw_degradation(rng)
        if len(clean) >= 2 * MOVED_STILL[0] and rng.random() < 0.15:  # fast motion
            clean, faces = clean[::2], faces * np.array([0.5, 1, 1, 1])
        stages = damage(clean, how)
        coded = resize(stages.coded, (clean.shape[1], clean.shape[2]), how.up)
        changes = np.empty((len(clean), 2 * self.reach, *clean.shape[1:]), np.int8)
        for row, found in zip(changes, aligned_differences(coded, self.reach), strict=True):
            row[:] = np.rint(found / CHANGE_UNIT)
        return Source(clean, stages, changes, how.up, faces)

    def clean(self, row: dict[str, Any], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A part of a file, at a size drawn between half and the whole of its own, and the faces in it (see Source)."""
        clip = np.load(self.folder / row["file"], mmap_mode="r")
        if len(clip) < MOVED_STILL[0]:
            return moved_still(np.asarray(clip[0]), row, rng)
        start = int(rng.integers(0, max(1, len(clip) - LONGEST + 1)))
        most = max(1.0, min(1.8, min(clip.shape[1:3]) / 180))
        scale = 1.0 if rng.random() < 0.6 else 1 / float(rng.uniform(1.0, most))
        wide = int(min(round(WIDEST / scale), max(clip.shape[1:3])))
        centre = pick_centre(row, start, wide, rng)
        left = int(np.clip(centre[0] - wide / 2, 0, max(0, clip.shape[2] - wide)))
        top = int(np.clip(centre[1] - wide / 2, 0, max(0, clip.shape[1] - wide)))
        part = np.array(clip[start : start + LONGEST, top : top + wide, left : left + wide])
        faces = [
            (int(key) - start, (x + w / 2 - left) * scale, (y + h / 2 - top) * scale, w * scale)
            for key, boxes in row["faces"].items()
            for x, y, w, h in boxes
        ]
        size = (round(part.shape[1] * scale), round(part.shape[2] * scale))
        return resize(part, size, "area"), np.array(faces).reshape(-1, 4)


def moved_still(still: np.ndarray, row: dict[str, Any], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A still (h, w, 3) as a clip round one of its faces, and where that is."""
    frames, side = MOVED_STILL
    side = min(side, *still.shape[:2])
    scale = 1.0 if rng.random() < 0.5 else 1 / float(rng.uniform(1.0, max(1.0, min(still.shape[:2]) / side)))
    centre = pick_centre(row, 0, round(side / scale), rng)
    clean = camera_motion(still, centre, side, frames, scale, rng)
    faces = [(0, side / 2, side / 2, 0)] if any(row["faces"].values()) else []
    return clean, np.array(faces).reshape(-1, 4)
