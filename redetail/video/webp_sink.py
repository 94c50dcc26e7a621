"""Writes every frame to a WebP animation; FFmpeg's own writer merges neighbours that look alike."""

from __future__ import annotations

import contextlib
import struct
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import av

from redetail.errors import OutputError
from redetail.files import cannot_write
from redetail.video.base import RGB, Frame, VideoInfo
from redetail.video.color import BT601, Encoder
from redetail.video.file_sink import check_pixels
from redetail.video.options import EncodeOptions
from redetail.video.target import Target
from redetail.video.timing import Clock, step_of

LARGEST = 16383
_ANIMATED, _OPAQUE = 0x02, 0x02
_LONGEST = (1 << 24) - 1  # milliseconds


class WebPSink:
    """Writes a WebP animation that repeats for ever; satisfies ``FrameSink``.

    A frame's duration comes from the timestamp of the next, in whole milliseconds; the first starts at zero.
    """

    def __init__(self, path: Path, info: VideoInfo, options: EncodeOptions, notices: tuple[str, ...] = ()) -> None:
        if max(info.size.shape) > LARGEST:
            raise OutputError(
                f"A side of a WebP can be at most {LARGEST} pixels, but the frame is {info.size}; choose .mp4 or .mkv."
            )
        self._info, self._notices = info, notices
        self._target = Target(path)
        self._clock = Clock(step_of(info.rate, info.time_base), path.name)
        self._lossless = options.lossless
        self._quality = 95.0 if options.quality is None else max(0.0, 100.0 - options.quality)
        self._encoder = Encoder("bgra" if options.lossless else "yuv420p", BT601, info.size, "center")
        self._held: tuple[bytes, int] | None = None
        self._last: int | None = None
        self._first = 0
        self._finished = False
        self._file: BinaryIO | None = None

    @property
    def notices(self) -> tuple[str, ...]:
        """What the output cannot hold."""
        return self._notices

    @property
    def faults(self) -> tuple[str, ...]:
        """Nothing: no other stream is copied."""
        return ()

    def __enter__(self) -> Self:
        self._target.create()
        try:
            self._file = self._target.temporary.open("wb")
            self._file.write(b"RIFF\0\0\0\0WEBP" + _header(self._info))
        except OSError as error:
            self._abandon()
            raise cannot_write(self._target.path, error) from error
        return self

    def write(self, frame: Frame) -> None:
        """Append a frame; it is written once the next one shows its duration."""
        check_pixels(frame.pixels, frame.index, self._info)
        pts = self._clock(frame.pts)
        try:
            data = self._still(frame.pixels)
            if self._held is None:
                self._first = pts
            else:
                self._append(pts)
        except (av.error.FFmpegError, OSError) as error:
            raise cannot_write(self._target.path, error) from error
        self._held, self._last = (data, pts), frame.duration

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
                self._target.commit()
        finally:
            self._abandon()  # nothing is left to remove after a commit

    def finish(self) -> None:
        """Append what is held and close the file."""
        if self._finished:
            return
        if self._held is None or self._file is None:
            raise OutputError(f"No frame was written to {self._target.path}; check the range of frames.")
        try:
            self._append(self._held[1] + (self._last or step_of(self._info.rate, self._info.time_base)))
            size = self._file.tell()
            self._file.seek(4)
            self._file.write(struct.pack("<I", size - 8))
            self._file.close()
        except (OSError, struct.error) as error:
            raise cannot_write(self._target.path, error) from error
        self._target.flush()
        self._finished = True

    def _append(self, following: int) -> None:
        """Write the held frame, which is shown until ``following`` ticks."""
        assert self._held is not None
        assert self._file is not None
        data, pts = self._held
        duration = min(_LONGEST, max(1, self._milliseconds(following) - self._milliseconds(pts)))
        height, width = self._info.size.shape
        place = b"".join(_three(value) for value in (0, 0, width - 1, height - 1, duration)) + bytes([_OPAQUE])
        self._file.write(_chunk(b"ANMF", place + data))

    def _milliseconds(self, pts: int) -> int:
        return round((pts - self._first) * self._info.time_base * 1000)

    def _still(self, pixels: RGB) -> bytes:
        """The chunk of one encoded picture."""
        context = av.CodecContext.create("libwebp", "w")
        assert isinstance(context, av.VideoCodecContext)
        picture = self._encoder(pixels)
        context.width, context.height, context.pix_fmt = picture.width, picture.height, picture.format.name
        context.time_base = Fraction(1, 1000)
        context.options = {"lossless": "1"} if self._lossless else {"quality": f"{self._quality:g}"}
        file = b"".join(bytes(packet) for packet in (*context.encode(picture), *context.encode(None)))
        return file[12:]  # after RIFF, length, WEBP

    def _abandon(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        self._target.discard()


def _header(info: VideoInfo) -> bytes:
    """The chunks that announce an animation (WebP container specification)."""
    height, width = info.size.shape
    canvas = bytes([_ANIMATED, 0, 0, 0]) + _three(width - 1) + _three(height - 1)
    for_ever = struct.pack("<IH", 0, 0)
    return _chunk(b"VP8X", canvas) + _chunk(b"ANIM", for_ever)


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return kind + struct.pack("<I", len(payload)) + payload + bytes(len(payload) % 2)


def _three(value: int) -> bytes:
    return value.to_bytes(3, "little")
