"""Names that a running process has taken, and what processes that were killed have left behind.

A name is taken by a lock on a hidden file, which the system gives back when its process ends, however it ends. So a
lock that can be taken belongs to nobody any more. Systems without such locks (Windows) claim nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from redetail.errors import OutputError

if sys.platform != "win32":
    import fcntl

MARK = "redetail"
_LEFTOVER = re.compile(rf"\..*\.{MARK}-[0-9a-f]{{8}}\.(part(\.\w+)?|claim)|\.{MARK}-\w{{8}}\.crops")
_WORK = re.compile(rf"\..*\.{MARK}-[0-9a-f]{{8}}\.work")
_FRESH = 2.0  # seconds: a process may not yet have locked what it just made
_LONGEST = 100  # bytes of a name that hidden names take over, so that they stay below 255


def hidden_name(path: Path, key: str, ending: str) -> Path:
    """A hidden name beside ``path`` that tells whose it is; ``key`` are eight hexadecimal digits."""
    stem = os.fsencode(path.stem)[:_LONGEST].decode("utf-8", "ignore")
    return path.with_name(f".{stem}.{MARK}-{key}.{ending}")


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep an existing file or folder locked, so that no one takes it for a leftover."""
    descriptor = _lock(path)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def claimed(paths: Iterable[Path]) -> Iterator[None]:
    """Keep other runs from writing to the same names until the context ends.

    Raises :class:`~redetail.errors.OutputError` where one of them is taken.
    """
    with ExitStack() as stack:
        for path in paths:
            stack.enter_context(_claimed(path))
        yield


def work_name(path: Path, folder: Path | None = None) -> Path:
    """The hidden folder in which a run that writes ``path`` keeps its work: beside it, or in ``folder``."""
    real = Path(os.path.realpath(path))
    if folder is None:
        return hidden_name(real, _key(real.name), "work")
    return hidden_name(folder / real.name, _key(str(real)), "work")  # outputs of several folders meet there


def leftovers(folder: Path) -> list[Path]:
    """Temporary files and folders in ``folder`` of runs that do not run any more."""
    return _abandoned_ones(folder, _LEFTOVER)


def stopped_work(folder: Path) -> list[Path]:
    """Folders of work in ``folder`` (or that folder itself) whose runs do not run any more."""
    if _WORK.fullmatch(folder.name):
        return [folder] if _abandoned(folder) else []
    return _abandoned_ones(folder, _WORK)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A new hidden folder in ``parent`` that is gone when the context ends."""
    folder = Path(tempfile.mkdtemp(prefix=f".{MARK}-", suffix=".crops", dir=parent))
    try:
        with held(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove(paths: Iterable[Path]) -> None:
    """Remove files and whole folders; what cannot be removed stays."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink(missing_ok=True)


@contextmanager
def _claimed(path: Path) -> Iterator[None]:
    real = Path(os.path.realpath(path))
    claim = hidden_name(real, _key(real.name), "claim")
    descriptor = _taken(claim, path)
    try:
        yield
    finally:
        if descriptor is not None:
            with suppress(OSError):
                claim.unlink()  # before the lock is given back: it is ours until then
            os.close(descriptor)


def _key(name: str) -> str:
    return f"{zlib.crc32(os.fsencode(os.path.normcase(name))):08x}"


def _taken(claim: Path, path: Path) -> int | None:
    """The locked file of a claim; None where files cannot be locked or made here, which writing will find out."""
    while True:
        try:
            claim.touch()
            descriptor = _lock(claim)
        except BlockingIOError:
            raise OutputError(
                f"Another run is writing {path}; wait until it has finished, or choose another name."
            ) from None
        except OSError:
            return None
        if descriptor is None or _same(claim, descriptor):
            return descriptor
        os.close(descriptor)  # its owner removed it just now


def _lock(path: Path) -> int | None:
    """A descriptor that holds a lock; raises BlockingIOError where another one does."""
    if sys.platform == "win32":
        return None
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:  # a network file system without locks
        os.close(descriptor)
        return None
    return descriptor


def _same(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False


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
        descriptor = _lock(path)
    except OSError:
        return False
    if descriptor is None:
        return False
    os.close(descriptor)
    return True
