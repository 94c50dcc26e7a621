"""Writes files so that each is either complete or does not exist: first under a hidden name next to the final one.

An older file with the same name stays until the new one is complete, and also if writing fails.
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
    """A path with ``~`` replaced by the home folder; the name of a user who does not exist stays as it is."""
    return Path(os.path.expanduser(path))


def resolved(path: str | Path) -> Path:
    """The absolute path without links; circular links stay as they are, and are refused when they are opened."""
    return Path(os.path.realpath(expanded(path)))


def check_given(path: Path) -> None:
    """Raise :class:`~redetail.errors.InputError` for a name that no file can have.

    Whether the file exists is left to the code that reads it, since it can be a name on the hub.
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
    """The target of a link, so that the target is replaced and the link stays."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else path


def rename(complete: Path, path: Path) -> None:
    """Force a file or a folder of files to disk and give it its final name; raises OSError.

    A file replaces an existing file, a folder replaces an existing empty folder, and links are followed.
    """
    path = followed(path)
    flush(complete)
    if complete.is_dir() and path.is_dir():
        path.rmdir()  # fails, as it should, if the folder was filled in the meantime
    _replace(complete, path)
    with suppress(OSError):  # not every system can open a folder
        _sync(path.parent, os.O_RDONLY)


def flush(complete: Path) -> None:
    """Force a file or the files of a folder to disk; raises OSError."""
    for file in sorted(complete.iterdir()) if complete.is_dir() else [complete]:
        _sync(file, os.O_RDWR)  # Windows refuses to flush what was opened for reading


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The hidden name to write to in this block. At the end the file becomes ``path``; after an error it is removed.

    Raises :class:`~redetail.errors.OutputError` if the file cannot be written.
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
    """Write whole files, all of which get their names at the end of this block; after an error, none does.

    Before the block is entered, raises :class:`~redetail.errors.OutputError` if a file cannot be written.
    """
    with ExitStack() as stack:
        for path, data in contents.items():
            temporary = stack.enter_context(replacing(path))
            temporary.write_bytes(data)
            flush(temporary)  # a full disk is noticed here
        yield


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Make a folder and any missing parents; after an error they are removed again, unless something is in them.

    Raises :class:`~redetail.errors.OutputError` if a folder cannot be made.
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
    """A text as UTF-8. Names of files may hold bytes that are not text; these are escaped in the way that JSON
    reads."""
    return text.encode("utf-8", errors="backslashreplace")


def write_text(path: Path, text: str) -> None:
    """Write a text in the form of :func:`encoded`; raises :class:`~redetail.errors.OutputError`."""
    write_bytes(path, encoded(text))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file; raises :class:`~redetail.errors.OutputError`."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def reason(error: BaseException) -> str:
    """The error's message, without numbers and file names."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return words[:1].lower() + words[1:].rstrip(".")


def cannot_write(path: Path, error: BaseException) -> OutputError:
    """The error for an output that could not be written, with a remedy that fits the cause."""
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
    """Rename over ``path``. Windows refuses this while another program has the file open; the work must not be lost
    then."""
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
    """Sort key that compares numbers by value: frame2 before frame10."""
    parts = re.split(r"(\d+)", path.name.lower())
    return (*((int(part), "") if part.isdecimal() else (-1, part) for part in parts), path.name)
