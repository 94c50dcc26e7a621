"""Writes frames as PNG images with 8 or 16 bits, exactly the given pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np

from redetail.errors import OutputError
from redetail.files import cannot_write
from redetail.video.base import RGB, Frame, VideoInfo
from redetail.video.color import contiguous
from redetail.video.file_sink import check_pixels
from redetail.video.target import Target


class FolderSink:
    """Writes a folder of PNG images, or a single PNG; satisfies ``FrameSink``.

    ``names``: file names without suffix, by frame index (empty: six-digit numbers from 000001).
    """

    def __init__(self, path: Path, info: VideoInfo, *, names: Sequence[str] = (), single: bool = False) -> None:
        self._info, self._names, self._single = info, names, single
        self._target = Target(path, folder=not single)
        self._count = 0

    @property
    def notices(self) -> tuple[str, ...]:
        """A notice if there is sound, which images cannot hold."""
        return ("Images cannot hold sound, so the sound of the source is left out.",) if self._info.has_audio else ()

    @property
    def faults(self) -> tuple[str, ...]:
        """Nothing: no other stream is copied."""
        return ()

    def __enter__(self) -> Self:
        self._target.create()
        return self

    def write(self, frame: Frame) -> None:
        """Write one image."""
        check_pixels(frame.pixels, frame.index, self._info)
        if self._single and self._count:
            raise OutputError(
                f"{self._target.path} can hold only one picture; to write more, give a folder or a video."
            )
        try:
            self._file(frame.index).write_bytes(png(frame.pixels))
        except (OSError, av.error.FFmpegError) as error:
            raise cannot_write(self._target.path, error) from error
        self._count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
                self._target.commit()
        finally:
            self._target.discard()  # does nothing after a commit

    def finish(self) -> None:
        """Force the images to disk."""
        if not self._count:
            raise OutputError(f"No frame was written to {self._target.path}; check the range of frames.")
        self._target.flush()

    def _file(self, index: int) -> Path:
        if self._single:
            return self._target.temporary
        name = self._names[index] if index < len(self._names) else f"{index + 1:06d}"
        return self._target.temporary / f"{name}.png"


def png(pixels: RGB) -> bytes:
    """A PNG file of (H, W, 3) uint8 or uint16 pixels."""
    deep = pixels.dtype == np.uint16
    frame = av.VideoFrame.from_ndarray(contiguous(pixels), format="rgb48le" if deep else "rgb24")
    context = av.CodecContext.create("png", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height = pixels.shape[1], pixels.shape[0]
    context.pix_fmt = "rgb48be" if deep else "rgb24"
    context.time_base = 1  # type: ignore[assignment]  # a still has no time, but the encoder needs one
    context.options = {"pred": "mixed", "compression_level": "3"}
    packets = [*context.encode(frame.reformat(format=context.pix_fmt)), *context.encode(None)]
    return b"".join(bytes(packet) for packet in packets)
