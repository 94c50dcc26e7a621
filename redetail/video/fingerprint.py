"""Checks whether a file is still the one that was opened first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from redetail.errors import InputError


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Values that change when a file is replaced or written to: its position on the disk, its length, its modification
    time."""

    path: Path
    place: tuple[int, int]
    length: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> Fingerprint:
        """The fingerprint of a file as it is now; raises :class:`~redetail.errors.InputError` if it is gone."""
        try:
            status = path.stat()
        except OSError as error:
            raise _replaced(path) from error
        return cls(path, (status.st_dev, status.st_ino), status.st_size, status.st_mtime_ns)

    def check(self) -> None:
        """Raise :class:`~redetail.errors.InputError` if the file is no longer the same."""
        if Fingerprint.of(self.path) != self:
            raise _replaced(self.path)


def _replaced(path: Path) -> InputError:
    return InputError(
        f"{path} was changed or replaced while it was being read; run the command again, and leave the file "
        "unchanged until the run ends."
    )
