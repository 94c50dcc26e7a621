"""Records what a pass over a file found, and whether that is everything that the file announces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from redetail.documents import counted
from redetail.video.base import VideoInfo
from redetail.video.matroska import matroska_is_broken
from redetail.video.seeking import lists_all

# Codecs with one shown frame per packet; others have packets for pictures that are never shown.
_ONE_EACH = {"h264", "hevc", "vp9", "av1", "libdav1d", "prores", "ffv1", "mjpeg", "png", "qtrle"}
_ROUNDING = 2  # frames: AVI counts the encoder's delay, too
_SHORTEST_GAP, _PART = Fraction(1), Fraction(1, 20)  # seconds, and of the length: a container's length is approximate
_CLOCK = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")


class Tally:
    """Counts what one pass decodes; ``before``: the frames that it skipped by seeking.

    ``ended`` says whether the pass reached the end of the file. Frames that would be shown before the first decoded one
    are not counted: after a cut their references are missing, and decoders drop them.
    """

    def __init__(self, info: VideoInfo, before: int = 0) -> None:
        self._info = info
        self.frames = self._stored = before
        self._refused = self._damaged_packets = self._damaged_frames = 0
        self._waiting: list[int | None] | None = []
        self._first: int | None = None
        self.ended = self._fields = self._broke_off = False
        self._end = self._sound = Fraction(0)
        self._stamps: dict[int, int] = {}
        self._damaged_sound = 0

    def packet(self, packet: Packet[Any]) -> None:
        """Take a packet of the picture."""
        if not packet.size:
            return
        self._damaged_packets += packet.is_corrupt
        if packet.is_discard:  # by an edit list
            return
        if self._waiting is None:
            self._stored += self._first is None or packet.pts is None or packet.pts >= self._first
        elif packet.is_keyframe or self._waiting:
            self._waiting.append(packet.pts)

    def sound(self, packet: Packet[Any]) -> None:
        """Take a packet of sound."""
        if not packet.size:
            return
        last = self._stamps.get(packet.stream.index)
        stamp = packet.dts if packet.dts is not None else packet.pts
        # Containers round times, and give none to packets that they store together; that is not damage.
        stepped = last is not None and stamp is not None and last - stamp > (packet.duration or 0)
        self._damaged_sound += packet.is_corrupt or stepped
        if stamp is not None:
            self._stamps[packet.stream.index] = stamp
            self._sound = max(self._sound, (stamp + (packet.duration or 0)) * Fraction(packet.time_base))

    def refused(self) -> None:
        """Take an error of the decoder."""
        self._refused += 1

    def broke_off(self) -> None:
        """Take an error of the demuxer, which ends the pass."""
        self._broke_off = True

    def frame(self, frame: av.VideoFrame) -> None:
        """Take a decoded frame."""
        if self._waiting is not None:
            self._first = frame.pts
            self._stored += sum(pts is None or frame.pts is None or pts >= frame.pts for pts in self._waiting)
            self._waiting = None
        self.frames += 1
        self._fields |= bool(frame.interlaced_frame)
        self._damaged_frames += bool(frame.is_corrupt)
        if frame.pts is not None:
            self._end = max(self._end, (frame.pts + (frame.duration or 0)) * self._info.time_base)

    def faults(self, path: Path, container: InputContainer, stream: VideoStream) -> Iterator[str]:
        """Messages about what is missing or damaged in the part that the pass covered."""
        announced = self._announced(path, container, stream) if self.ended else None
        lost = self._lost(stream) if self.ended else self._refused
        if announced is not None:
            yield (
                f"{path.name} is damaged or cut short: {announced}, but only {self.frames} frames can "
                "be decoded; the result contains only those."
            )
        elif lost:
            yield f"{path.name} is damaged: {counted(lost, 'frame')} cannot be decoded; the result contains the others."
        damaged = max(self._damaged_packets, self._damaged_frames)
        if damaged:
            yield f"{path.name} is damaged: data is missing in {counted(damaged, 'frame')}, which may show errors."
        if self._damaged_sound:
            yield (
                f"The sound of {path.name} is damaged; it is repaired or left out (damaged packets: "
                f"{self._damaged_sound})."
            )

    def _lost(self, stream: VideoStream) -> int:
        """The number of frames that are stored but were not shown."""
        if stream.codec_context.name not in _ONE_EACH or self._fields:  # a packet may hold a single field
            return self._refused
        return max(0, self._stored - self.frames)

    def _announced(self, path: Path, container: InputContainer, stream: VideoStream) -> str | None:
        """A message if the container announces more than was decoded; else None."""
        if self._broke_off:
            return f"it should have about {max(self._info.frames, self.frames)} frames"
        if lists_all(container):
            return None  # the list was compared with the packets
        listed = stream.frames or _tagged_frames(stream)
        if listed > self.frames + _ROUNDING:
            return f"it should have {listed} frames"
        length, whole = _length(container, stream)
        end = self._end if whole else max(self._end, self._sound)
        begin = Fraction(stream.start_time or 0) * (stream.time_base or 0)
        if length is not None and length - (end - begin) > max(_SHORTEST_GAP, length * _PART):
            return f"it should last {float(length):.1f} seconds"
        if "matroska" in container.format.name and matroska_is_broken(path):
            return (
                f"it should have about {max(self._info.frames, self.frames)} frames (part of the file cannot be parsed)"
            )
        if "mpegts" in container.format.name and self._sound - self._end > max(_SHORTEST_GAP, self._sound * _PART):
            return f"its sound continues for another {float(self._sound - self._end):.1f} seconds after the last frame"
        return None


def _length(container: InputContainer, stream: VideoStream) -> tuple[Fraction | None, bool]:
    """Seconds that the container announces, and whether they are those of the picture (not of the longest stream)."""
    if stream.duration and stream.time_base:
        return stream.duration * Fraction(stream.time_base), True
    clock = _CLOCK.match(_tag(stream, "DURATION") or "")
    if clock:
        return int(clock[1]) * 3600 + int(clock[2]) * 60 + Fraction(clock[3]), True
    return (Fraction(container.duration, av.time_base), False) if container.duration else (None, False)


def _tagged_frames(stream: VideoStream) -> int:
    """The number of frames in the statistics that mkvmerge writes; 0 if there are none."""
    text = _tag(stream, "NUMBER_OF_FRAMES") or ""
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _tag(stream: VideoStream, name: str) -> str | None:
    """The tag with this name, with or without a language suffix."""
    return next((value for key, value in stream.metadata.items() if key.upper().split("-")[0] == name), None)
