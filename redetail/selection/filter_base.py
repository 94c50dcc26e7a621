"""The base of filters: each is one reason not to detail a subject that was found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from redetail.documents import named
from redetail.selection.base import CommandOption
from redetail.selection.subjects import FoundSubject

Name = int | str
T = TypeVar("T")


@dataclass(frozen=True)
class LeftOut:
    """A subject that was found and is not detailed, and why."""

    number: int
    label: str
    reason: str


@dataclass(frozen=True)
class Filter(ABC, Generic[T]):
    """One reason to leave out subjects, with the value that was requested.

    ``name`` is the keyword of :func:`redetail.detail` and the key of job documents; ``option`` says how the value is
    typed on the command line. Raises :class:`~redetail.errors.SettingsError` for a value out of range.
    """

    name: ClassVar[str]
    option: ClassVar[CommandOption]

    value: T

    @staticmethod
    @abstractmethod
    def read(value: Any) -> Any:
        """The value from a document or a caller; raises :class:`~redetail.documents.WrongKindError` for another
        type."""

    @classmethod
    def from_option(cls, value: Any) -> Self:
        """The filter that a caller of the library or of the command line means."""
        return cls(named(cls.name, cls.read, value))

    @classmethod
    def from_document(cls, value: Any, folder: Path) -> Self:
        """The filter that a document holds under ``name``; file names are relative to ``folder``."""
        return cls(cls.read(value))

    def to_document(self) -> Any:
        """What :meth:`from_document` reads."""
        return list(self.value) if isinstance(self.value, tuple) else self.value

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the filter reads."""
        return ()

    def check(self) -> None:
        """Refuse values that cannot be used, before the clip is read."""
        return

    @abstractmethod
    def left_out(self, subjects: Sequence[FoundSubject]) -> Mapping[int, str]:
        """The reasons why subjects are left out, by the subjects' numbers."""
