"""Checks of an output before anything is written, and the sink that fits it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from redetail.errors import OutputError, SettingsError
from redetail.video.base import VideoInfo
from redetail.video.encoding import choose
from redetail.video.file_sink import FileSink
from redetail.video.folder_sink import FolderSink
from redetail.video.folder_source import images_in
from redetail.video.options import EncodeOptions
from redetail.video.target import check_space, check_target
from redetail.video.webp_sink import WebPSink

_BITS_OF_CODEC = {"ffv1": 10.0, "gif": 4.0, "apng": 12.0, "prores_ks": 4.0}  # per pixel, low estimates
_BITS_OF_LOSSY = 0.15
_BITS_OF_PNG = 10.0
_SILENT = "{} cannot hold sound, so the sound of the source is left out."


def file_sink(
    path: Path, info: VideoInfo, source: Path | None, cut: tuple[int, int | None], options: EncodeOptions
) -> FileSink:
    """The sink of a video or an animation; ``source`` gives the other streams if it is a file."""
    encoding = choose(path, info, options)
    check_target(path, source)
    start, stop = cut
    bits = _BITS_OF_CODEC.get(encoding.encoder, _BITS_OF_LOSSY)
    check_space(path, _bytes(info, bits, start, stop))
    copy_from = source if source is not None and os.path.isfile(source) and encoding.holds_streams else None
    if info.has_audio and not encoding.holds_streams:
        encoding = replace(encoding, notices=(*encoding.notices, _SILENT.format(path.suffix)))
    return FileSink(path, info, encoding, copy_from=copy_from, start=start, stop=stop)


def webp_sink(path: Path, info: VideoInfo, source: Path | None, options: EncodeOptions) -> WebPSink:
    """The sink of a WebP animation."""
    if options.codec is not None:
        raise SettingsError(f".webp files can use only one codec; remove the codec option ({options.codec!r}).")
    check_target(path, source)
    check_space(path, _bytes(info, 8.0 if options.lossless else _BITS_OF_LOSSY, 0, None))
    silent = (_SILENT.format(".webp"),) if info.has_audio else ()
    deep = (".webp keeps only 8 bits per colour.",) if info.bit_depth > 8 else ()
    return WebPSink(path, info, options, (*silent, *deep))


def folder_sink(
    path: Path, info: VideoInfo, source: Path | None, cut: tuple[int, int | None], *, single: bool
) -> FolderSink:
    """The sink of a folder of PNG images, which keeps the names of a source folder, or of one PNG."""
    frames = _count(info, cut)
    if single and frames > 1:
        raise OutputError(
            f"{path} can hold only one picture, but {frames} frames would be written; give a folder name (without a "
            "suffix) or a video name such as out.mp4."
        )
    check_target(path, source, folder=not single)
    check_space(path, _bytes(info, _BITS_OF_PNG, *cut))
    names = [image.stem for image in images_in(source)] if source is not None and os.path.isdir(source) else []
    if len(set(names)) < len(names):
        names = [image.name for image in images_in(source)] if source is not None else []
    return FolderSink(path, info, names=names, single=single)


def _count(info: VideoInfo, cut: tuple[int, int | None]) -> int:
    """About how many frames a part has."""
    start, stop = cut
    return max(0, (info.frames if stop is None else min(stop, info.frames or stop)) - start)


def _bytes(info: VideoInfo, bits: float, start: int, stop: int | None) -> int:
    """A low estimate of the output's size, since it must not stop a run that would fit.

    The number of frames can be a guess from the duration, which a single wrong timestamp can turn into years, so the
    size of the source limits the estimate.
    """
    needed = int(info.size.width * info.size.height * _count(info, (start, stop)) * bits / 8)
    if info.path is None or not os.path.isfile(info.path):
        return needed
    return min(needed, int(info.path.stat().st_size * max(1.0, bits / _BITS_OF_LOSSY)))
