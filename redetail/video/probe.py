"""Finds out what a file holds from its container and its first frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from redetail.errors import InputError
from redetail.files import reason
from redetail.region import Size
from redetail.video.base import VideoInfo
from redetail.video.color import color_of, is_rgb
from redetail.video.hdr import hdr_of
from redetail.video.native import stored_format
from redetail.video.orientation import Orientation, orientation_of
from redetail.video.timing import DEFAULT_RATE

_TEXT_ART = ("tty", "ansi", "bin", "xbin", "adf", "idf")  # FFmpeg renders any text file with these
_SILLY_RATE = 1000
# Demuxers that open files other than the given one, or read scripts.
_REFERRING = {
    "hls", "applehttp", "dash", "webm_dash_manifest", "concat", "imf", "vobsub", "sdp", "rtsp", "rtp", "sap",
    "avisynth", "vapoursynth", "lavfi",
}  # fmt: skip
# Where decoders assume chroma if the stream does not say; for other codecs, the scaler centres it.
_SITING = {**dict.fromkeys(("h264", "hevc", "mpeg2video", "mpeg4"), "left"), "mjpeg": "center"}
_EFFICIENT, _SAVES = {"hevc", "vp9", "av1", "libdav1d"}, 1.5  # codecs that need fewer bits than H.264, and the factor
LARGEST_SIDE, LARGEST_PICTURE = 1 << 15, 1 << 26
"""Most pixels of a side and of a frame: twice those of 8K video. Beyond that, a tiny file could take gigabytes of
memory."""
_LIMITS = {"max_pixels": str(LARGEST_PICTURE)}


@dataclass(frozen=True, slots=True)
class Probed:
    """What a decoder of the file needs: its facts, its orientation, its stream and the start of the stream."""

    info: VideoInfo
    orientation: Orientation
    stream_index: int
    first_pts: int | None


def open_input(path: Path) -> InputContainer:
    """An open container; raises :class:`~redetail.errors.InputError` if FFmpeg knows no such format.

    Only this file is opened: playlists are refused, and a number in a name is not taken for a pattern.
    """
    options = {"format_whitelist": _own_formats(), "protocol_whitelist": "file", "pattern_type": "none"}
    try:
        # With "file:", a colon in the name is not taken for a protocol.
        container = av.open(f"file:{path}", metadata_errors="replace", container_options=options, options=_LIMITS)
    except av.error.PermissionError as error:
        raise InputError(f"Permission to read {path} is denied; change its permissions.") from error
    except av.error.ArgumentError as error:
        raise InputError(
            f"{path} is damaged, or is a playlist of other files instead of a video; give the video itself."
        ) from error
    except av.error.FFmpegError as error:
        raise InputError(
            f"{path} cannot be read as a video ({reason(error)}); its format is unknown, it is damaged, or it was "
            "cut short during recording or download."
        ) from error
    if container.format.name in _TEXT_ART:
        container.close()
        raise InputError(f"{path} is text, not a video; give a video file or a folder of images.")
    return container


@cache
def _own_formats() -> str:
    """The names of the demuxers that read only one file, as FFmpeg takes them."""
    return ",".join(name for name in sorted(av.formats_available) if not _REFERRING & set(name.split(",")))


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """:func:`open_input` as a context manager."""
    container = open_input(path)
    try:
        yield container
    finally:
        container.close()


def picture_stream(container: InputContainer, path: Path) -> VideoStream:
    """The stream with the most pixels that is not a cover picture."""
    cover = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams:
        raise InputError(f"{path} contains no video (it has {_held(container)}); give a file that contains video.")
    # In an animated AVIF, a still picture of the same size comes first.
    if any(stream.codec_context is None for stream in streams):
        raise InputError(f"{path} uses an unknown video codec; convert it with another program first.")
    stream = max(streams, key=lambda stream: ((stream.width or 0) * (stream.height or 0), stream.frames > 1))
    check_size(stream.width or 0, stream.height or 0, path)
    if not stream.codec_context.is_open:
        stream.codec_context.options = dict(_LIMITS)
    return stream


def check_size(width: int, height: int, path: Path) -> None:
    """Raise :class:`~redetail.errors.InputError` for pictures that are too large to be decoded."""
    if width * height > LARGEST_PICTURE or max(width, height) > LARGEST_SIDE:
        raise InputError(
            f"The frames of {path} are {width}x{height} pixels, but a frame can have at most "
            f"{LARGEST_PICTURE >> 20} million pixels, and {LARGEST_SIDE} per side; scale the frames down first."
        )


def probe(path: Path) -> Probed:
    """Open a file and decode its first frame; raises :class:`~redetail.errors.InputError` if that fails."""
    with opened(path) as container:
        stream = picture_stream(container, path)
        frame = decode_first(container, stream, path)
        orientation, complete = orientation_of(frame)
        notices = [*_notices(container, stream, frame)]
        if not complete:
            notices.append(f"{path.name} is rotated by {frame.rotation} degrees, but only quarter turns can be kept.")
        return Probed(_info(container, stream, frame, orientation, notices, path), orientation, stream.index, frame.pts)


def decode_first(container: InputContainer, stream: VideoStream, path: Path) -> av.VideoFrame:
    """The first frame; raises :class:`~redetail.errors.InputError` if there is none."""
    try:
        frame = _first_frame(container, stream)
    except av.error.FFmpegError as error:
        if not stream.width:  # FFmpeg gave up before it reported a size
            raise InputError(
                f"{path} is damaged, or its frames have more than {LARGEST_PICTURE >> 20} million pixels; use an "
                "intact copy, or scale the frames down first."
            ) from error
        raise InputError(
            f"{path} is damaged: not even its first frame can be decoded ({reason(error)}); copy or download it again."
        ) from error
    if frame is None:
        raise InputError(f"{path} contains no frame that can be decoded; copy or download it again.")
    return frame


def _first_frame(container: InputContainer, stream: VideoStream) -> av.VideoFrame | None:
    """The first frame; earlier packets that cannot be decoded (after a cut in mid-stream) are skipped."""
    failed: av.error.FFmpegError | None = None
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            failed = error
            continue
        if frames:
            return frames[0]
    if failed is not None:
        raise failed
    return None


def _info(
    container: InputContainer,
    stream: VideoStream,
    frame: av.VideoFrame,
    orientation: Orientation,
    notices: list[str],
    path: Path,
) -> VideoInfo:
    rate = _rate(stream)
    aspect = stream.sample_aspect_ratio or Fraction(1)
    if aspect <= 0:
        aspect = Fraction(1)
    frames = stream.frames or _estimated_frames(container, stream, rate)
    return VideoInfo(
        size=orientation.size(frame.width, frame.height),
        rate=rate,
        time_base=stream.time_base or 1 / rate,
        frames=frames,
        bits_per_pixel=_bits_per_pixel(container, stream, frames),
        hdr=hdr_of(frame),
        bit_depth=depth_of(frame),
        has_audio=bool(container.streams.audio),
        notices=tuple(notices),
        color=color_of(frame),
        chroma=chroma_of(frame),
        siting=_siting(stream, frame, orientation),
        pixel_format=stored_format(frame.format.name, orientation) or "",
        pixel_aspect=1 / aspect if orientation.turns % 2 else aspect,
        path=path,
    )


def _rate(stream: VideoStream) -> Fraction:
    """Average frames per second; a nonsensical rate from a container (zero, or its clock's tick) is ignored."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and 0 < rate <= _SILLY_RATE:
            return Fraction(rate)
    return DEFAULT_RATE


def _estimated_frames(container: InputContainer, stream: VideoStream, rate: Fraction) -> int:
    if stream.duration and stream.time_base:
        return max(1, round(stream.duration * stream.time_base * rate))
    if container.duration:
        return max(1, round(Fraction(container.duration, av.time_base) * rate))
    return 0


def depth_of(frame: av.VideoFrame) -> int:
    """Bits of a colour component, at least 8 (floating point counts as 16)."""
    if frame.format.name == "pal8":
        return 8
    return min(16, max(8, *(component.bits for component in frame.format.components)))


def chroma_of(frame: av.VideoFrame) -> str:
    """The chroma sampling: "420", "422", "444", or "rgb"."""
    name = frame.format.name
    if is_rgb(name):
        return "rgb"
    if len(frame.format.components) < 3:
        return "420"
    dense_x = frame.format.chroma_width(16) == 16
    dense_y = frame.format.chroma_height(16) == 16
    if dense_x or frame.format.chroma_width(16) < 8:
        return "444" if dense_x else "420"
    return "422" if dense_y else "420"


def transparency(path: Path) -> NDArray[np.uint8] | None:
    """How opaque the pixels of a picture are, (H, W) uint8 0..255, upright; None if nothing in it is transparent."""
    with opened(path) as container:
        frame = decode_first(container, picture_stream(container, path), path)
    if not has_transparency(frame):
        return None
    orientation, _ = orientation_of(frame)
    pixels: NDArray[np.uint8] = frame.reformat(format="rgba").to_ndarray()  # type: ignore[assignment]
    opaque: NDArray[np.uint8] = orientation.upright(pixels[..., 3:])[..., 0]
    return opaque


def has_transparency(frame: av.VideoFrame) -> bool:
    """Whether a frame has alpha that hides anything; for palettes and RGB the pixels are checked."""
    name = frame.format.name
    if name.startswith("yuva") or name.startswith("gbrap"):
        return True
    if name != "pal8" and not any(component.is_alpha for component in frame.format.components):
        return False
    alpha = frame.reformat(format="rgba").to_ndarray()[..., 3]
    return bool((alpha < 255).any())


def _notices(container: InputContainer, stream: VideoStream, frame: av.VideoFrame) -> Iterator[str]:
    name = Path(container.name.removeprefix("file:")).name
    if has_transparency(frame) or stream.metadata.get("alpha_mode") == "1":
        yield f"{name} has transparency (alpha), which is dropped: the result is opaque."
    if frame.interlaced_frame:
        yield f"{name} is interlaced, but is read as if it were progressive; deinterlace it first for clean edges."
    others = len(container.streams.video) - 1
    covers = sum(bool(s.disposition & av.stream.Disposition.attached_pic) for s in container.streams.video)
    if others > covers and not _is_animation(container):
        yield f"{name} has {others - covers + 1} video streams; only the largest is read."


def _siting(stream: VideoStream, frame: av.VideoFrame, orientation: Orientation) -> str:
    """Where shared chroma lies in the upright picture; empty if that is unknown or has no name."""
    stored = _SITING.get(stream.codec_context.name, "") if chroma_of(frame) == "420" else ""
    if stored != "left":
        return stored
    return "" if orientation.mirrored else ("left", "bottom", "", "top")[orientation.turns]


def _is_animation(container: InputContainer) -> bool:
    """Whether it is an animated AVIF, which holds a still in addition to its frames."""
    return container.metadata.get("major_brand") == "avis"


def _bits_per_pixel(container: InputContainer, stream: VideoStream, frames: int) -> float:
    """Coded bits per pixel of the picture, converted to what H.264 would need; 0 if not known."""
    pixels = frames * (stream.width or 0) * (stream.height or 0)
    rate = stream.codec_context.bit_rate
    if rate and stream.duration and stream.time_base:
        bits = float(rate * stream.duration * stream.time_base)
    else:
        bits = max(0.0, container.size * 8.0)
    return bits / pixels * (_SAVES if stream.codec_context.name in _EFFICIENT else 1) if pixels else 0.0


def _held(container: InputContainer) -> str:
    kinds = {"audio": "sound", "subtitle": "subtitles", "data": "data", "video": "a cover picture"}
    held = [kinds[stream.type] for stream in container.streams if stream.type in kinds]
    return " and ".join(dict.fromkeys(held)) or "no streams"


def size_of(frame: av.VideoFrame, orientation: Orientation) -> Size:
    """Size of a decoded frame once upright."""
    return orientation.size(frame.width, frame.height)
