"""Seeks to a frame of a file without decoding everything before it.

This works only if the container lists every frame (the MP4 family does); otherwise the number of a frame is unknown
until those before it have been counted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import dropwhile

import av
from av.container import InputContainer
from av.video.stream import VideoStream

_TRIES = 3  # key frames: the last one can turn out to be shown after the target


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """A frame at which decoding can start: its ``number`` in the file, its ``index`` in display order, and its time."""

    number: int
    index: int
    pts: int | None


FIRST = KeyFrame(0, 0, None)
"""The position of a newly opened file."""


def lists_all(container: InputContainer) -> bool:
    """Whether the container's index lists every frame from the start (the MP4 family does)."""
    return "mp4" in container.format.name.split(",")


def go_to_index(container: InputContainer, stream: VideoStream, index: int) -> KeyFrame | None:
    """Go from the start of the file to the last key frame at or before a frame's index; None if none is certain.

    After None, the position of the container is undefined. A key frame is certain if the packet after seeking is the
    listed one and decodes to a key frame with the same timestamp. ``FIRST`` is always certain.
    """
    return _go_to(container, stream, index, lambda key: key.index <= index)


def go_to_pts(container: InputContainer, stream: VideoStream, pts: int) -> KeyFrame | None:
    """Go to the last key frame at or before a timestamp; see :func:`go_to_index`."""
    entries = stream.index_entries
    # A frame is decoded before it is shown, and the list has the decoding times, in order.
    latest = bisect_right(range(len(entries)), pts, key=lambda number: entries[number].timestamp) - 1
    return _go_to(container, stream, latest, lambda key: key.pts is not None and key.pts <= pts)


def _go_to(
    container: InputContainer, stream: VideoStream, latest: int, suits: Callable[[KeyFrame], bool]
) -> KeyFrame | None:
    times = _times_to_seek(container, stream, latest)
    for time in times:
        try:
            key = _key_frame(container, stream, time)
            if key is not None and suits(key):
                container.seek(time, stream=stream)
                return key
        except av.error.FFmpegError:
            return None
    return None if times else FIRST


def _times_to_seek(container: InputContainer, stream: VideoStream, latest: int) -> list[int]:
    """Times that lead to key frames, latest first; empty if the list and the decoder can disagree.

    The list has decoding times, but a container may interpret a given time as a display time, which is later. So
    seeking aims at a time shortly before the next key frame is decoded; the last time is the safest and the least
    exact.
    """
    entries = stream.index_entries
    if latest < 1 or not lists_all(container) or len(entries) != stream.frames:
        return []
    if any(entry.is_discard for entry in entries):
        return []
    keys = [number for number, entry in enumerate(entries) if entry.is_keyframe]
    passed = bisect_right(keys, latest)
    if passed < 2:
        return []
    ends = [entries[number].timestamp - 1 for number in keys[1:]]
    return [*ends, entries[-1].timestamp][max(0, passed - _TRIES) : passed][::-1]


def _key_frame(container: InputContainer, stream: VideoStream, time: int) -> KeyFrame | None:
    """The listed frame that seeking leads to, as a place to start; None if decoding cannot start there."""
    container.seek(time, stream=stream)
    packets = (packet for packet in container.demux(stream) if packet.size)
    first = next(packets, None)
    number = None if first is None else _number(stream, first)
    if first is None or first.pts is None or number is None:
        return None
    # Frames of an open group are stored after the key frame and shown before it.
    leading = 0
    for packet in packets:
        if packet.pts is None:
            return None
        if packet.pts > first.pts:
            break
        leading += 1
    container.seek(time, stream=stream)
    return KeyFrame(number, number + leading, first.pts) if _begins(container, stream, first.pts) else None


def _number(stream: VideoStream, packet: av.Packet[VideoStream]) -> int | None:
    """The number of a packet's frame in the list."""
    entries = stream.index_entries
    at = (number for number, entry in enumerate(entries) if entry.pos == packet.pos and entry.is_keyframe)
    return next(at, None)


def _begins(container: InputContainer, stream: VideoStream, pts: int) -> bool:
    """Whether an intact key frame with this timestamp is decoded first, apart from frames shown earlier."""
    shown = dropwhile(lambda frame: frame.pts is None or frame.pts < pts, container.decode(stream))
    frame = next(shown, None)
    return frame is not None and frame.pts == pts and bool(frame.key_frame) and not frame.is_corrupt
