"""Frames of a video file, decoded with PyAV."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from redetail.errors import InputError
from redetail.files import reason
from redetail.video.base import RGB, Frame, VideoInfo
from redetail.video.color import Decoder
from redetail.video.fingerprint import Fingerprint
from redetail.video.glimpse import Glimpse
from redetail.video.kept import KeptPictures, Passed
from redetail.video.matroska import matroska_is_cut_short
from redetail.video.native import NativeFrame
from redetail.video.probe import opened, probe, size_of
from redetail.video.seeking import FIRST, KeyFrame, go_to_index, go_to_pts, lists_all
from redetail.video.tally import Tally
from redetail.video.timing import Clock, step_of, with_next

_UNREADABLE = (errno.EIO, errno.ENXIO, errno.ETIMEDOUT)  # from the disk or the network: the file itself may be intact
_LONGEST_STILL = 60  # seconds; a longer duration of the last frame is ignored


class FileSource:
    """A video file in any container and codec that FFmpeg reads; satisfies ``FrameSource``.

    The constructor decodes the first frame, so that an unusable file is noticed at once. Memory does not grow with the
    length of the clip. Damaged parts are skipped and listed in :attr:`faults`, or refused if ``strict``. ``keep``: the
    most bytes of decoded pictures that stay in memory; a clip that fits is decoded only once. Raises
    :class:`~redetail.errors.InputError` if the file cannot be used.
    """

    def __init__(self, path: Path, *, strict: bool = False, keep: int = 0) -> None:
        self._path, self._strict = path, strict
        self._fingerprint = Fingerprint.of(path)
        self._probed = probe(path)
        self._faults: tuple[str, ...] = ()
        self._total: int | None = None
        self._kept = KeptPictures(keep)

    @property
    def faults(self) -> tuple[str, ...]:
        """Messages about what was found missing or damaged so far."""
        return self._faults

    @property
    def info(self) -> VideoInfo:
        """What is known before decoding."""
        return self._probed.info

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Frames ``start`` to ``stop`` (excluded) in display order, upright; decoded again if they were not kept.

        If the container lists its frames, decoding starts at a key frame shortly before ``start``.
        """
        decoder = Decoder(self.info.bit_depth > 8)
        for index, pts, frame, duration in self._passed(start, stop):
            pixels = self._converted(decoder, frame)
            native = NativeFrame(frame, self._probed.orientation, pixels) if self.info.pixel_format else None
            yield Frame(index, pts, pixels, duration, native)

    def glimpses(self, start: int = 0, stop: int | None = None) -> Iterator[Glimpse]:
        """The same frames, decoded and scaled down, but converted to RGB only on request."""
        upright = self._probed.orientation.upright
        decoder = Decoder(self.info.bit_depth > 8)
        for index, _, frame, _ in self._passed(start, stop):
            yield Glimpse(index, upright(decoder.thumbnail(frame)), partial(self._converted, decoder, frame))

    def indices(self, start: int = 0, stop: int | None = None) -> Iterator[int]:
        """The same frames, decoded but not converted to RGB."""
        for index, *_ in self._passed(start, stop):
            yield index

    def _converted(self, decoder: Decoder, picture: av.VideoFrame) -> RGB:
        return self._probed.orientation.upright(decoder(picture))

    def _passed(self, start: int, stop: int | None) -> Iterator[Passed]:
        """The frames of a pass, from memory if they were kept."""
        self._fingerprint.check()
        kept = self._kept.within(start, stop)
        return self._kept.keep(self._decoding(start, stop), start, stop) if kept is None else iter(kept)

    def _decoding(self, start: int, stop: int | None) -> Generator[Passed, None, None]:
        """The frames of a pass, which is checked at its end."""
        clock = self._clock()
        with self._opened_at(partial(go_to_index, index=start)) as (container, key):
            tally = Tally(self.info, key.index)
            decoded = enumerate(with_next(self._decoded(container, key, tally)), key.index)
            for index, (frame, following) in islice(decoded, None if stop is None else max(0, stop - key.index)):
                pts = clock(frame.pts)
                if index < start:
                    continue
                self._check_size(frame, index)
                yield index, pts, frame, self._duration(container, frame, following)
            self._finish(tally, container)

    def _finish(self, tally: Tally, container: InputContainer) -> None:
        """Check a pass; raises :class:`~redetail.errors.InputError` if it contradicts an earlier one."""
        self._fingerprint.check()
        if tally.ended and self._total not in (None, tally.frames):
            raise InputError(
                f"{self._path} had {self._total} frames at first, but has {tally.frames} now; run again without "
                "changing it."
            )
        self._total = tally.frames if tally.ended else self._total
        faults = tuple(tally.faults(self._path, container, self._stream(container)))
        if faults and self._strict:
            raise InputError(
                f"{faults[0].split(';')[0].rstrip('.')}; use an intact copy, or turn off the strict option."
            )
        if tally.ended or not self._faults:
            self._faults = faults

    def index_at(self, seconds: Fraction) -> int:
        """The first frame at ``seconds`` or later, by the timestamps; the number of frames if none is."""
        sought = (self._probed.first_pts or 0) + math.ceil(seconds / self.info.time_base)
        clock = self._clock()
        index = -1
        with self._opened_at(partial(go_to_pts, pts=sought)) as (container, key):
            for index, frame in enumerate(self._decoded(container, key), key.index):
                if clock(frame.pts) >= sought:
                    return index
        return index + 1

    def _clock(self) -> Clock:
        return Clock(step_of(self.info.rate, self.info.time_base), self._path.name)

    @contextmanager
    def _opened_at(
        self, go: Callable[[InputContainer, VideoStream], KeyFrame | None]
    ) -> Iterator[tuple[InputContainer, KeyFrame]]:
        """The open file at the position to which ``go`` leads, or at its start if that position is not certain."""
        with opened(self._path) as container:
            key = go(container, self._stream(container))
            if key is not None:
                yield container, key
                return
        with opened(self._path) as container:
            yield container, FIRST

    def _stream(self, container: InputContainer) -> VideoStream:
        stream = container.streams[self._probed.stream_index]
        assert isinstance(stream, VideoStream)
        if not stream.codec_context.is_open:
            stream.thread_type = "AUTO"
        return stream

    def _duration(self, container: InputContainer, frame: av.VideoFrame, following: av.VideoFrame | None) -> int | None:
        """Ticks until the next frame or, for the last one, until the stream's end (packets state it in coding
        order)."""
        if frame.pts is None:
            return None
        if following is not None:
            return following.pts - frame.pts if following.pts is not None and following.pts > frame.pts else None
        stream = container.streams[self._probed.stream_index]
        if not stream.duration:
            return frame.duration or None
        left = (stream.start_time or 0) + stream.duration - frame.pts
        return left if 0 < left * self.info.time_base <= _LONGEST_STILL else None

    def _decoded(self, container: InputContainer, key: KeyFrame, tally: Tally | None = None) -> Iterator[av.VideoFrame]:
        """Frames in display order, starting with the key frame at which the container is positioned."""
        stream = self._stream(container)
        tally = tally or Tally(self.info, key.index)
        packets = key.number
        for packet in self._packets(container, stream, tally):
            packets += packet is not None and bool(packet.size)
            for frame in self._decode(stream, packet, tally):
                if key.pts is not None and frame.pts is not None and frame.pts < key.pts:
                    continue  # of an open group: it needs frames that were skipped
                tally.frame(frame)
                yield frame
        listed = len(stream.index_entries)
        if lists_all(container) and packets < listed:
            raise self._cut_short(tally.frames, f"{listed - packets} of {listed} frames missing")
        if "matroska" in container.format.name and matroska_is_cut_short(self._path):
            raise self._cut_short(tally.frames, "the file is shorter than its header says")
        tally.ended = True

    def _packets(
        self, container: InputContainer, stream: VideoStream, tally: Tally
    ) -> Iterator[Packet[VideoStream] | None]:
        """Packets of the picture; None if the container ends early and the decoder must be flushed."""
        try:
            for packet in container.demux(stream, *container.streams.audio):
                if packet.stream.index != stream.index:
                    tally.sound(packet)
                    continue
                if packet.is_corrupt and packet.size and lists_all(container):
                    raise self._cut_short(tally.frames, "the file ends in the middle of a frame")
                tally.packet(packet)
                yield packet  # type: ignore[misc]  # of the picture
        except av.error.FFmpegError as error:
            if not tally.frames or error.errno in _UNREADABLE:
                raise self._cut_short(tally.frames, reason(error)) from error
            tally.broke_off()
            yield None

    def _decode(self, stream: VideoStream, packet: Packet[VideoStream] | None, tally: Tally) -> list[av.VideoFrame]:
        """Frames of a packet; those that cannot be decoded are skipped, as in players."""
        try:
            return list(stream.codec_context.decode(packet))
        except av.error.FFmpegError:
            if tally.frames:  # before the first frame, this is the rest of a cut group, as in probing
                tally.refused()
            return []

    def _cut_short(self, count: int, cause: str) -> InputError:
        of = f" of about {self.info.frames}" if self.info.frames > count else ""
        last = max(1, count - 1)
        return InputError(
            f"{self._path} is damaged or cut short: only {count}{of} frames can be decoded ({cause}); use an intact "
            f"copy, or stop before frame {last} (--end {last}f)."
        )

    def _check_size(self, frame: av.VideoFrame, index: int) -> None:
        size = size_of(frame, self._probed.orientation)
        if size != self.info.size:
            raise InputError(
                f"The frame size of {self._path} changes from {self.info.size} to {size} at frame {index}; convert the "
                f"video to one frame size first, or stop before that frame (--end {index}f)."
            )
