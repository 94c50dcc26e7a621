"""Selections that a file describes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from redetail.documents import text
from redetail.errors import RegionError
from redetail.files import expanded
from redetail.selection.base import InMemory, Selection

T = TypeVar("T")


@dataclass(frozen=True)
class FileSelection(Selection, Generic[T]):
    """A selection that is read from a file, or ``given`` as the object that the file would hold."""

    given: Path | InMemory[T]

    @classmethod
    def from_option(cls, value: Any) -> Self | None:
        """A file's name, or the object."""
        return cls(expanded(value) if isinstance(value, str | Path) else InMemory(value))

    @classmethod
    def from_document(cls, value: Any, folder: Path) -> Self:
        """A file's name."""
        return cls(folder / expanded(text(value)))

    def to_document(self) -> str | None:
        """The file's absolute path."""
        return str(self.given.resolve()) if isinstance(self.given, Path) else None

    @property
    def files(self) -> tuple[Path, ...]:
        """The file."""
        return (self.given,) if isinstance(self.given, Path) else ()

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Put the file's name in front of errors in its content."""
        try:
            yield
        except RegionError as error:
            if isinstance(self.given, Path) and self.given.name not in str(error):
                raise RegionError(f"{self.given}: {error}") from error
            raise
