"""Files and folders as values, for machines that do not see them."""

from __future__ import annotations

from pathlib import Path

from redetail.files import cannot_write, write_bytes

Files = dict[str, bytes]
"""Contents of files by name, relative to a folder; a single file has the name "." """
Stamp = tuple[tuple[str, int, int], ...]
"""Name, size in bytes and modification time in nanoseconds of each file."""


def stamp(path: Path) -> Stamp:
    """A value that distinguishes a file, or the files of a folder, from others; empty if there are none."""
    try:
        found = [(one.name, one.stat()) for one in _files(path)]
    except OSError:
        return ()
    return tuple((name, known.st_size, known.st_mtime_ns) for name, known in found)


def packed(path: Path) -> Files:
    """A file, or the files of a folder; empty if there are none."""
    return {one.name if one != path else ".": one.read_bytes() for one in _files(path)}


def unpack(files: Files, path: Path) -> None:
    """Write what was packed to ``path``; raises :class:`~redetail.errors.OutputError`."""
    if "." in files:
        write_bytes(path, files["."])
        return
    for name, data in files.items():
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from error
        write_bytes(path / name, data)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(one for one in path.iterdir() if one.is_file())
    return [path] if path.is_file() else []
