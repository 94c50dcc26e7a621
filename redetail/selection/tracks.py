"""Subjects that a tracks document lists. ``redetail track`` writes such a document; people can edit it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from redetail.documents import read_text, shown
from redetail.errors import RegionError
from redetail.region import Region, Size
from redetail.selection.base import CommandOption, Search
from redetail.selection.files import FileSelection
from redetail.selection.tracks_document import Tracks


@dataclass(frozen=True)
class TracksSelection(FileSelection[Tracks]):
    """The subjects of a tracks document, in the frames that the document names."""

    name: ClassVar[str] = "tracks"
    option: ClassVar[CommandOption] = CommandOption(
        "TRACKS.json", "detail the subjects in this file (written by redetail track)"
    )

    @classmethod
    def from_option(cls, value: Any) -> Self | None:
        """A file's name, or tracks."""
        if not isinstance(value, str | Path | Tracks):
            raise RegionError(f"tracks is {shown(value)}; give the name of a file written by redetail track.")
        return super().from_option(value)

    def check(self, size: Size) -> None:
        """Refuse a file that is not a tracks document, or that is for frames of another size."""
        tracks = self._tracks()
        if tracks.size != size:
            with self._naming():
                raise RegionError(
                    f"The tracks are for {tracks.size}-pixel frames, but the frames of this clip are {size}; run "
                    "redetail track on this clip."
                )

    def find(self, search: Search) -> list[Region]:
        """The regions of the document's tracks in the part of the clip that is searched."""
        start, stop = search.frame_range()
        return self._tracks().regions(search.crop_factor, start, stop)

    def _tracks(self) -> Tracks:
        if not isinstance(self.given, Path):
            return self.given.value
        return read_tracks(self.given)


def read_tracks(path: Path) -> Tracks:
    """The tracks in a file; raises :class:`~redetail.errors.RegionError` with the line and the key of an error."""
    return Tracks.from_text(read_text(path, "JSON", "tracks file"), path)
