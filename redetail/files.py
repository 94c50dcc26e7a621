"""Writes a file so that it is complete or does not exist: next to its place under a hidden name, then renamed.

An older file of that name stays until the new one is complete, and where writing fails.
"""

from __future__ import annotations

import errno
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from redetail import claims
from redetail.errors import InputError, OutputError

KEPT = "kept as "
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def hidden_name(path: Path) -> Path:
    """A free name next to ``path`` with the same suffix, short enough for any file system; a link is followed."""
    return claims.free_name(followed(path), f"part{path.suffix}")


def expanded(path: str | Path) -> Path:
    """A path with the home folder in place of ``~``; a user that does not exist stays as it is, to be looked for."""
    return Path(os.path.expanduser(path))


def resolved(path: str | Path) -> Path:
    """The whole path without links; links in a circle stay as they are, to be refused when they are opened."""
    return Path(os.path.realpath(expanded(path)))


def check_given(path: Path) -> None:
    """Raise :class:`~redetail.errors.InputError` for a name that no file can have.

    What is merely not there is left to whoever reads it: it may be a name on the hub.
    """
    try:
        expanded(path).stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({reason(error)}); check the name.") from error
    except ValueError as error:
        raise InputError(
            f"The name {str(path)!r} contains characters that no file name can contain; check the name."
        ) from error


def followed(path: Path) -> Path:
    """What a link leads to: that is replaced, and the link stays."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else path


def rename(complete: Path, path: Path) -> None:
    """Force a file or a folder of files to disk and give it its wanted name; raises OSError.

    A file replaces one that is there, a link is followed; a folder replaces an empty one.
    """
    path = followed(path)
    flush(complete)
    if complete.is_dir() and path.is_dir():
        path.rmdir()  # fails, as it should, if it was filled in the meantime
    _replace(complete, path)
    with suppress(OSError):  # not every system lets a folder be opened
        _sync(path.parent, os.O_RDONLY)


def flush(complete: Path) -> None:
    """Force a file or the files of a folder to disk; raises OSError."""
    for file in sorted(complete.iterdir()) if complete.is_dir() else [complete]:
        _sync(file, os.O_RDWR)  # Windows refuses to flush what was opened for reading


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The hidden name to write in this block; at its end it becomes ``path``, after an error it is removed.

    Raises :class:`~redetail.errors.OutputError` if the system does not let it be written.
    """
    temporary = hidden_name(path)
    try:
        temporary.touch(exist_ok=False)
        with claims.held(temporary):
            yield temporary
            rename(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def writing_together(contents: Mapping[Path, bytes]) -> Iterator[None]:
    """Write whole files, which get their names at the end of this block; after an error none of them does.

    Raises :class:`~redetail.errors.OutputError` if one cannot be written, before the block is entered.
    """
    with ExitStack() as stack:
        for path, data in contents.items():
            temporary = stack.enter_context(replacing(path))
            temporary.write_bytes(data)
            flush(temporary)  # a disk that is full says so now
        yield


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Make a folder and those above it that are missing; after an error they are removed again, unless something lies
    in them.

    Raises :class:`~redetail.errors.OutputError` if one cannot be made.
    """
    missing = [one for one in (folder, *folder.parents) if not os.path.lexists(one)]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            raise cannot_write(folder, error) from error
        yield
    except BaseException:
        for one in missing:
            with suppress(OSError, ValueError):
                one.rmdir()
        raise


def encoded(text: str) -> bytes:
    """A text as UTF-8. Names of files may hold bytes that are not text; they are escaped as JSON reads them."""
    return text.encode("utf-8", errors="backslashreplace")


def write_text(path: Path, text: str) -> None:
    """Write a text as :func:`encoded` has it; raises :class:`~redetail.errors.OutputError`."""
    write_bytes(path, encoded(text))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file; raises :class:`~redetail.errors.OutputError`."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def reason(error: BaseException) -> str:
    """The error's own words, without numbers and file names."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return words[:1].lower() + words[1:].rstrip(".")


def cannot_write(path: Path, error: BaseException) -> OutputError:
    """The error of an output that could not be written, with the remedy that fits its cause."""
    number = getattr(error, "errno", None)
    if number in _FULL:
        return OutputError(
            f"{path} could not be written because the disk is full; free some space or choose another folder, then "
            "try again."
        )
    if number == errno.EACCES and reason(error).startswith(KEPT):
        return OutputError(
            f"{path} cannot be replaced, perhaps because another program has it open; the result is {reason(error)}."
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(f"Permission to write {path} is denied; choose another folder.")
    return OutputError(f"{path} could not be written ({reason(error)}); choose another folder or another format.")


def _replace(complete: Path, path: Path) -> None:
    """Rename over ``path``. Windows refuses that while another program has it open: then the work must not be lost."""
    try:
        os.replace(complete, path)
    except PermissionError as error:
        if complete.is_dir() or not path.exists():
            raise
        kept = path.with_name(f"{path.stem}-{uuid.uuid4().hex[:8]}{path.suffix}")
        os.replace(complete, kept)
        raise PermissionError(error.errno, f"{KEPT}{kept}") from error


def _sync(path: Path, access: int) -> None:
    descriptor = os.open(path, access)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def natural_key(path: Path) -> tuple[object, ...]:
    """Sort key that counts: frame2 before frame10."""
    parts = re.split(r"(\d+)", path.name.lower())
    return (*((int(part), "") if part.isdecimal() else (-1, part) for part in parts), path.name)
