"""Encodes frames into a video file, together with copies of the source's other streams."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream

from redetail.errors import InputError, OutputError
from redetail.files import cannot_write
from redetail.video.base import RGB, Frame, VideoInfo
from redetail.video.color import Encoder, is_rgb
from redetail.video.encoding import Encoding
from redetail.video.palette import Palette
from redetail.video.stream_copy import StreamCopy, has_uncommon_keys, kept_metadata
from redetail.video.target import Target
from redetail.video.timing import Clock, step_of

_FRAME_DURATION = av.codec.context.Flags.frame_duration.value  # otherwise the last frame is shown for the average time


class FileSink:
    """Writes one video file; satisfies ``FrameSink``.

    ``copy_from``: the file whose sound, subtitles, chapters and metadata are copied (None: none). ``start`` and
    ``stop``: which of the source's frames will be written; a cut clip starts at time zero, with its sound cut to match.
    """

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        encoding: Encoding,
        *,
        copy_from: Path | None = None,
        start: int = 0,
        stop: int | None = None,
    ) -> None:
        self._info, self._encoding = info, encoding
        self._start, self._stop = start, stop
        self._copy_from = copy_from
        self._target = Target(path)
        self._notices = list(encoding.notices)
        self._copy: StreamCopy | None = None
        self._held: Frame | None = None
        self._shift = Fraction(0)
        self._finished = False
        self._clock = Clock(step_of(info.rate, info.time_base), path.name)
        self._ticks = Clock(step_of(info.rate, encoding.tick), path.name)

    @property
    def notices(self) -> tuple[str, ...]:
        """What the output cannot hold; complete once the sink is open."""
        return tuple(self._notices)

    @property
    def faults(self) -> tuple[str, ...]:
        """Damage in the source's other streams; complete once the sink is closed."""
        return () if self._copy is None else self._copy.faults

    def __enter__(self) -> Self:
        self._target.create()
        try:
            self._open()
        except BaseException:
            self._abandon()
            raise
        return self

    def write(self, frame: Frame) -> None:
        """Append a frame; it is encoded once the next one shows its duration."""
        _check(frame, self._info)
        frame = replace(frame, pts=self._clock(frame.pts))
        try:
            if self._held is None:
                self._begin(frame)
            else:
                self._encode(self._held, _pts(frame))
        except (av.error.FFmpegError, OSError) as error:
            raise cannot_write(self._target.path, error) from error
        self._held = frame

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._abandon()
            return
        try:
            self.finish()
            self._target.commit()
        except BaseException:
            self._abandon()
            raise

    def _open(self) -> None:
        encoding = self._encoding
        options = dict(encoding.container_options)
        if "movflags" in options and self._copy_from is not None and has_uncommon_keys(self._copy_from):
            options["movflags"] += "+use_metadata_tags"
        try:
            self._output: OutputContainer = av.open(
                f"file:{self._target.temporary}",
                "w",
                format=encoding.container,
                container_options=options,
            )
            self._stream = self._add_stream()
            self._encoder = Encoder(
                encoding.pixel_format, encoding.color, self._info.size, encoding.siting, exact=encoding.exact
            )
            self._palette = Palette(self._info.size, encoding.tick) if encoding.palette else None
            self._copy = None if self._copy_from is None else StreamCopy(self._copy_from, self._output)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise cannot_write(self._target.path, error) from error
        if self._copy is not None:
            self._notices.extend(self._copy.notices)
            self._stream.metadata.update(kept_metadata(self._copy.picture.metadata))
            if self._start:
                self._stream.metadata.pop("timecode", None)  # it is that of the source's first frame

    def _add_stream(self) -> VideoStream:
        encoding, size = self._encoding, self._info.size
        if encoding.encoder == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "0")  # the only way to keep it from writing to the terminal
        stream = self._output.add_stream(encoding.encoder, rate=self._info.rate, options=dict(encoding.options))
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = size.width, size.height
        stream.pix_fmt = "pal8" if encoding.palette else encoding.pixel_format
        stream.time_base = encoding.tick
        context = stream.codec_context
        context.time_base = encoding.tick
        context.flags |= _FRAME_DURATION
        context.sample_aspect_ratio = self._info.pixel_aspect
        if encoding.encoder == "libx265" and encoding.container in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # the tag that Apple's players need
        if not is_rgb(encoding.pixel_format):
            context.colorspace, context.color_range = encoding.color.matrix, encoding.color.range
            context.color_primaries, context.color_trc = encoding.color.primaries, encoding.color.transfer
        return stream

    def _begin(self, first: Frame) -> None:
        seconds = _pts(first) * self._info.time_base
        if self._start:
            self._shift = seconds
        elif self._copy is not None:
            self._shift = self._copy.origin
        if self._copy is not None:
            end = None if self._stop is None else seconds + (self._stop - self._start) / self._info.rate
            self._copy.begin(seconds if self._start else None, end, self._shift)

    def _encode(self, frame: Frame, following: int) -> None:
        """Encode a frame that is shown until ``following`` ticks of the source."""
        picture = self._encoder(frame.pixels, frame.native)
        begin, end = self._in_ticks(_pts(frame)), self._in_ticks(following)
        picture.pts, picture.time_base = self._ticks(begin), self._encoding.tick
        picture.duration = max(1, end - begin)
        if self._palette is not None:
            picture = self._palette(picture)
        self._output.mux(self._stream.encode(picture))
        if self._copy is not None:
            self._copy.until(following * self._info.time_base)

    def _in_ticks(self, pts: int) -> int:
        return round((pts * self._info.time_base - self._shift) / self._encoding.tick)

    def finish(self) -> None:
        """Encode what is held and close the file."""
        if self._finished:
            return
        if self._held is None:
            raise OutputError(f"No frame was written to {self._target.path}; check the range of frames.")
        last = self._held
        following = _pts(last) + (last.duration or step_of(self._info.rate, self._info.time_base))
        try:
            self._encode(last, following)
            self._output.mux(self._stream.encode(None))
            if self._copy is not None:
                self._copy.finish(None if self._stop is None else following * self._info.time_base)
                self._copy.close()
            self._output.close()
        except (av.error.FFmpegError, OSError) as error:
            raise cannot_write(self._target.path, error) from error
        self._target.flush()
        self._finished = True

    def _abandon(self) -> None:
        for part in (self._copy, getattr(self, "_output", None)):
            if part is not None:
                with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
                    part.close()
        self._target.discard()


def _pts(frame: Frame) -> int:
    assert frame.pts is not None  # the sink's clock fills it in
    return frame.pts


def _check(frame: Frame, info: VideoInfo) -> None:
    check_pixels(frame.pixels, frame.index, info)


def check_pixels(pixels: RGB, index: int, info: VideoInfo) -> None:
    """Raise :class:`~redetail.errors.InputError` unless pixels are (H, W, 3) uint8 or uint16 of the output's size."""
    if pixels.shape != (*info.size.shape, 3) or pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"Frame {index} is {pixels.dtype} of shape {pixels.shape}, but the output takes uint8 or uint16 of shape "
            f"{(*info.size.shape, 3)}."
        )
