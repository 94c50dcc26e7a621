"""Runs subject selection: selections find subjects, filters leave some of them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redetail.region import Region
from redetail.selection.base import Search, Selection
from redetail.selection.filter_base import Filter, LeftOut
from redetail.selection.filters import filtered
from redetail.selection.gates import smaller_parts, with_sharpness
from redetail.selection.size_filters import SmallerFilter, SofterFilter
from redetail.selection.subjects import FoundSubject, numbered


@dataclass(frozen=True)
class SelectedRegions:
    """The existing frames ``start`` to ``stop``, the subjects that were ``found`` in them, and those that were left
    out.

    ``subjects`` are the subjects that are detailed.
    """

    start: int
    stop: int
    found: Sequence[FoundSubject]
    subjects: Sequence[FoundSubject]
    left_out: tuple[LeftOut, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def regions(self) -> list[Region]:
        """The regions of the subjects that are detailed."""
        return [region for subject in self.subjects for region in subject.regions]


def select_regions(
    selections: Sequence[Selection], search: Search, filters: Sequence[Filter[Any]] = ()
) -> SelectedRegions:
    """Read the frames of a part of a clip once, find the subjects in them, and leave out those that filters name.

    Raises :class:`~redetail.errors.InputError` if the part has no frames, and whatever selections and filters raise.
    Unusable boxes and files are refused before any frame is read.
    """
    for selection in selections:
        selection.check(search.size)
    for one in filters:
        one.check()
    found = numbered(region for selection in selections for region in selection.find(search))
    if any(isinstance(one, SofterFilter) for one in filters):
        found = with_sharpness(found, search)
    kept, left_out = filtered(found, filters)
    for limit in (one.value for one in filters if isinstance(one, SmallerFilter)):
        cut = {one.number: smaller_parts(one, limit, search) for one in kept}
        kept, found = list(cut.values()), [cut.get(one.number, one) for one in found]
    notices = (*search.notices, *_notices(selections, found, left_out))
    return SelectedRegions(*search.frame_range(), found, kept, left_out, notices)


def _notices(selections: Sequence[Selection], found: Sequence[FoundSubject], left_out: Sequence[LeftOut]) -> list[str]:
    if not found:
        return [selection.nothing_found for selection in selections]
    if len(left_out) < len(found):
        return []
    reasons = "; ".join(f"{one.label}: {one.reason}" for one in left_out)
    return [f"Nothing was detailed, because every subject was left out ({reasons})."]
