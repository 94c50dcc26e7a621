"""Single frames for the page, and masks that were painted on one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.documents import shown
from redetail.errors import InputError, RegionError
from redetail.region import Box, Size
from redetail.video import open_source

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class ClipFacts:
    """The facts about a clip that the page shows."""

    size: Size
    frames: int
    rate: float

    @property
    def seconds(self) -> float:
        return self.frames / self.rate if self.rate else 0.0


def facts_of(path: Path) -> ClipFacts:
    """Size and length; raises :class:`~redetail.errors.InputError` if the clip cannot be read."""
    info = open_source(path).info
    return ClipFacts(info.size, info.frames, float(info.rate))


def frame_of(path: Path, index: Any) -> Picture:
    """Frame ``index`` (the last one where there are fewer) as (H, W, 3) uint8.

    Raises :class:`~redetail.errors.InputError`.
    """
    if isinstance(index, bool) or not isinstance(index, int | float) or not 0 <= index < 10**9:
        raise InputError(f"The frame is {shown(index)}; it must be a frame number, counted from 0.")
    source = open_source(path)
    last = max(0, source.info.frames - 1) if source.info.frames else int(index)
    for first in (min(int(index), last), 0):
        for frame in source.frames(first, first + 1):
            return _bytes(frame.pixels)
    raise InputError(f"{path.name} has no frame that can be read; choose another clip.")


def painted(value: Any, size: Size) -> Picture | None:
    """The mask (H, W) of what was painted on a frame of ``size``; None if nothing was.

    ``value``: what the editor sends, layers (h, w, 4) with what is painted opaque. Raises
    :class:`~redetail.errors.RegionError` for anything else.
    """
    layers = value.get("layers") if isinstance(value, Mapping) else None
    if layers is None:
        return None
    if not isinstance(layers, list) or not all(isinstance(layer, np.ndarray) for layer in layers):
        raise RegionError("The painted mask did not arrive as a picture; paint it again.")
    mask = np.zeros(size.shape, np.uint8)
    for layer in layers:
        if layer.ndim != 3 or layer.shape[2] != 4:
            raise RegionError(f"The painted mask has the shape {layer.shape}; paint it again.")
        mask = np.maximum(mask, _scaled(layer[..., 3], size))
    return np.where(mask >= 128, np.uint8(255), np.uint8(0)) if mask.any() else None


def marked_box(picture: Picture, corners: Sequence[tuple[float, float]], boxes: Sequence[Box]) -> Picture:
    """A copy with boxes drawn on it, and a cross at a first corner."""
    drawn = picture.copy()
    weight = max(1, min(picture.shape[:2]) // 200)
    for box in boxes:
        _line(drawn, *box.as_tuple(), weight)
    for x, y in corners:
        _line(drawn, x - 4 * weight, y - 4 * weight, x + 4 * weight, y + 4 * weight, weight)
    return drawn


def _line(picture: Picture, x1: float, y1: float, x2: float, y2: float, weight: int) -> None:
    """The outline of a rectangle, in green."""
    height, width = picture.shape[:2]
    left, right = (int(np.clip(value, 0, width)) for value in (x1, x2))
    top, bottom = (int(np.clip(value, 0, height)) for value in (y1, y2))
    inner = picture[
        top + weight : max(top + weight, bottom - weight), left + weight : max(left + weight, right - weight)
    ]
    kept = inner.copy()
    picture[top:bottom, left:right] = (80, 220, 100)
    picture[top + weight : top + weight + kept.shape[0], left + weight : left + weight + kept.shape[1]] = kept


def _scaled(alpha: Picture, size: Size) -> Picture:
    """Scaled by nearest neighbour, since the editor shows large frames smaller."""
    rows = np.arange(size.height) * alpha.shape[0] // size.height
    columns = np.arange(size.width) * alpha.shape[1] // size.width
    return np.asarray(alpha[rows[:, None], columns], np.uint8)


def _bytes(pixels: NDArray[Any]) -> Picture:
    return (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else np.asarray(pixels, np.uint8)
