"""What goes wrong inside FFmpeg, in words for a person."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redetail.errors import DependencyError, OutputError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def requires(package: str, *modules: str) -> Iterator[None]:
    """Import optional packages inside: a missing one raises :class:`~redetail.errors.DependencyError`.

    ``package`` is the name to install; ``modules`` the top-level names by which it is imported.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in modules:
            raise
        raise DependencyError(package, "standalone") from error


def reason(error: BaseException) -> str:
    """The error's own words, without numbers and file names."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return words[:1].lower() + words[1:].rstrip(".")


def cannot_write(path: Path, error: BaseException) -> OutputError:
    """The error of an output that could not be written, with the way out that fits its cause."""
    number = getattr(error, "errno", None)
    if number in _FULL:
        return OutputError(
            f"{path} could not be written because the disk is full; free some space or choose another folder, "
            "then run it again."
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(f"There is no permission to write {path}; choose another folder.")
    return OutputError(f"{path} could not be written ({reason(error)}); choose another place or another format.")
