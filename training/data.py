"""Training samples drawn from a prepared set: clips in every stage of degradation, biased to faces.

Whole clips go through the chain, as videos do (a codec treats the first frame of a clip and those that follow
differently), into a pool in which a clip is replaced every few batches; samples are cut out of the pool.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from degrade import Degradation, Stages, damage, draw_degradation, resize
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from redetail.imaging.align import Motion, aligned_differences, frame_motion
from redetail.imaging.weights import resampling

POOL = 48  # clips of which samples are cut
LONGEST, WIDEST = 24, 272  # frames and pixels of the longer side of what goes through a codec
FRAMES, SIDE, MULTIPLE = 9, 144, 16  # most of a clip in the pool; its sides are multiples of the last
KEPT = 8  # batches drawn before a clip of the pool is replaced: finding its motion and its drafts takes longest
ALONE = 8  # one clip in this many has frames without neighbours, as single pictures have
CHANGE_UNIT = 1 / 2040  # of an aligned difference, which is at most 8.6 / 255: int8 holds it
MOVED_STILL = (16, 240)  # frames and pixels of a still seen by a moving camera
WORKING = ((0.25, 1.0), (0.55, 1.3), (0.2, 1.6))  # shares of working sizes; in the middle that of the card

Drafts = Callable[[np.ndarray, np.ndarray, bool], np.ndarray]
"""Coded frames (F, h, w, 3) uint8, the differences of their neighbours and whether each is alone -> drafts, uint8."""


def load_index(folder: Path) -> list[dict[str, Any]]:
    """The rows of index.json that have data, sorted by name."""
    rows = json.loads((folder / "index.json").read_text())
    return sorted((row for row in rows if "file" in row), key=lambda row: str(row["name"]))


def is_validation(name: str) -> bool:
    """A fixed 5% of the files, by name, that are monitored and not trained on."""
    return sum(name.encode()) % 20 == 0


def item_weight(row: dict[str, Any]) -> float:
    """How often a file is drawn: clips over stills, faces and hands over the rest."""
    weight = 1.0 if row["shape"][0] > 1 else 0.15
    return weight * (2.5 if any(subjects_of(row).values()) else 1.0)


def subjects_of(row: dict[str, Any]) -> dict[str, list[list[float]]]:
    """The boxes of the faces and hands of a file, by frame."""
    hands = row.get("hands", {})
    return {key: [*row["faces"].get(key, []), *hands.get(key, [])] for key in {**row["faces"], **hands}}


def pick_centre(row: dict[str, Any], frame: int, side: int, rng: np.random.Generator) -> tuple[float, float]:
    """Centre (x, y) of a sample of this side in source pixels: near a face or hand three times in four, if any."""
    _, height, width, _ = row["shape"]
    found = subjects_of(row)
    if found and rng.random() < 0.75:
        boxes = found[min(found, key=lambda key: abs(int(key) - frame))]
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


class Batch(NamedTuple):
    """Training clips, uint8 and int8; changes are in `CHANGE_UNIT`.

    Attributes:
        stages: (B, 4, F, s, s, 3): coded, noisy, soft, clean. changes: (B, F, N, s, s, 3): how the neighbours of a
        coded frame differ from it. drafts, beside: (B, F, s, s, 3) and (B, F, N, s, s, 3): what the first network made
        of the coded frames, and how its neighbours differ; None without such a network. working: scalar: how much
        larger than the crop's own size all of this is.
    """

    stages: Tensor
    changes: Tensor
    drafts: Tensor | None = None
    beside: Tensor | None = None
    working: Tensor | None = None


@dataclass(frozen=True)
class Source:
    """A clip in the pool.

    Attributes:
        arrays: as those of a `Batch`, without its first axis.
        subjects: (n, 4): frame, x, y, width of faces and hands.
        working: how much larger than the crop's own size it is.
    """

    arrays: tuple[np.ndarray, ...]
    subjects: np.ndarray
    working: float = 1.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, height, width."""
        frames, height, width = self.arrays[0].shape[1:4]
        return frames, height, width

    def sample(self, rng: np.random.Generator, side: int, frames: int) -> tuple[np.ndarray, ...]:
        """A square out of some frames, from each of the arrays."""
        count, height, width = self.shape
        start = int(rng.integers(0, count - frames + 1))
        x, y = pick_near(self.subjects, start, side, (height, width), rng)
        left = int(np.clip(x - side / 2, 0, width - side))
        top = int(np.clip(y - side / 2, 0, height - side))
        rows, columns = slice(top, top + side), slice(left, left + side)
        stages, *others = self.arrays
        picked = slice(start, start + frames)
        return stages[:, picked, rows, columns], *(part[picked, ..., rows, columns, :] for part in others)


def pick_near(
    subjects: np.ndarray, frame: int, side: float, size: tuple[int, int], rng: np.random.Generator
) -> tuple[float, float]:
    """Centre (x, y) of a sample of this side: near a face or hand three times in four, if there is one."""
    if len(subjects) and rng.random() < 0.75:
        near = subjects[np.abs(subjects[:, 0] - frame) == np.abs(subjects[:, 0] - frame).min()]
        _, x, y, width = near[rng.integers(len(near))]
        jitter = 0.3 * max(side, width) * rng.uniform(-1, 1, 2)
        return x + jitter[0], y + jitter[1]
    return rng.uniform(0, size[1]), rng.uniform(0, size[0])


def mirrored(arrays: tuple[np.ndarray, ...], space: bool, time: bool) -> tuple[np.ndarray, ...]:
    """The arrays of a sample mirrored left to right and run backwards, which swaps the neighbours' places too."""
    stages, *others = arrays
    if space:
        stages, others = stages[..., ::-1, :], [part[..., ::-1, :] for part in others]
    if time:
        stages = stages[:, ::-1]
        others = [part[::-1, ::-1] if part.ndim == 5 else part[::-1] for part in others]
    return tuple(np.ascontiguousarray(part) for part in (stages, *others))


class Samples(IterableDataset[Batch]):
    """Endless batches of clips in every stage of degradation, with the differences of the neighbours of each frame.

    Args:
        folder: what prepare.py wrote.
        seed: of everything that is drawn.
        sizes: (side in pixels, clips a batch, frames a clip); each batch draws one.
        validation: draw from the held-out 5% instead.
        degradation: of every clip, instead of random ones.
        reach: neighbours on either side.
        order: seed of the sizes; processes that wait for one another must draw the same ones.
        first: clips in the pool before the first batch is drawn.
        drafts: makes the drafts of coded frames from their differences, if a network sees drafts.
        working: (share, times the crop's own size) of the working sizes; those of a batch have the same.
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
        first: int = 16,
        drafts: Drafts | None = None,
        working: tuple[tuple[float, float], ...] = ((1.0, 1.0),),
    ) -> None:
        self.folder, self.seed, self.sizes, self.degradation, self.order = folder, seed, sizes, degradation, order
        self.reach, self.first, self.drafts, self.working = reach, first, drafts, working
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
            if not pool:
                pool += [self.source(rng, alone=place % ALONE == 0) for place in range(self.first)]
            elif number % KEPT == 0:
                place = len(pool) if len(pool) < POOL else int(rng.integers(POOL))
                fresh = self.source(rng, alone=place % ALONE == 0)
                pool[place : place + 1] = [fresh]
            side, count, frames = self.sizes[order.integers(len(self.sizes))]
            fitting = pool[::ALONE] if frames == 1 else [s for place, s in enumerate(pool) if place % ALONE]
            scale = fitting[rng.integers(len(fitting))].working
            alike = [source for source in fitting if source.working == scale]
            drawn = [self.draw(rng, alike, side, frames) for _ in range(count)]
            arrays = (torch.from_numpy(np.stack(parts)) for parts in zip(*drawn, strict=True))
            yield Batch(*arrays)._replace(working=torch.tensor(scale))

    def draw(self, rng: np.random.Generator, pool: list[Source], side: int, frames: int) -> tuple[np.ndarray, ...]:
        """One clip of a pool at the same working size, mirrored in space and in time half of the times each."""
        for _ in range(3):  # flat, short and small ones are redrawn, which keeps some sky without filling the set
            source = pool[rng.integers(len(pool))]
            if source.shape[0] < frames or min(source.shape[1:]) < side:
                continue
            arrays = source.sample(rng, side, frames)
            if arrays[0][3, 0].std() >= 12:
                break
        else:
            return self.draw(rng, [self.source(rng, alone=frames == 1, working=pool[0].working)], side, frames)
        return mirrored(arrays, space=rng.random() < 0.5, time=rng.random() < 0.5)

    def source(self, rng: np.random.Generator, alone: bool = False, working: float | None = None) -> Source:
        """A clip for the pool, damaged, at the size that a model sees it at; alone: no frame sees another.

        ``working``: its working size; None: drawn.
        """
        clean, subjects = self.clean(self.rows[rng.choice(len(self.rows), p=self.weights)], rng)
        how = self.degradation or draw_degradation(rng)
        if len(clean) >= 2 * MOVED_STILL[0] and rng.random() < 0.15:  # fast motion
            clean, subjects = clean[::2], subjects * np.array([0.5, 1, 1, 1])
        zoom = 1.0 if self.degradation else draw_zoom(rng)
        stages = magnified(clean, damage(clean, how), how.up, zoom)
        working = self.draw_working(rng) if working is None else working
        stages, subjects = cut(stages, subjects * [1, zoom, zoom, zoom], rng, working)
        stages, subjects = enlarged(stages, working), subjects * [1, working, working, working]
        motion = None if alone else frame_motion(stages[0])
        changes = self.differences(stages[0], motion)
        if self.drafts is None:
            return Source((stages, changes), subjects, working)
        made = self.drafts(stages[0], changes, alone)
        return Source((stages, changes, made, self.differences(made, motion)), subjects, working)

    def draw_working(self, rng: np.random.Generator) -> float:
        """A working size, which is drawn only where there are several."""
        shares, sizes = zip(*self.working, strict=True)
        return float(sizes[0] if len(sizes) == 1 else rng.choice(sizes, p=shares))

    def differences(self, frames: np.ndarray, motion: Motion | None) -> np.ndarray:
        """How the neighbours of frames (F, h, w, 3) differ from them, (F, 2 * reach, h, w, 3) int8 in `CHANGE_UNIT`.

        Without a motion no frame has neighbours.
        """
        result = np.zeros((len(frames), 2 * self.reach, *frames.shape[1:]), np.int8)
        if motion is not None:
            for row, found in zip(result, aligned_differences(frames, self.reach, motion), strict=True):
                row[:] = np.rint(found / CHANGE_UNIT)
        return result

    def clean(self, row: dict[str, Any], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A part of a file, at a size drawn between half of its own and all of it, and its subjects (see Source)."""
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
        found = [
            (int(key) - start, (x + w / 2 - left) * scale, (y + h / 2 - top) * scale, w * scale)
            for key, boxes in subjects_of(row).items()
            for x, y, w, h in boxes
        ]
        size = (round(part.shape[1] * scale), round(part.shape[2] * scale))
        return resize(part, size, "area"), np.array(found).reshape(-1, 4)


def draw_zoom(rng: np.random.Generator) -> float:
    """How much larger than its own size a clip is seen: mostly not at all; one in six as smooth as enlarged HD."""
    kind = rng.random()
    return 1.0 if kind < 0.55 else float(rng.uniform(1.0, 1.8) if kind < 0.83 else rng.uniform(1.8, 4.0))


def magnified(clean: np.ndarray, stages: Stages, up: str, zoom: float) -> np.ndarray:
    """The stages of a clip at ``zoom`` times the size of the clean one: (4, F, h, w, 3) uint8, coded, ..., clean."""
    size = (round(clean.shape[1] * zoom), round(clean.shape[2] * zoom))
    done: dict[int, np.ndarray] = {}
    for stage in stages:
        if id(stage) not in done:  # a stage that adds no damage is the same array
            done[id(stage)] = resize(stage, size, up)
    return np.stack([*(done[id(stage)] for stage in reversed(stages)), resize(clean, size, "cubic")])


def enlarged(stages: np.ndarray, working: float) -> np.ndarray:
    """Stages (4, F, h, w, 3) uint8 at ``working`` times their size, as the pipeline enlarges crops for a model.

    Sides are cut to multiples of `MULTIPLE`.
    """
    if working == 1:
        return stages
    rows, columns = (int(length * working) // MULTIPLE * MULTIPLE for length in stages.shape[2:4])
    down, across = (resampling(0.0, 1 / working, count, length)
                    for count, length in zip((rows, columns), stages.shape[2:4], strict=True))  # fmt: skip
    planes = stages.transpose(0, 1, 4, 2, 3).astype(np.float32)
    wide = np.clip(across.columns(planes), 0, 255)
    return np.ascontiguousarray(np.rint(np.clip(down.rows(wide), 0, 255)).astype(np.uint8).transpose(0, 1, 3, 4, 2))


def cut(
    stages: np.ndarray, subjects: np.ndarray, rng: np.random.Generator, working: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """At most FRAMES frames out of the stages of a clip, SIDE pixels wide once they are `enlarged`, and its subjects in
    these coordinates."""
    count, height, width = stages.shape[1:4]
    start = int(rng.integers(0, max(1, count - FRAMES + 1)))
    side, multiple = math.ceil(SIDE / working), MULTIPLE if working == 1 else 1
    rows, columns = (min(side, length) // multiple * multiple for length in (height, width))
    x, y = pick_near(subjects, start, side, (height, width), rng)
    left = int(np.clip(x - columns / 2, 0, width - columns))
    top = int(np.clip(y - rows / 2, 0, height - rows))
    part = stages[:, start : start + FRAMES, top : top + rows, left : left + columns]
    return np.ascontiguousarray(part), subjects - np.array([start, left, top, 0])


def moved_still(still: np.ndarray, row: dict[str, Any], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A still (h, w, 3) as a clip around one of its faces, and where that face is."""
    frames, side = MOVED_STILL
    side = min(side, *still.shape[:2])
    scale = 1.0 if rng.random() < 0.5 else 1 / float(rng.uniform(1.0, max(1.0, min(still.shape[:2]) / side)))
    centre = pick_centre(row, 0, round(side / scale), rng)
    clean = camera_motion(still, centre, side, frames, scale, rng)
    found = [(0, side / 2, side / 2, 0)] if any(subjects_of(row).values()) else []
    return clean, np.array(found).reshape(-1, 4)
