"""Boxes as text in the page's field: one per line, fixed as x1,y1,x2,y2, or followed as x1,y1,x2,y2@TIME."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redetail.documents import shown
from redetail.errors import RegionError
from redetail.region import Box
from redetail.selection.follow import FollowBox
from redetail.video.span import check_position

MOST = 64
"""Boxes of a job that come from the page."""
_LONGEST = 20_000
"""Characters."""
FORM = "give one box per line as x1,y1,x2,y2, or as x1,y1,x2,y2@TIME if the box should follow what is inside it"


@dataclass(frozen=True)
class Marks:
    """Boxes in pixels of the frame: ``fixed`` ones, and ``followed`` ones, each with the time at which it was drawn."""

    fixed: tuple[Box, ...] = ()
    followed: tuple[FollowBox, ...] = ()

    @classmethod
    def parse(cls, text: Any) -> Marks:
        """The marks that a text lists; corners may be in any order. Raises :class:`~redetail.errors.RegionError`, and
        :class:`~redetail.errors.SettingsError` for a time that cannot be read."""
        if not isinstance(text, str) or len(text) > _LONGEST:
            raise RegionError(f"The boxes are {shown(text)}; {FORM}.")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if len(lines) > MOST:
            raise RegionError(f"There are {len(lines)} boxes; mark at most {MOST}.")
        boxes = [_parsed(line) for line in lines]
        fixed = tuple(one.box for one in boxes if one.at is None)
        return cls(fixed, tuple(one for one in boxes if one.at is not None))

    def __bool__(self) -> bool:
        return bool(self.fixed or self.followed)

    def __str__(self) -> str:
        return "\n".join([*map(_typed, self.fixed), *map(str, self.followed)])

    def on(self, frame: int) -> list[Box]:
        """The boxes to draw on a frame: fixed ones, and those that were drawn on it."""
        return [*self.fixed, *(one.box for one in self.followed if one.at == f"{frame}f")]

    def as_options(self) -> dict[str, Any]:
        """Keywords of a job."""
        given = {"box": self.fixed, "follow": self.followed}
        return {name: boxes for name, boxes in given.items() if boxes}


def new_mark(first: tuple[float, float], second: tuple[float, float], frame: int | None) -> str:
    """The line for a box between two corners; ``frame``: where it was drawn, for one that is followed.

    Raises :class:`~redetail.errors.RegionError` for a box without area.
    """
    box = _upright(*first, *second)
    if box.area == 0:
        raise RegionError("Both corners are in the same row or column; click the opposite corner.")
    return _typed(box) if frame is None else str(FollowBox(box, f"{frame}f"))


def _parsed(line: str) -> FollowBox:
    corners, followed, at = line.partition("@")
    try:
        x1, y1, x2, y2 = (float(part) for part in corners.split(","))
    except ValueError:
        raise RegionError(f"{shown(line)} is not a box; {FORM}.") from None
    if followed:
        check_position("the time of a box", at)
    return FollowBox(_upright(x1, y1, x2, y2), at if followed else None)


def _upright(x1: float, y1: float, x2: float, y2: float) -> Box:
    return Box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))


def _typed(box: Box) -> str:
    return ",".join(f"{side:g}" for side in box.as_tuple())
