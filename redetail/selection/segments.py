"""Segments from another tool: SEGS as a JSON document (see docs/segs.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from redetail.documents import load, shown
from redetail.errors import RegionError
from redetail.region import Region, Size
from redetail.selection.base import CommandOption, Search
from redetail.selection.files import FileSelection
from redetail.tracking import regions_from_segs


@dataclass(frozen=True)
class SegmentSelection(FileSelection[Mapping[str, Any]]):
    """The segments that a JSON document lists."""

    name: ClassVar[str] = "segs"
    option: ClassVar[CommandOption] = CommandOption("SEGS.json", "detail the segments in this file from another tool")

    @classmethod
    def from_option(cls, value: Any) -> Self | None:
        """A file's name, or a document."""
        if not isinstance(value, str | Path | Mapping):
            raise RegionError(f"segs is {shown(value)}; give a file name, or a dict with the keys size and segs.")
        return super().from_option(value)

    def check(self, size: Size) -> None:
        """Refuse a document with anything that cannot be used with frames of that size."""
        with self._naming():
            regions_from_segs(self._document(), size, 0, 1)

    def find(self, search: Search) -> list[Region]:
        """One region for each segment."""
        start, stop = search.frame_range()
        with self._naming():
            return regions_from_segs(self._document(), search.size, start, stop)

    def _document(self) -> Mapping[str, Any]:
        if not isinstance(self.given, Path):
            return self.given.value
        document = load(self.given, "JSON", "segments file", "write segments as docs/segs.md shows")
        if not isinstance(document, dict):
            raise RegionError(
                f"{self.given} must contain a JSON object with the keys size and segs, not {shown(document)}."
            )
        return document
