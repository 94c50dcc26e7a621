"""Finds what FFmpeg does not report about Matroska files: a missing end, or a part that cannot be parsed.

The structure is that of RFC 8794 (EBML) and RFC 9559 (Matroska). FFmpeg's demuxer silently skips what it cannot parse,
so a file whose second half is zeros looks like a shorter file.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_TOP = {_CLUSTER, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367, 0xEC, 0xBF}
_IN_CLUSTER = {0xE7, 0xA3, 0xA0, 0xA7, 0xAB, 0x5854, 0xAF, 0xEC, 0xBF}
_BUFFER = 4096  # only a few bytes of each block are read, and blocks are far apart


def matroska_is_cut_short(path: Path) -> bool:
    """Whether a .mkv or .webm is shorter than its segment states; live recordings do not state a length."""
    with path.open("rb") as file:
        length = _segment(file)
        return length is not None and file.tell() + length > path.stat().st_size


def matroska_is_broken(path: Path) -> bool:
    """Whether the elements of a .mkv or .webm do not follow each other up to its end, down to the single block."""
    end = path.stat().st_size
    with path.open("rb", _BUFFER) as file:
        length = _segment(file)
        stop = end if length is None else min(end, file.tell() + length)
        while file.tell() < stop:
            kind, size = _number(file, keep_marker=True), _number(file)
            if kind == _CLUSTER:  # its blocks follow; the next element starts where they end
                continue
            if kind not in _TOP and kind not in _IN_CLUSTER:
                return True
            if size is None:
                return file.tell() < stop  # an unknown length, which only clusters may have
            file.seek(size, 1)
        return file.tell() > end


def _segment(file: BinaryIO) -> int | None:
    """Go to the start of the segment's content; returns its length, None if it is unknown or there is no segment."""
    if _number(file, keep_marker=True) != _EBML:
        return None
    header = _number(file)
    if header is None:
        return None
    file.seek(header, 1)
    return None if _number(file, keep_marker=True) != _SEGMENT else _number(file)


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
