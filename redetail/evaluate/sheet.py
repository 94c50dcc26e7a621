"""Pictures for people: frames side by side, and contact sheets."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.errors import InputError
from redetail.files import write_bytes
from redetail.imaging.resample import crop, to_float
from redetail.optional import require
from redetail.region import Box, Size

Picture = NDArray[np.uint8]

_GAP = 4  # pixels between pictures
PAPER = 24
_INK, _PALE = (235, 235, 235), (165, 165, 165)


def side_by_side(pictures: Sequence[NDArray[Any]], labels: Sequence[str] = ()) -> Picture:
    """Pictures (h, w, 3) in one row as one uint8 picture with even sides; each has its label in the corner.

    All are shown at the height of the first. The size of the result depends only on the sizes of the pictures, so it is
    the same for all frames of a clip. Raises :class:`~redetail.errors.InputError` if there are no pictures, and
    :class:`~redetail.errors.DependencyError` for labels without Pillow.
    """
    if not pictures:
        raise InputError("There is no picture to show; give at least one.")
    height = pictures[0].shape[0]
    cells = [_at_height(picture, height) for picture in pictures]
    cells = [labelled(cell, label) for cell, label in zip(cells, _filled(labels, len(cells)), strict=True)]
    return _even(_joined(cells, axis=1))


def contact_sheet(
    rows: Sequence[Sequence[NDArray[Any]]], labels: Sequence[str] = (), row_labels: Sequence[str] = ()
) -> Picture:
    """Rows of pictures (h, w, 3) as one uint8 picture; ``labels`` are above the columns, ``row_labels`` above the rows.

    Rows can differ in length and height. Text that does not fit is cut off. Raises the errors of :func:`side_by_side`.
    """
    if not rows:
        raise InputError("There is no picture to show; give at least one.")
    strips = [side_by_side(row) for row in rows]
    width = max(strip.shape[1] for strip in strips)
    shortest = min(strip.shape[0] for strip in strips)
    size = min(22, max(12, shortest // 16))
    parts = []
    if any(labels):
        height = rows[0][0].shape[0]
        widths = [round(one.shape[1] * height / one.shape[0]) + _GAP for one in rows[0]]
        starts = np.cumsum([0, *widths[:-1]]).tolist()
        heads = _filled(labels, len(widths))
        parts.append(_text_strip(list(zip(heads, starts, widths, strict=True)), width, size, _INK))
    for strip, name in zip(strips, _filled(row_labels, len(strips)), strict=True):
        parts += [_text_strip([(name, 0, width)], width, size, _PALE)] if name else []
        parts.append(strip)
    return _even(_joined(parts, axis=0))


def zoomed(picture: NDArray[Any], box: Box, size: Size) -> Picture:
    """The part of a picture under ``box``, scaled to ``size``; uint8."""
    return _to_bytes(crop(picture, box, size))


def magnified(picture: NDArray[Any], times: int) -> Picture:
    """A picture enlarged ``times`` by repeating pixels, without a filter; uint8."""
    return _to_bytes(picture).repeat(times, axis=0).repeat(times, axis=1)


def square_around(box: Box, factor: float) -> Box:
    """A square around the centre of a box, with sides ``factor`` times as long as the box's longer side."""
    (x, y), half = box.center, factor / 2 * max(box.width, box.height)
    return Box(x - half, y - half, x + half, y + half)


def png(picture: Picture) -> bytes:
    """A uint8 picture as the content of a PNG file."""
    content = io.BytesIO()
    require("PIL.Image").fromarray(picture).save(content, "PNG")
    return content.getvalue()


def save_png(path: Path, picture: Picture) -> None:
    """Write a uint8 picture as PNG; raises :class:`~redetail.errors.OutputError` if it cannot be written."""
    write_bytes(path, png(picture))


def _at_height(picture: NDArray[Any], height: int) -> Picture:
    rows, columns = picture.shape[:2]
    if rows == height:
        return _to_bytes(picture)
    size = Size(max(1, round(columns * height / rows)), height)
    return zoomed(picture, Box(0, 0, columns, rows), size)


def _to_bytes(pixels: NDArray[Any]) -> Picture:
    if pixels.dtype == np.uint8:
        return pixels
    return np.rint(to_float(pixels) * 255).astype(np.uint8)


def _filled(labels: Sequence[str], count: int) -> list[str]:
    return [*labels, *[""] * count][:count]


def _joined(pictures: Sequence[Picture], axis: int) -> Picture:
    """Pictures one after the other with a gap; shorter ones are placed on the background."""
    other = max(picture.shape[1 - axis] for picture in pictures)
    length = sum(picture.shape[axis] for picture in pictures) + _GAP * (len(pictures) - 1)
    sheet = np.full((other, length, 3) if axis else (length, other, 3), PAPER, np.uint8)
    start = 0
    for picture in pictures:
        height, width = picture.shape[:2]
        y, x = (0, start) if axis else (start, 0)
        sheet[y : y + height, x : x + width] = picture
        start += picture.shape[axis] + _GAP
    return sheet


def _even(picture: Picture) -> Picture:
    """The picture with even sides, which common video formats require."""
    height, width = picture.shape[:2]
    if height % 2 == width % 2 == 0:
        return picture
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), constant_values=PAPER)


def _text_strip(texts: Sequence[tuple[str, int, int]], width: int, size: int, ink: tuple[int, int, int]) -> Picture:
    """A strip with texts, each at its x position and cut off at its width."""
    strip = require("PIL.Image").new("RGB", (width, round(size * 1.7)), (PAPER,) * 3)
    draw = require("PIL.ImageDraw").Draw(strip)
    font = require("PIL.ImageFont").load_default(size=size)
    for text, x, room in texts:
        draw.text((x + size // 3, size // 4), _fitted(text, room - size // 2, font.getlength), font=font, fill=ink)
    return np.asarray(strip, np.uint8)


def _fitted(text: str, room: float, length: Callable[[str], float]) -> str:
    """The text, or as much of its beginning as fits."""
    if length(text) <= room:
        return text
    while text and length(text + "…") > room:
        text = text[:-1]
    return text + "…"


def labelled(picture: Picture, label: str) -> Picture:
    """A picture with a label in its upper left corner."""
    if not label:
        return picture
    size = max(11, picture.shape[0] // 24)
    strip = require("PIL.Image").fromarray(np.ascontiguousarray(picture[: 2 * size]))  # a label covers no more
    draw = require("PIL.ImageDraw").Draw(strip, "RGBA")
    font = require("PIL.ImageFont").load_default(size=size)
    left, top, right, bottom = draw.textbbox((6, 4), label, font=font)
    draw.rectangle((left - 4, top - 3, right + 4, bottom + 3), fill=(0, 0, 0, 150))
    draw.text((6, 4), label, font=font, fill=_INK)
    return np.concatenate([np.asarray(strip, np.uint8), picture[2 * size :]])
