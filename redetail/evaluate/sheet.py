"""Pictures for people: frames side by side, and contact sheets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.errors import InputError
from redetail.files import replacing
from redetail.imaging.resample import crop, to_float
from redetail.optional import require
from redetail.region import Box, Size

Picture = NDArray[np.uint8]

_GAP = 4  # pixels between pictures
_INK, _PAPER = (235, 235, 235), 24


def side_by_side(pictures: Sequence[NDArray[Any]], labels: Sequence[str] = ()) -> Picture:
    """Pictures (h, w, 3) in one row as one uint8 picture with even sides, each with its label in the corner.

    All are shown at the height of the first. Sizes depend only on the pictures' sizes, so that the frames of a clip
    give frames of one size. Raises :class:`~redetail.errors.InputError` for none, and
    :class:`~redetail.errors.DependencyError` where labels are wanted without Pillow.
    """
    if not pictures:
        raise InputError("There is no picture to show.")
    height = pictures[0].shape[0]
    cells = [_at_height(picture, height) for picture in pictures]
    cells = [_labelled(cell, label) for cell, label in zip(cells, _filled(labels, len(cells)), strict=True)]
    return _even(_joined(cells, axis=1))


def contact_sheet(
    rows: Sequence[Sequence[NDArray[Any]]], labels: Sequence[str] = (), row_labels: Sequence[str] = ()
) -> Picture:
    """Rows of pictures (h, w, 3) as one uint8 picture; ``labels`` head the columns, ``row_labels`` follow in each row.

    Rows may differ in length and height. Raises as :func:`side_by_side`.
    """
    if not rows:
        raise InputError("There is no picture to show.")
    strips = []
    for row, name in zip(rows, _filled(row_labels, len(rows)), strict=True):
        heads = _filled(labels, len(row))
        strips.append(side_by_side(row, [" · ".join(filter(None, (head, name))) for head in heads]))
    return _even(_joined(strips, axis=0))


def zoomed(picture: NDArray[Any], box: Box, size: Size) -> Picture:
    """The part of a picture under ``box`` at another size, uint8."""
    return _to_bytes(crop(picture, box, size))


def square_around(box: Box, factor: float) -> Box:
    """A square around the centre of a box, with ``factor`` times its longer side."""
    (x, y), half = box.center, factor / 2 * max(box.width, box.height)
    return Box(x - half, y - half, x + half, y + half)


def save_png(path: Path, picture: Picture) -> None:
    """Write a uint8 picture as PNG; raises :class:`~redetail.errors.OutputError` where it cannot be written."""
    with replacing(path) as temporary:
        require("PIL.Image").fromarray(picture).save(temporary, "PNG")


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
    """Pictures one after the other with a gap; shorter ones stand on paper."""
    other = max(picture.shape[1 - axis] for picture in pictures)
    length = sum(picture.shape[axis] for picture in pictures) + _GAP * (len(pictures) - 1)
    sheet = np.full((other, length, 3) if axis else (length, other, 3), _PAPER, np.uint8)
    start = 0
    for picture in pictures:
        height, width = picture.shape[:2]
        y, x = (0, start) if axis else (start, 0)
        sheet[y : y + height, x : x + width] = picture
        start += picture.shape[axis] + _GAP
    return sheet


def _even(picture: Picture) -> Picture:
    """With even sides, which common video formats need."""
    height, width = picture.shape[:2]
    if height % 2 == width % 2 == 0:
        return picture
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), constant_values=_PAPER)


def _labelled(picture: Picture, label: str) -> Picture:
    if not label:
        return picture
    size = max(11, picture.shape[0] // 24)
    strip = require("PIL.Image").fromarray(np.ascontiguousarray(picture[: 2 * size]))  # a label touches no more
    draw = require("PIL.ImageDraw").Draw(strip, "RGBA")
    font = require("PIL.ImageFont").load_default(size=size)
    left, top, right, bottom = draw.textbbox((6, 4), label, font=font)
    draw.rectangle((left - 4, top - 3, right + 4, bottom + 3), fill=(0, 0, 0, 150))
    draw.text((6, 4), label, font=font, fill=_INK)
    return np.concatenate([np.asarray(strip, np.uint8), picture[2 * size :]])
