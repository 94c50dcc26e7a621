"""Layouts of comparison videos: each frame shows any number of clips of one scene in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.errors import UnknownNameError
from redetail.evaluate.sheet import Picture, contact_sheet, labelled, side_by_side, square_around, zoomed
from redetail.geometry.scale import ratios
from redetail.region import Region, Size

LAYOUTS = ("crops", "side", "split", "wipe")
"""``crops``: each subject zoomed, the source above the results (next to them if there is one subject); ``side``:
whole frames side by side; ``split``: one frame, in bands of the clips from left to right; ``wipe``: the same with lines
that move."""
MOST_SUBJECTS = 4
AROUND = 1.8
"""Side of a zoomed window, as a multiple of the side of the subject's largest box."""
TILE = 480, 320
"""Side of a zoomed window in pixels: for one or two subjects, and for more."""
_PERIOD = 72  # frames of a wipe in both directions: three seconds at 24 frames per second
_LINE = 2  # pixels


class Layout:
    """Makes one picture from the frames of several clips: (h, w, 3) uint8, always of the same size.

    ``kind``: one of ``LAYOUTS``; ``labels``: the labels of the clips, in order; ``regions``: the subjects, in pixels of
    frames with the size ``framed``; ``size``: size of the frames that come in. Without subjects, ``crops`` shows whole
    frames side by side. Raises :class:`~redetail.errors.UnknownNameError` for another kind.
    """

    def __init__(self, kind: str, labels: Sequence[str], regions: Sequence[Region], framed: Size, size: Size) -> None:
        if kind not in LAYOUTS:
            raise UnknownNameError("layout", kind, LAYOUTS)
        self._labels, self._scale, self._frame = list(labels), ratios(framed, size), size
        subjects: dict[str, list[Region]] = {}
        for region in regions:
            subjects.setdefault(region.label, []).append(region)
        self._subjects = list(subjects.values())[:MOST_SUBJECTS]
        self._kind = kind if self._subjects or kind != "crops" else "side"

    @property
    def size(self) -> Size:
        """The size of the pictures."""
        empty = [np.zeros((*self._frame.shape, 3), np.uint8)] * len(self._labels)
        height, width = self(0, empty).shape[:2]
        return Size(width, height)

    def __call__(self, index: int, pictures: Sequence[NDArray[Any]]) -> Picture:
        """The picture for frame ``index``; ``pictures`` are the clips' frames, uint8 or uint16."""
        if self._kind == "crops":
            return self._crops(index, pictures)
        return self._side(pictures) if self._kind == "side" else self._bands(index, pictures)

    def _side(self, pictures: Sequence[NDArray[Any]]) -> Picture:
        return side_by_side(pictures, self._labels)

    def _bands(self, index: int, pictures: Sequence[NDArray[Any]]) -> Picture:
        joined = side_by_side(pictures[:1])
        width, count = pictures[0].shape[1], len(pictures)
        # A triangle wave from -1 to 1 and back; lines move by up to half a band, so part of each clip is always
        # visible.
        swing = 1 - 4 * abs((index / _PERIOD + 0.25) % 1 - 0.5) if self._kind == "wipe" else 0.0
        edges = [0, *(round(width * (number + swing / 2) / count) for number in range(1, count)), width]
        height = pictures[0].shape[0]
        for label, picture, start, stop in zip(self._labels, pictures, edges, edges[1:], strict=False):
            whole = side_by_side([picture])[:height]
            joined[:height, start:stop] = whole[:, start:stop]
            if stop - start > _LINE:
                joined[:height, start:stop] = labelled(joined[:height, start:stop], label)
        for edge in edges[1:-1]:
            joined[:height, max(0, edge - _LINE // 2) : edge + _LINE // 2] = 255
        return joined

    def _crops(self, index: int, pictures: Sequence[NDArray[Any]]) -> Picture:
        several = len(self._subjects) > 1
        tile = TILE[len(self._subjects) > 2]
        rows = [[self._zoomed(picture, subject, index, tile) for subject in self._subjects] for picture in pictures]
        if not several:
            return side_by_side([row[0] for row in rows], self._labels)
        names = [[f"{label}: {subject[0].label}" for subject in self._subjects] for label in self._labels]
        return contact_sheet([[side_by_side(row, name)] for row, name in zip(rows, names, strict=True)])

    def _zoomed(self, picture: NDArray[Any], subject: Sequence[Region], index: int, tile: int) -> Picture:
        """The window around a subject; while the subject is not seen, around its next position, or else its last
        one."""
        region = min(subject, key=lambda one: max(one.start - index, index - one.stop + 1, 0))
        box = region.box(min(max(index - region.start, 0), len(region) - 1))
        side = max(float((one.boxes[:, 2:] - one.boxes[:, :2]).max()) for one in subject)
        window = square_around(box, AROUND * side / max(box.width, box.height)).scaled(*self._scale)
        x = min(max(0.0, window.x1), max(0.0, self._frame.width - window.width))
        y = min(max(0.0, window.y1), max(0.0, self._frame.height - window.height))
        return zoomed(picture, window.moved(x - window.x1, y - window.y1), Size(tile, tile))
