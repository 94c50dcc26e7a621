"""Drawings of what would be detailed: every subject's box and crop window."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.evaluate.sheet import Picture, contact_sheet, zoomed
from redetail.optional import requires
from redetail.region import Box, Region, Size
from redetail.video import Frame

COLORS = ("#50dc64", "#ffaa28", "#5aaaff", "#f05ac8", "#f0e650", "#966eff")
"""Colours of the first subject, the second, and so on; after the last, they start again."""
SHEET_FRAMES = 9
SHEET_TILE = 480
"""Longest side in pixels of a picture on the contact sheet."""


def marked(pixels: NDArray[Any], index: int, regions: Sequence[Region]) -> Picture:
    """A uint8 copy of frame ``index``, (H, W, 3), with its number and its subjects: the box with a thick line, the crop
    window with a thin one, and label and confidence above."""
    pen = _Pen((pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels)
    pen.write(0, pixels.shape[0], f"frame {index}", "white")
    for number, region in enumerate(regions):
        if region.start <= index < region.stop:
            color, inside = COLORS[number % len(COLORS)], index - region.start
            box = region.box(inside)
            pen.frame(region.window(inside), color, 1)
            pen.frame(box, color, 2)
            pen.write(box.x1, box.y1, f"{region.label} {region.confidence:.2f}", color)
    return pen.picture()


class _Pen:
    """Lines and text whose thickness fits the picture."""

    def __init__(self, pixels: Picture) -> None:
        with requires("PIL"):
            from PIL import Image, ImageDraw, ImageFont

        self._image = Image.fromarray(pixels)
        self._draw = ImageDraw.Draw(self._image)
        self._line = max(1, round(min(self._image.size) / 240))
        self._font = ImageFont.load_default(size=12 * self._line)

    def frame(self, box: Box, color: str, weight: int) -> None:
        x1, y1, x2, y2 = (round(value) for value in box.as_tuple())
        corners = x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)  # first and last pixel of the box
        self._draw.rectangle(corners, outline=color, width=weight * self._line)

    def write(self, x: float, y: float, text: str, color: str) -> None:
        """Write text above a point, moved into the picture if it would not fit."""
        x = max(0.0, min(x, self._image.width - self._draw.textlength(text, self._font)))
        y = max(0.0, y - 16 * self._line)
        self._draw.text((x, y), text, color, self._font, stroke_width=self._line, stroke_fill="black")

    def picture(self) -> Picture:
        return np.asarray(self._image, np.uint8)


def drawn_sheet(frames: Iterable[Frame], start: int, stop: int, regions: Sequence[Region]) -> Picture:
    """A contact sheet, (H, W, 3) uint8, of some of the frames ``start`` to ``stop``."""
    chosen = sheet_frames(start, stop, regions)
    tiles = [_tile(marked(frame.pixels, frame.index, regions)) for frame in frames if frame.index in chosen]
    columns = math.ceil(math.sqrt(len(tiles)))
    return contact_sheet([tiles[first : first + columns] for first in range(0, len(tiles), columns)])


def sheet_frames(start: int, stop: int, regions: Sequence[Region]) -> list[int]:
    """The frames among start..stop that are on a contact sheet: evenly spread over those with a subject, or over all
    frames if there is no subject."""
    seen = sorted({index for region in regions for index in range(region.start, region.stop)})
    frames = seen or list(range(start, stop))
    count = min(SHEET_FRAMES, len(frames))
    return [frames[len(frames) * (2 * place + 1) // (2 * count)] for place in range(count)]


def _tile(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    scale = min(1.0, SHEET_TILE / max(height, width))
    size = Size(max(1, round(width * scale)), max(1, round(height * scale)))
    return zoomed(picture, Box(0, 0, width, height), size)
