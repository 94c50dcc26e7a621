"""Tracks names that a running process has claimed, and files that killed processes have left behind.

A process claims a name by locking a hidden file. The system releases the lock when the process ends, however it ends,
so a lock that can be taken does not belong to a running process.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from redetail import locks
from redetail.errors import OutputError
from redetail.uninterrupted import uninterrupted

MARK = "redetail"
_LEFTOVER = re.compile(rf"\..*\.{MARK}-[0-9a-f]{{8}}\.(part(\.\w+)?|claim)|\.{MARK}-\w{{8}}\.crops")
_WORK = re.compile(rf"\..*\.{MARK}-[0-9a-f]{{8}}\.work")
_FRESH = 2.0  # seconds: a process may not have locked a file that it just made
_LONGEST = 100  # bytes of a name that a hidden name repeats, so that it stays below 255


def hidden_name(path: Path, key: str, ending: str) -> Path:
    """A hidden name next to ``path`` that includes the name of ``path``; ``key`` is eight hexadecimal digits."""
    stem = os.fsencode(path.stem)[:_LONGEST].decode("utf-8", "ignore")
    return path.with_name(f".{stem}.{MARK}-{key}.{ending}")


def free_name(path: Path, ending: str = "part") -> Path:
    """A hidden name next to ``path`` that no file has."""
    return hidden_name(path, uuid.uuid4().hex[:8], ending)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep an existing file or folder locked, so that no one takes it for a leftover."""
    descriptor = locks.lock(path)
    try:
        yield
    finally:
        if descriptor is not None:
            locks.unlock(descriptor)


@contextmanager
def claimed(paths: Iterable[Path]) -> Iterator[None]:
    """Keep other runs from writing to the same names until the context ends.

    Raises :class:`~redetail.errors.OutputError` if one of them is taken.
    """
    with ExitStack() as stack:
        for path in paths:
            stack.enter_context(_claimed(path))
        yield


def work_name(path: Path, folder: Path | None = None) -> Path:
    """The hidden folder in which a run that writes ``path`` keeps its work: next to it, or in ``folder``."""
    real = Path(os.path.realpath(path))
    if folder is None:
        return hidden_name(real, _key(real.name), "work")
    return hidden_name(folder / real.name, _key(str(real)), "work")  # outputs from several folders can meet there


def leftovers(folder: Path) -> list[Path]:
    """Temporary files and folders in ``folder`` that belong to runs that are no longer running."""
    return _abandoned_ones(folder, _LEFTOVER)


def stopped_work(folder: Path) -> list[Path]:
    """Folders of work in ``folder`` (or ``folder`` itself) whose runs are no longer running."""
    if _WORK.fullmatch(folder.name):
        return [folder] if _abandoned(folder) else []
    return _abandoned_ones(folder, _WORK)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A new hidden folder in ``parent``, which is removed when the context ends."""
    folder = parent / f".{MARK}-{secrets.token_hex(4)}.crops"
    try:  # the name is known before the folder exists, so that a signal never leaves the folder behind
        folder.mkdir(mode=0o700)
        with held(folder):
            yield folder
    finally:
        remove([folder])


def remove(paths: Iterable[Path]) -> None:
    """Remove files and whole folders; whatever cannot be removed stays. Ctrl-C does not interrupt this."""
    gone = list(paths)
    if gone:
        uninterrupted(partial(_remove, gone))


def _remove(paths: list[Path]) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink(missing_ok=True)


@contextmanager
def _claimed(path: Path) -> Iterator[None]:
    claim = _Claim(path)
    try:
        uninterrupted(claim.take)
        yield
    finally:
        uninterrupted(claim.give_back)


class _Claim:
    """The hidden file that shows that ``path`` is being written."""

    def __init__(self, path: Path) -> None:
        real = Path(os.path.realpath(path))
        self._path, self._file = path, hidden_name(real, _key(real.name), "claim")
        self._descriptor: int | None = None

    def take(self) -> None:
        """Lock the file. If no file can be made or locked here, nothing is claimed; writing will report the reason."""
        with suppress(OSError):
            self._descriptor = self._locked()

    def give_back(self) -> None:
        """Remove the file, if it is ours."""
        if self._descriptor is not None:
            with suppress(OSError):
                self._file.unlink()  # before the lock is released: the file is ours until then
            locks.unlock(self._descriptor)

    def _locked(self) -> int | None:
        while True:
            self._file.touch()
            try:
                descriptor = locks.lock(self._file)
            except BlockingIOError:
                raise OutputError(
                    f"Another run is writing {self._path}; wait until that run has finished, or choose another name."
                ) from None
            if descriptor is None:
                self._file.unlink()
                return None
            if locks.still_names(self._file, descriptor):
                return descriptor
            locks.unlock(descriptor)  # its owner removed it just now


def _key(name: str) -> str:
    return f"{zlib.crc32(os.fsencode(os.path.normcase(name))):08x}"


def _abandoned_ones(folder: Path, names: re.Pattern[str]) -> list[Path]:
    with suppress(OSError):
        return [path for path in sorted(folder.iterdir()) if names.fullmatch(path.name) and _abandoned(path)]
    return []


def _abandoned(path: Path) -> bool:
    if path.is_symlink():
        return False
    try:
        if time.time() - path.stat().st_mtime < _FRESH:
            return False
        descriptor = locks.lock(path)
    except OSError:
        return False
    if descriptor is None:
        return False
    locks.unlock(descriptor)
    return True
