"""Subject selection: which subjects are detailed.

To add a kind, write one module here and add one line to ``KINDS``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from redetail.documents import named
from redetail.errors import SettingsError
from redetail.selection.base import Search, Selection
from redetail.selection.boxes import BoxSelection
from redetail.selection.detected import DetectorSelection
from redetail.selection.detector_file import DetectorFileSelection
from redetail.selection.filter_base import Filter
from redetail.selection.filters import FILTERS, filters_from_document, filters_from_options
from redetail.selection.follow import FollowSelection
from redetail.selection.masks import MaskSelection
from redetail.selection.segments import SegmentSelection
from redetail.selection.selected import SelectedRegions, select_regions
from redetail.selection.tracks import TracksSelection

__all__ = [
    "DEFAULT",
    "FILTERS",
    "Filter",
    "Search",
    "SelectedRegions",
    "Selection",
    "filters_from_document",
    "filters_from_options",
    "kinds",
    "select_regions",
    "selections_from_document",
    "selections_from_options",
]

KINDS: Mapping[str, type[Selection]] = MappingProxyType(
    {
        "detect": DetectorSelection,
        "detector": DetectorFileSelection,
        "box": BoxSelection,
        "follow": FollowSelection,
        "mask": MaskSelection,
        "segs": SegmentSelection,
        "tracks": TracksSelection,
    }
)
"""Kinds of selection by name, in the order of ``--help``."""

DEFAULT: tuple[Selection, ...] = (DetectorSelection(),)
"""What is detailed where nothing is selected."""


def kinds() -> Mapping[str, type[Selection]]:
    """Every kind of selection by name: the library's keyword, the documents' key and the command line's option."""
    return KINDS


def selections_from_options(options: Mapping[str, Any]) -> tuple[Selection, ...]:
    """The selections that keywords or typed options, named as in :func:`kinds`, ask for; empty if there are none.

    Raises :class:`~redetail.errors.RedetailError` for an unusable value, and for a detector together with another kind
    of selection.
    """
    given = {name: options[name] for name in kinds() if options.get(name) is not None}
    made = (kinds()[name].from_option(value) for name, value in given.items())
    selections = tuple(selection for selection in made if selection is not None)
    _check_detector_alone(selections)
    return selections


def selections_from_document(table: Mapping[str, Any], folder: Path) -> tuple[Selection, ...]:
    """What a document selects; file names are relative to ``folder``.

    Raises :class:`~redetail.errors.SettingsError` for a value of the wrong kind, and for a detector together with
    another kind of selection. Documents without a version name a detector even if it was not used; there it is ignored.
    """

    def read(name: str) -> Selection:
        return named(name, lambda value: kinds()[name].from_document(value, folder), table[name])

    selections = tuple(read(name) for name in kinds() if name in table)
    if "job_version" in table:
        _check_detector_alone(selections)
        return selections
    return tuple(one for one in selections if not isinstance(one, DetectorSelection)) or selections


def _check_detector_alone(selections: tuple[Selection, ...]) -> None:
    """Refuse a detector together with boxes, masks or segments: it would not be used."""
    others = [one.name for one in selections if not isinstance(one, DetectorSelection)]
    if others and len(others) < len(selections):
        raise SettingsError(
            f"The settings detect and {others[0]} were both given, but detect applies only if nothing else selects the "
            "subjects; give only one of them."
        )
