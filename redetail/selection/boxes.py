"""Subjects that stay inside boxes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from redetail.documents import WrongKindError, number, shown
from redetail.errors import RegionError
from redetail.region import Box, Region, Size
from redetail.selection.base import CommandOption, Search, Selection
from redetail.tracking import region_from_box

BoxLike = Box | tuple[float, float, float, float]


def parse_box(text: str) -> tuple[float, float, float, float]:
    """The four numbers of ``x1,y1,x2,y2``."""
    try:
        x1, y1, x2, y2 = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a box; give four numbers as x1,y1,x2,y2") from None
    return x1, y1, x2, y2


@dataclass(frozen=True)
class BoxSelection(Selection):
    """Whatever is inside ``boxes``, given in pixels of the frame; one subject for each box."""

    name: ClassVar[str] = "box"
    option: ClassVar[CommandOption] = CommandOption(
        "X1,Y1,X2,Y2", "detail this rectangle, given in pixels; repeatable", parse_box, repeatable=True
    )

    boxes: tuple[Box, ...]

    @classmethod
    def from_option(cls, value: BoxLike | Sequence[BoxLike]) -> Self | None:
        """One or several boxes, each a Box, four numbers or an array; RegionError for anything else."""
        boxes = tuple(_boxes(value))
        return cls(boxes) if boxes else None

    @classmethod
    def from_document(cls, value: Any, folder: Path) -> Self:
        """One box x1, y1, x2, y2, or a list of them."""
        rows = value if isinstance(value, list) and value and isinstance(value[0], list) else [value]
        try:
            return cls(tuple(Box(*map(number, row)) for row in rows))
        except (WrongKindError, TypeError) as error:  # of a side, of their number
            raise WrongKindError("four numbers x1, y1, x2, y2 for one box, or a list of boxes") from error

    def to_document(self) -> list[list[float]]:
        """A list of boxes."""
        return [list(box.as_tuple()) for box in self.boxes]

    def check(self, size: Size) -> None:
        """Refuse boxes that are empty or outside the frame."""
        for box in self.boxes:
            if box.area == 0 or box.clipped(size) is None:
                region_from_box(box, size, 0, 1, crop_factor=1)  # raises with the right message

    def find(self, search: Search) -> list[Region]:
        """One region for each box."""
        start, stop = search.frame_range()
        return [region_from_box(box, search.size, start, stop, crop_factor=search.crop_factor) for box in self.boxes]


def _boxes(given: BoxLike | Sequence[BoxLike]) -> Iterator[Box]:
    if isinstance(given, Box):
        yield given
        return
    try:
        rows = [box.as_tuple() if isinstance(box, Box) else box for box in given]
        sides = np.array(rows, np.float64)
    except (TypeError, ValueError, OverflowError):  # not a sequence, not numbers, or rows of unequal length
        sides = np.empty(())
    if isinstance(given, str) or sides.ndim not in (1, 2) or sides.shape[-1] not in (0, 4):
        raise RegionError(f"box is {shown(given)}; give four numbers x1, y1, x2, y2 for one box, or a list of boxes.")
    yield from (Box(*row) for row in sides.reshape(-1, 4).tolist())
