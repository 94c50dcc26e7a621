"""Manages where an output goes: written under a hidden name next to the final one, then renamed if complete, else
removed."""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import ExitStack
from pathlib import Path

from redetail import claims
from redetail.errors import OutputError
from redetail.files import cannot_write, flush, followed, hidden_name, rename, resolved
from redetail.uninterrupted import uninterrupted

_log = logging.getLogger(__name__)
_RESERVE = 16 * 2**20
WINDOWS = os.name == "nt"
LONGEST_NAME = 255  # bytes, on nearly every file system
LONGEST_PATH = 4096  # bytes, the limit of Linux; other systems allow less and report it
_LONGEST_PATH = 240  # characters of a path on Windows, including hidden names, unless it is configured for longer ones
_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10))}


class Target:
    """The final path and the hidden path next to it; ``folder`` says whether a folder or a file is written."""

    def __init__(self, path: Path, *, folder: bool = False) -> None:
        self.path, self.folder = path, folder
        self.temporary = hidden_name(path)
        self._hold = ExitStack()

    def create(self) -> None:
        """Create the hidden file or folder, which proves that this is possible; after Ctrl-C there is none."""
        try:
            uninterrupted(self._create)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        except KeyboardInterrupt:
            self.discard()
            raise

    def flush(self) -> None:
        """Force everything to disk, so that a full disk is noticed before anything has its name."""
        try:
            flush(self.temporary)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def commit(self) -> None:
        """Force everything to disk and give it its final name."""
        try:
            rename(self.temporary, self.path)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self._hold.close()

    def discard(self) -> None:
        """Remove what was written; the final path stays as it was."""
        uninterrupted(self._discard)

    def probe(self) -> None:
        """Create the hidden file or folder and remove it, since some file systems refuse what their permissions
        allow."""
        self.create()
        self.discard()

    def _create(self) -> None:
        if self.folder:
            self.temporary.mkdir()
        else:
            self.temporary.touch(exist_ok=False)
        self._hold.enter_context(claims.held(self.temporary))

    def _discard(self) -> None:
        self._hold.close()
        if self.folder:
            shutil.rmtree(self.temporary, ignore_errors=True)
            return
        try:
            self.temporary.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("%s could not be removed (%s).", self.temporary, error.strerror)


def check_target(path: Path, source: Path | None, *, folder: bool = False) -> None:
    """Raise :class:`~redetail.errors.OutputError` if ``path`` cannot or must not be written.

    ``source`` is what the frames are read from; links are followed, so that it is not overwritten by another name.
    """
    check_name(path)
    path = followed(path)
    if os.path.islink(path):
        raise OutputError(f"The output {path} is a link that leads to itself; remove it or choose another name.")
    parent = path.parent
    if not os.path.exists(parent):
        raise OutputError(f"The folder {parent} for the output {path.name} does not exist; create it first.")
    if not os.path.isdir(parent):
        raise OutputError(f"{parent} is a file, so {path.name} cannot be written inside it; choose another folder.")
    if source is not None and _same(path, source):
        raise OutputError(f"The output {path} is the input itself; choose another name.")
    if folder:
        _check_folder(path)
    elif os.path.isdir(path):
        raise OutputError(f"The output {path} is a folder; give a file name, such as {path / 'out.mp4'}.")
    elif os.path.exists(path) and not os.path.isfile(path):
        raise OutputError(f"The output {path} is not an ordinary file; choose another name.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"Permission to write in the folder {parent} is denied; choose another folder.")
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise OutputError(f"The output {path} exists and is write-protected; choose another name.")
    claims.remove(claims.leftovers(parent))
    uninterrupted(Target(path, folder=folder).probe)


def check_name(path: Path, *, windows: bool = WINDOWS) -> None:
    """Raise :class:`~redetail.errors.OutputError` for a name that no file of this system can have."""
    name = path.name
    try:
        length = len(os.fsencode(name))
    except UnicodeEncodeError as error:
        raise OutputError(
            f"The output name {name!r} contains characters that no file name can contain; give another name."
        ) from error
    if "\0" in str(path):
        raise OutputError(f"The output name {str(path)!r} contains a null character; give another name.")
    if name == "-":
        raise OutputError("The output cannot be written to standard output (-); give a file name such as out.mp4.")
    if length > LONGEST_NAME:
        raise OutputError(f"The output name {name[:40]}... is too long; choose one of at most {LONGEST_NAME} bytes.")
    if len(os.fsencode(str(path))) >= LONGEST_PATH:
        raise OutputError(
            f"The path of {name[:40]} has {LONGEST_PATH} bytes or more; choose a folder closer to the root."
        )
    if not windows:
        return
    if name.split(".")[0].rstrip().upper() in _RESERVED:
        raise OutputError(f"{name} is the name of a device on Windows; choose another name.")
    odd = next((sign for sign in name if sign in '<>:"|?*' or ord(sign) < 32), None)
    if odd is not None or name != name.rstrip(". "):
        what = f"contains {odd!r}" if odd is not None else "ends in a dot or a space"
        raise OutputError(f"The output name {name!r} {what}, which Windows does not allow; choose another name.")
    if len(str(path.absolute())) > _LONGEST_PATH:
        raise OutputError(
            f"The path of {name} is longer than {_LONGEST_PATH} characters; choose a folder closer to the root."
        )


def check_space(path: Path, needed: int) -> None:
    """Raise :class:`~redetail.errors.OutputError` if the disk of ``path`` has clearly too little room."""
    free = shutil.disk_usage(path.parent).free
    if free < needed + _RESERVE:
        raise OutputError(
            f"{path} needs about {_readable(needed + _RESERVE)}, but its disk has only {_readable(free)} free; "
            "free some space or choose another folder."
        )


def _check_folder(path: Path) -> None:
    if os.path.exists(path) and not os.path.isdir(path):
        raise OutputError(f"The output {path} is a file, not a folder; give a suffix such as .mp4, or another name.")
    if os.path.isdir(path) and any(path.iterdir()):
        raise OutputError(f"The output folder {path} is not empty; give a new folder, so that nothing is overwritten.")


def _same(path: Path, source: Path) -> bool:
    if os.path.exists(path) and os.path.exists(source):
        return path.samefile(source)
    return resolved(path) == resolved(source)


def _readable(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
