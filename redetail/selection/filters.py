"""Filters: which of the subjects that were found are detailed.

To add one, write one class and add one line to ``FILTERS``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

from redetail.documents import WrongKindError, named, number, text
from redetail.errors import SettingsError, UnknownNameError
from redetail.files import expanded, resolved
from redetail.selection.base import CommandOption
from redetail.selection.filter_base import Filter, LeftOut, Name
from redetail.selection.people import described_pictures, recognised
from redetail.selection.size_filters import LargestFilter, SizeFilter, SmallerFilter, SofterFilter
from redetail.selection.subjects import FoundSubject


def _names(value: Any) -> tuple[Name, ...]:
    """Numbers and labels: one, a list, or lists of them."""
    if isinstance(value, list | tuple):
        return tuple(name for one in value for name in _names(one))
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise WrongKindError("numbers or labels of tracks")
    return (value,)


def _typed_names(typed: str) -> list[Name]:
    """The names in a text such as ``1,3`` or ``face 2``."""
    parts = [part.strip() for part in typed.split(",") if part.strip()]
    return [int(part) if part.isdecimal() else part for part in parts]


def _check_known(names: Iterable[Name], subjects: Sequence[FoundSubject]) -> None:
    for name in names:
        if not any(subject.named(name) for subject in subjects):
            raise UnknownNameError("subject", name, [*map(str, subjects)])


@dataclass(frozen=True)
class OnlyFilter(Filter[tuple[Name, ...]]):
    """Details only subjects with these numbers or labels."""

    name: ClassVar[str] = "only"
    option: ClassVar[CommandOption] = CommandOption(
        "TRACK[,TRACK]",
        "detail only these subjects; give their numbers or labels, as printed by redetail detect",
        _typed_names,
        True,
    )

    @staticmethod
    def read(value: Any) -> tuple[Name, ...]:
        """Numbers and labels."""
        return _names(value)

    def left_out(self, subjects: Sequence[FoundSubject]) -> Mapping[int, str]:
        """All other subjects."""
        _check_known(self.value, subjects)
        return {one.number: "not among --only" for one in subjects if not any(map(one.named, self.value))}


@dataclass(frozen=True)
class SkipFilter(Filter[tuple[Name, ...]]):
    """Leaves out subjects with these numbers or labels."""

    name: ClassVar[str] = "skip"
    option: ClassVar[CommandOption] = CommandOption(
        "TRACK[,TRACK]", "leave these subjects as they are", _typed_names, True
    )

    @staticmethod
    def read(value: Any) -> tuple[Name, ...]:
        """Numbers and labels."""
        return _names(value)

    def left_out(self, subjects: Sequence[FoundSubject]) -> Mapping[int, str]:
        """The subjects with these numbers or labels."""
        _check_known(self.value, subjects)
        return {one.number: "skipped" for one in subjects if any(map(one.named, self.value))}


@dataclass(frozen=True)
class ConfidenceFilter(Filter[float]):
    """Leaves out subjects whose mean confidence over their frames is lower."""

    name: ClassVar[str] = "min_confidence"
    option: ClassVar[CommandOption] = CommandOption(
        "X", "leave out subjects whose confidence is below this value (0 to 1)", float
    )

    @staticmethod
    def read(value: Any) -> float:
        """A number."""
        return number(value)

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 1:
            raise SettingsError(f"min-confidence is {self.value:g}; it must be between 0 and 1.")

    def left_out(self, subjects: Sequence[FoundSubject]) -> Mapping[int, str]:
        """The subjects with less confidence."""
        return {
            one.number: f"confidence {one.confidence:.2f} is below {self.value:g}"
            for one in subjects
            if one.confidence < self.value
        }


@dataclass(frozen=True)
class WhoFilter(Filter[tuple[Path, ...]]):
    """Details only the people that pictures show."""

    name: ClassVar[str] = "who"
    option: ClassVar[CommandOption] = CommandOption(
        "PICTURE", "detail only the person in this picture; repeatable", str, True
    )

    @staticmethod
    def read(value: Any) -> tuple[Path, ...]:
        """One file name, or several."""
        several = value if isinstance(value, list | tuple) else [value]
        return tuple(expanded(one if isinstance(one, Path) else text(one)) for one in several)

    @classmethod
    def from_document(cls, value: Any, folder: Path) -> Self:
        """One file name, or several."""
        return cls(tuple(folder / path for path in cls.read(value)))

    def to_document(self) -> list[str]:
        """The absolute paths of the pictures."""
        return [str(resolved(path)) for path in self.value]

    @property
    def files(self) -> tuple[Path, ...]:
        """The pictures."""
        return self.value

    def check(self) -> None:
        """Refuse pictures that do not show a face."""
        described_pictures(self.value)

    def left_out(self, subjects: Sequence[FoundSubject]) -> Mapping[int, str]:
        """Everyone else, and subjects whose faces are too small to compare."""
        known = recognised(described_pictures(self.value), subjects)
        return {
            one.number: "not the person shown by --who"
            if one.descriptor is not None
            else "too small to compare with --who"
            for one in subjects
            if one.number not in known
        }


@dataclass(frozen=True)
class ClassFilter(Filter[tuple[str, ...]]):
    """Details only subjects of these classes, as the detector names them."""

    name: ClassVar[str] = "detector_classes"
    option: ClassVar[CommandOption] = CommandOption(
        "NAME[,NAME]",
        "detail only subjects of these classes; use the class names of the --detector file",
        str,
        True,
    )

    @staticmethod
    def read(value: Any) -> tuple[str, ...]:
        """Names: one, several after commas, or a list of them."""
        several = value if isinstance(value, list | tuple) else [value]
        names = [part.strip() for one in several for part in text(one).split(",")]
        if not all(names):
            raise WrongKindError("names of classes")
        return tuple(names)

    def left_out(self, subjects: Sequence[FoundSubject]) -> Mapping[int, str]:
        """The subjects of other classes."""
        return {
            one.number: f"{one.kind!r} is not among --detector-classes"
            for one in subjects
            if one.kind not in self.value
        }


FILTERS: Mapping[str, type[Filter[Any]]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            OnlyFilter,
            SkipFilter,
            ClassFilter,
            ConfidenceFilter,
            SizeFilter,
            SmallerFilter,
            SofterFilter,
            WhoFilter,
            LargestFilter,
        )
    }
)
"""Filters by name, in the order in which they are applied."""


def filters_from_options(options: Mapping[str, Any]) -> tuple[Filter[Any], ...]:
    """The filters that keywords or typed options ask for; raises :class:`~redetail.errors.SettingsError` for bad
    values."""
    return tuple(kind.from_option(options[name]) for name, kind in FILTERS.items() if options.get(name) is not None)


def filters_from_document(table: Mapping[str, Any], folder: Path) -> tuple[Filter[Any], ...]:
    """The filters of a document; raises :class:`~redetail.errors.SettingsError` for a value of the wrong kind."""

    def read(kind: type[Filter[Any]]) -> Filter[Any]:
        return named(kind.name, lambda value: kind.from_document(value, folder), table[kind.name])

    return tuple(read(kind) for name, kind in FILTERS.items() if name in table)


def laid_over(filters: Sequence[Filter[Any]], typed: Sequence[Filter[Any]]) -> tuple[Filter[Any], ...]:
    """``filters``, overridden by ``typed`` ones of the same name, in the order in which they are applied."""
    by_name = {one.name: one for one in (*filters, *typed)}
    return tuple(by_name[name] for name in FILTERS if name in by_name)


def filtered(
    subjects: Sequence[FoundSubject], filters: Sequence[Filter[Any]]
) -> tuple[list[FoundSubject], tuple[LeftOut, ...]]:
    """The subjects that every filter keeps, and why the others are left out.

    Raises :class:`~redetail.errors.UnknownNameError` for a number or label that was not found.
    """
    reasons: dict[int, str] = {}
    for one in filters:
        every = isinstance(one, OnlyFilter | SkipFilter)  # including subjects that are already left out
        reasons = {**one.left_out([s for s in subjects if every or s.number not in reasons]), **reasons}
    kept = [subject for subject in subjects if subject.number not in reasons]
    gone = tuple(LeftOut(s.number, s.label, reasons[s.number]) for s in subjects if s.number in reasons)
    return kept, gone
