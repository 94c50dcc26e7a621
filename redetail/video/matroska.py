"""The one thing about Matroska files that FFmpeg does not tell: whether their end is missing."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067


def matroska_is_cut_short(path: Path) -> bool:
    """Whether a .mkv or .webm is shorter than its segment says (RFC 8794, RFC 9559); live recordings say nothing."""
    with path.open("rb") as file:
        if _number(file, keep_marker=True) != _EBML:
            return False
        header = _number(file)
        if header is None:
            return False
        file.seek(header, 1)
        if _number(file, keep_marker=True) != _SEGMENT:
            return False
        length = _number(file)
        return length is not None and file.tell() + length > path.stat().st_size


def _number(file: BinaryIO, *, keep_marker: bool = False) -> int | None:
    """A variable-length number; None at the end of the file, or for a length that is not known (all ones)."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    extra = 8 - first[0].bit_length()
    rest = file.read(extra)
    value = int.from_bytes(first + rest, "big")
    if keep_marker:
        return value
    bits = 7 * (extra + 1)
    value &= (1 << bits) - 1
    return None if value == (1 << bits) - 1 or len(rest) < extra else value
