"""Reads and writes frames: :func:`open_source`, :func:`array_source`, :func:`open_sink`.

PyAV and Pillow are loaded when a file is opened, not before.
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from redetail.errors import InputError, OutputError
from redetail.optional import requires
from redetail.video.base import Color, Frame, FrameSink, FrameSource, VideoInfo
from redetail.video.inputs import check_input
from redetail.video.options import EncodeOptions
from redetail.video.timing import DEFAULT_RATE

__all__ = [
    "Color",
    "EncodeOptions",
    "Frame",
    "FrameSink",
    "FrameSource",
    "VideoInfo",
    "array_source",
    "open_sink",
    "open_source",
    "transparency",
]


def open_source(
    path: str | Path, *, rate: Fraction | float = DEFAULT_RATE, strict: bool = False, keep: int = 0
) -> FrameSource:
    """A video file, an animation, a folder of images (in natural order) or one image, as frames.

    ``rate`` is the frame rate for images, which have none of their own; videos keep theirs. Frames that are missing or
    damaged are skipped and listed in ``faults``; with ``strict`` they are an error. ``keep``: how many bytes of decoded
    pictures of a video can stay in memory, so that a short video is decoded only once. Raises
    :class:`~redetail.errors.InputError` if nothing can be read.
    """
    if not str(path):
        raise InputError("The name of the input is empty; give a video file or a folder of images.")
    path = Path(path)
    check_input(path)
    with requires("av", "PIL"):
        from redetail.video.file_source import FileSource
        from redetail.video.folder_source import IMAGE_SUFFIXES, FolderSource, images_in, is_still
        from redetail.video.webp_source import WebPSource, is_animated_webp

        if os.path.isdir(path):
            return FolderSource(path, images_in(path), _rate(rate))
        if is_animated_webp(path):
            return WebPSource(path)
        if path.suffix.lower() in IMAGE_SUFFIXES and is_still(path):
            return FolderSource(path, [path], _rate(rate))
        return FileSource(path, strict=strict, keep=keep)


def transparency(path: Path) -> NDArray[np.uint8] | None:
    """How opaque the pixels of a picture are, (H, W) uint8 0..255, upright; None if nothing in it is transparent."""
    with requires("av"):
        from redetail.video.probe import transparency

        return transparency(path)


def array_source(
    frames: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.floating], rate: Fraction | float = DEFAULT_RATE
) -> FrameSource:
    """Frames in memory: (F, H, W, 3), uint8, uint16 or floating point 0..1; ``rate`` is in frames per second.

    Floating-point values are rounded to 8 bits. Raises :class:`~redetail.errors.InputError` for other arrays.
    """
    from redetail.video.memory_source import ArraySource

    return ArraySource(np.asarray(frames), _rate(rate))


def open_sink(
    path: str | Path,
    like: FrameSource | VideoInfo,
    *,
    source_path: str | Path | None = None,
    start: int = 0,
    stop: int | None = None,
    options: EncodeOptions | None = None,
) -> FrameSink:
    """A sink for frames with the size, timing and colours of ``like``; use it in a ``with`` statement.

    The suffix of the name determines the format: a video (.mp4, .m4v, .mov, .mkv, .webm), an animation (.gif, .webp,
    .apng), one image (.png), or, without a suffix, a folder of PNG images. Sound, subtitles, chapters and metadata are
    copied unchanged from ``source_path`` (by default the path of ``like``, if it has one). ``start`` and ``stop`` say
    which frames of the source will be written; the written part starts at time zero, with its sound cut to match.

    Nothing exists under the requested name until the ``with`` statement ends without an error. An error or Ctrl-C
    leaves nothing behind, and an older file with that name stays. Raises :class:`~redetail.errors.OutputError` if the
    output cannot or must not be written.
    """
    info = like if isinstance(like, VideoInfo) else like.info
    if not str(path):
        raise OutputError("The name of the output is empty; give a file name, such as out.mp4.")
    path = Path(path)
    source = Path(source_path) if source_path is not None else info.path
    with requires("av"):
        from redetail.video.opening import file_sink, folder_sink, webp_sink

        if path.suffix.lower() in ("", ".png"):
            return folder_sink(path, info, source, (start, stop), single=path.suffix != "")
        if path.suffix.lower() == ".webp":
            return webp_sink(path, info, source, options or EncodeOptions())
        return file_sink(path, info, source, (start, stop), options or EncodeOptions())


def _rate(rate: Fraction | float) -> Fraction:
    try:
        exact = Fraction(rate).limit_denominator(1001)
    except (ValueError, OverflowError, TypeError) as error:
        raise InputError(f"The frame rate must be a positive number, not {rate!r}.") from error
    if not 0 < exact <= 1000:
        raise InputError(f"The frame rate is {rate}; it must be above 0 and at most 1000 frames per second.")
    return exact
