"""Locks that the system releases when their process ends, however it ends.

On POSIX, the file or folder itself is locked (flock). Windows cannot lock a folder, so the lock is a hidden file next
to it, which only one process can make and which the system deletes when it is closed (``O_TEMPORARY``).
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

TEMPORARY = getattr(os, "O_TEMPORARY", 0)  # Windows only


def flock(path: Path) -> int | None:
    """Lock an existing file or folder: the descriptor that holds the lock until it is closed.

    None on a file system without locks. Raises BlockingIOError if another descriptor holds it, or OSError.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:  # a network file system
        os.close(descriptor)
        return None
    return descriptor


def companion(path: Path) -> int | None:
    """Like :func:`flock` with a file next to ``path``, as on Windows; None if no file can be created there."""
    lock = path.with_name(f"{path.name}.lock")
    with suppress(OSError):
        lock.unlink()  # a loss of power can leave it; if a process holds it, it keeps its name
    try:
        return os.open(lock, os.O_CREAT | os.O_EXCL | os.O_RDWR | TEMPORARY)
    except (FileExistsError, PermissionError) as error:  # held, and held but about to be deleted
        raise BlockingIOError(f"{path} is locked") from error
    except OSError:
        return None


def unlock(descriptor: int) -> None:
    """Release a lock."""
    os.close(descriptor)


def still_names(path: Path, descriptor: int) -> bool:
    """Whether ``path`` is the file that was locked; its owner may have removed it just before."""
    try:
        return bool(TEMPORARY) or os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False


lock = companion if TEMPORARY else flock
