"""Copies sound, subtitles, attachments, chapters and metadata from the source to the output unchanged."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from redetail.video.probe import open_input, opened, picture_stream
from redetail.video.steady import Steady

if TYPE_CHECKING:
    from av.container import Chapter

_log = logging.getLogger(__name__)
_STALE = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "rotate", "creation_tool")
_STATISTICS = ("BPS", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "_STATISTICS", "DURATION")
_PLAIN_KEYS = {
    "title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright",
    "grouping", "lyrics", "description", "synopsis", "show", "episode_id", "network", "keywords", "location",
    "track", "disc", "creation_time", "language", "handler_name", "vendor_id", "timecode", "year", "author",
    "make", "model",
}  # fmt: skip
_DAMAGED = (av.error.InvalidDataError, av.error.ArgumentError, av.error.PatchWelcomeError)
_SLACK = Fraction(10)  # the most seconds by which containers interleave their streams


class StreamCopy:
    """Copies everything but the picture from ``path`` into ``output``, packet by packet.

    Create it before the first packet is written, since the streams must be known by then. :meth:`until` keeps the copy
    in step with the picture, so that memory does not grow. ``notices`` name what the output's container cannot hold.
    """

    def __init__(self, path: Path, output: OutputContainer) -> None:
        self._input = open_input(path)
        self._output = output
        self.notices: list[str] = []
        self._steady, self._refused = Steady(), 0
        self._picture = picture_stream(self._input, path)
        self._streams = {stream.index: copy for stream, copy in self._copies()}
        self._packets = self._demuxed()
        self._pending: Packet[Any] | None = None
        self._shift = Fraction(0)
        self._first: Fraction | None = None

    @property
    def faults(self) -> tuple[str, ...]:
        """Messages about damage in the copied streams; complete once everything is copied."""
        told = {
            "timestamps were repaired": self._steady.repaired,
            "what cannot be copied is left out": self._refused,
        }
        name = Path(self._input.name).name
        return tuple(
            f"The sound of {name} is damaged; {what} ({_packets(count)})." for what, count in told.items() if count
        )

    @property
    def picture(self) -> Stream:
        """The stream that is not copied, for its metadata."""
        return self._picture

    @property
    def origin(self) -> Fraction:
        """Seconds that a broadcast stream's clock already shows at its start (0 for files that start at zero)."""
        broadcast = self._input.format.name in ("mpegts", "mpeg")
        return Fraction(self._input.start_time or 0, av.time_base) if broadcast else Fraction(0)

    def begin(self, first: Fraction | None, end: Fraction | None, shift: Fraction) -> None:
        """Copy from ``first`` seconds on (None: all); all times become earlier by ``shift`` seconds.

        ``end``: about where the picture will end (None: where the source ends), for the chapters.
        """
        self._first, self._shift = first, shift
        self._output.metadata.update(kept_metadata(self._input.metadata))
        chapters = [*_cut_chapters(self._input.chapters(), first or Fraction(0), end, shift)]
        if chapters:
            self._output.set_chapters(chapters)
        if first is not None and first > _SLACK:
            try:
                self._input.seek(int((first - _SLACK) * av.time_base))
            except av.error.FFmpegError:
                _log.debug("%s is not seekable; it is read from the start.", self._input.name)

    def until(self, seconds: Fraction, end: Fraction | None = None) -> None:
        """Write all packets that come before ``seconds`` in the source; drop those that start at ``end`` or later."""
        while (packet := self._next()) is not None and _time(packet) < seconds:
            self._pending = None
            if end is None or _time(packet) < end:
                self._write(packet)

    def finish(self, end: Fraction | None) -> None:
        """Write what is left, up to ``end`` seconds (None: all)."""
        self.until(Fraction(2**40) if end is None else end + _SLACK, end)

    def close(self) -> None:
        """Close the source."""
        self._input.close()

    def _next(self) -> Packet[Any] | None:
        if self._pending is None:
            self._pending = next(self._packets, None)
        return self._pending

    def _demuxed(self) -> Iterator[Packet[Any]]:
        if not self._streams:
            return
        streams = [self._input.streams[index] for index in self._streams]
        yield from self._steady(packet for packet in self._demuxed_packets(streams) if packet.size)

    def _demuxed_packets(self, streams: list[Stream]) -> Iterator[Packet[Any]]:
        """The demuxer's packets; if a damaged file ends early, so does the copy."""
        try:
            yield from self._input.demux(*streams)
        except (av.error.InvalidDataError, av.error.BlockingIOError) as error:
            _log.debug("%s ends early (%s).", self._input.name, error)

    def _write(self, packet: Packet[Any]) -> None:
        if self._first is not None and _time(packet) < self._first and not self._trimmed(packet):
            return
        ticks = round(self._shift / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts - ticks
        packet.dts = None if packet.dts is None else packet.dts - ticks
        packet.stream = self._streams[packet.stream.index]
        try:
            self._output.mux(packet)
        except _DAMAGED:
            self._refused += 1

    def _trimmed(self, packet: Packet[Any]) -> bool:
        """Move the start of a subtitle that is on screen at the cut; returns whether there was anything to move."""
        end = _end(packet)
        if packet.stream.type != "subtitle" or self._first is None or end <= self._first:
            return False
        packet.pts = packet.dts = round(self._first / packet.time_base)
        packet.duration = round(end / packet.time_base) - packet.pts
        return True

    def _copies(self) -> Iterator[tuple[Stream, Stream]]:
        for stream in self._input.streams:
            if stream.index == self._picture.index or _is_further_video(stream) or _is_time_code(stream):
                continue
            if not _can_hold(self._output.format.name, stream):
                self.notices.append(_left_out(stream, self._output.format.name))
                continue
            copy = self._output.add_stream_from_template(stream, opaque=True)
            copy.metadata.update(kept_metadata(stream.metadata))
            copy.disposition = stream.disposition
            yield stream, copy


def kept_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """Metadata without entries that describe the old file's bytes."""
    return {
        key: value
        for key, value in metadata.items()
        if key.lower() not in _STALE and not key.upper().startswith(_STATISTICS)
    }


def has_uncommon_keys(path: Path) -> bool:
    """Whether a file's metadata has keys that MP4's classic tags do not include (those of phones, for example)."""
    with opened(path) as container:
        return not _PLAIN_KEYS.issuperset(key.lower() for key in kept_metadata(container.metadata))


def _is_further_video(stream: Stream) -> bool:
    return stream.type == "video" and not stream.disposition & av.stream.Disposition.attached_pic


def _is_time_code(stream: Stream) -> bool:
    """Whether a stream is a time-code track, which the muxer makes again from the picture's metadata."""
    return stream.type == "data" and "timecode" in stream.metadata


def _can_hold(container: str, stream: Stream) -> bool:
    """Whether a container accepts a stream, found by writing a header to memory."""
    try:
        with av.open(io.BytesIO(), "w", format=container) as trial:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def _left_out(stream: Stream, container: str) -> str:
    kind = {"audio": "sound", "subtitle": "subtitle", "video": "cover picture"}.get(stream.type, stream.type)
    codec = stream.codec_context.name if stream.codec_context is not None else "unknown"
    return (
        f"The {kind} stream ({codec}) is left out, because {container} cannot hold it; an .mkv output can hold nearly "
        "all kinds of streams."
    )


def _cut_chapters(chapters: list[Chapter], first: Fraction, end: Fraction | None, shift: Fraction) -> Iterator[Chapter]:
    """The chapters between ``first`` and ``end`` seconds, clipped to them and moved by ``shift``."""
    for chapter in chapters:
        tick = Fraction(chapter["time_base"] or 1)
        start, stop = max(chapter["start"] * tick, first), chapter["end"] * tick
        stop = stop if end is None else min(stop, end)
        if start < stop:
            begin, finish = round((start - shift) / tick), round((stop - shift) / tick)
            yield {**chapter, "start": begin, "end": finish}


def _packets(count: int) -> str:
    return "1 packet" if count == 1 else f"{count} packets"


def _time(packet: Packet[Any]) -> Fraction:
    ticks = packet.pts if packet.pts is not None else packet.dts
    assert ticks is not None
    return ticks * Fraction(packet.time_base)


def _end(packet: Packet[Any]) -> Fraction:
    return _time(packet) + (packet.duration or 0) * Fraction(packet.time_base)
