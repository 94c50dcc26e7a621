"""``Size``, ``Box``, ``Detection``, and ``Region``, which is a subject over time.

Coordinates are pixels of the source frame; x grows to the right and y downwards. The centre of the first pixel is at
(0.5, 0.5), so a box from 0 to 1 covers exactly that pixel. Ends are exclusive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from redetail.errors import RegionError


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """Width and height in whole pixels, both positive."""

    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise RegionError(f"A size must be at least 1x1 pixels, not {self.width}x{self.height}.")

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), the order of array axes."""
        return self.height, self.width

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle x1, y1, x2, y2 in pixels. Ends are exclusive, fractions are allowed, and sides are never negative."""

    x1: float
    y1: float
    x2: float
    y2: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, self.as_tuple())):
            raise RegionError(f"The box {self.as_tuple()} has a coordinate that is not a finite number.")
        if self.x2 < self.x1 or self.y2 < self.y1:
            raise RegionError(
                f"The corners of the box {self.as_tuple()} are in the wrong order; give x1,y1,x2,y2 with x1 <= x2 and "
                "y1 <= y2."
            )

    @property
    def width(self) -> float:
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        return self.y2 - self.y1

    @property
    def area(self) -> float:
        return self.width * self.height

    @property
    def center(self) -> tuple[float, float]:
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2

    def as_tuple(self) -> tuple[float, float, float, float]:
        """(x1, y1, x2, y2)."""
        return self.x1, self.y1, self.x2, self.y2

    def scaled(self, kx: float, ky: float) -> Box:
        """The same box on an image that is kx times as wide and ky times as high."""
        return Box(self.x1 * kx, self.y1 * ky, self.x2 * kx, self.y2 * ky)

    def moved(self, dx: float, dy: float) -> Box:
        """The box moved dx pixels to the right and dy pixels down."""
        return Box(self.x1 + dx, self.y1 + dy, self.x2 + dx, self.y2 + dy)

    def grown(self, factor: float) -> Box:
        """The box with sides ``factor`` times as long, around the same centre."""
        (x, y), across, down = self.center, self.width * factor / 2, self.height * factor / 2
        return Box(x - across, y - down, x + across, y + down)

    def intersection(self, other: Box) -> Box | None:
        """The part that both boxes cover, or None if there is none."""
        x1, y1 = max(self.x1, other.x1), max(self.y1, other.y1)
        x2, y2 = min(self.x2, other.x2), min(self.y2, other.y2)
        return Box(x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None

    def union(self, other: Box) -> Box:
        """The smallest box that holds both."""
        x1, y1 = min(self.x1, other.x1), min(self.y1, other.y1)
        return Box(x1, y1, max(self.x2, other.x2), max(self.y2, other.y2))

    def iou(self, other: Box) -> float:
        """Intersection over union, 0..1; 0 for two empty boxes."""
        common = self.intersection(other)
        if common is None:
            return 0.0
        return common.area / (self.area + other.area - common.area)

    def clipped(self, size: Size) -> Box | None:
        """The part inside an image of that size, or None if there is none."""
        return self.intersection(Box(0, 0, size.width, size.height))


@dataclass(frozen=True, slots=True)
class Detection:
    """One subject found in one frame: where it is, with what confidence (0..1) it was found, and what it is.

    ``landmarks`` of a face are x, y of the eyes, the tip of the nose and the corners of the mouth; of each pair, the
    one further left in the picture comes first. ``descriptor`` (128,) identifies the face (:mod:`redetail.identity`),
    if it is known. ``second_opinion`` is the score that a second detector gives the face, if it was asked
    (:mod:`redetail.detection.second_opinion`).
    """

    box: Box
    confidence: float
    label: str = "face"
    landmarks: tuple[tuple[float, float], ...] | None = field(default=None, repr=False)
    descriptor: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    second_opinion: float | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, eq=False)
class Region:
    """One subject over consecutive frames, with a crop window of constant size that follows a path.

    ``start`` is the index of the first frame; ``size`` is the window's size; ``path`` (F, 2) holds x, y of the window's
    top left corner in every frame, with fractions of pixels (a fixed window repeats one corner); ``boxes`` (F, 4) holds
    the subject's own box in every frame. ``masks`` say which part of the window is the subject: (h, w) uint8 arrays
    0..255 of the window's size, one for each frame or a single one shared by all; None means the subject's box.
    ``fade_in`` and ``fade_out`` are the numbers of frames over which the result fades in and out if the subject is
    found or lost in the middle of a shot. Regions with the same ``person`` show one subject in several stretches of a
    clip (None: only this region shows it). ``descriptor`` (128,) identifies the face, if it is known; it is never
    written to a file.
    """

    label: str
    confidence: float
    start: int
    size: Size
    path: NDArray[np.float64]
    boxes: NDArray[np.float64]
    masks: Sequence[NDArray[np.uint8]] | None = field(default=None, repr=False)
    fade_in: int = 0
    fade_out: int = 0
    person: int | None = None
    descriptor: NDArray[np.float32] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        frames = len(self.path)
        if self.path.shape != (frames, 2) or self.boxes.shape != (frames, 4) or frames == 0:
            raise RegionError(
                f"Region {self.label!r} needs a path of shape (frames, 2) and boxes of shape (frames, 4), for at least "
                f"one frame; their shapes are {self.path.shape} and {self.boxes.shape}."
            )
        if not (np.isfinite(self.path).all() and np.isfinite(self.boxes).all()):
            raise RegionError(f"Region {self.label!r} has a coordinate that is not a finite number.")
        if self.start < 0:
            raise RegionError(f"Region {self.label!r} starts at frame {self.start}, but the first frame is 0.")
        if self.masks is not None:
            self._check_masks(self.masks, frames)

    def _check_masks(self, masks: Sequence[NDArray[np.uint8]], frames: int) -> None:
        if len(masks) not in (1, frames):
            raise RegionError(
                f"Region {self.label!r} has {len(masks)} masks for {frames} frames; give one mask for all "
                "frames or one for each frame."
            )
        if masks[0].shape != self.size.shape:
            raise RegionError(
                f"Region {self.label!r} has masks of {masks[0].shape[1]}x{masks[0].shape[0]} pixels, but its window is "
                f"{self.size}; make them the same size."
            )

    def __len__(self) -> int:
        return len(self.path)

    @property
    def stop(self) -> int:
        """Index after the last frame."""
        return self.start + len(self)

    @property
    def fixed(self) -> bool:
        """Whether the window never moves."""
        return bool((self.path == self.path[0]).all())

    def strength(self, index: int) -> float:
        """How much of the result shows in the region's frame ``index``, above 0 and at most 1; below 1 during fades."""
        rising = (index + 1) / (self.fade_in + 1)
        falling = (len(self) - index) / (self.fade_out + 1)
        return min(1.0, rising, falling)

    def window(self, index: int) -> Box:
        """The crop window in the region's frame ``index`` (0 is the first of the region)."""
        x, y = map(float, self.path[index])
        return Box(x, y, x + self.size.width, y + self.size.height)

    def box(self, index: int) -> Box:
        """The subject's own box in the region's frame ``index``."""
        return Box(*map(float, self.boxes[index]))

    def mask(self, index: int, margin: float = 0.0) -> NDArray[np.float32]:
        """The subject's mask in window coordinates, (h, w) float32 0..1.

        ``margin``: pixels by which every side of a box is moved outwards. Given masks stay as they are.
        """
        if self.masks is not None:
            return self.masks[index if len(self.masks) > 1 else 0].astype(np.float32) / np.float32(255)
        x, y = self.path[index]
        x1, y1, x2, y2 = self.boxes[index]
        columns = _coverage(x1 - x - margin, x2 - x + margin, self.size.width)
        rows = _coverage(y1 - y - margin, y2 - y + margin, self.size.height)
        return np.outer(rows, columns).astype(np.float32)


def _coverage(start: float, stop: float, length: int) -> NDArray[np.float64]:
    """How much of each of ``length`` unit cells lies between start and stop, 0..1. A box that moves by a fraction of a
    pixel changes its mask by that fraction, so its edge does not jump."""
    cells = np.arange(length, dtype=np.float64)
    covered: NDArray[np.float64] = np.clip(np.minimum(cells + 1, stop) - np.maximum(cells, start), 0.0, 1.0)
    return covered
