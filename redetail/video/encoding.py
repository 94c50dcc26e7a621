"""Chooses the container, the codec and the pixel format of an output."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av

from redetail.errors import OutputError, SettingsError
from redetail.video.base import Color, VideoInfo
from redetail.video.color import BT709, is_rgb
from redetail.video.hdr import encoder_options
from redetail.video.lossless import RGB_ENCODER, exact_format, lossless_codec
from redetail.video.options import CONTAINERS, EncodeOptions

_ENCODERS = {
    "h264": "libx264",
    "h265": "libx265",
    "vp9": "libvpx-vp9",
    "av1": "libsvtav1",
    "ffv1": "ffv1",
    "prores": "prores_ks",
    "gif": "gif",
    "apng": "apng",
}


_FINEST: Mapping[str, float] = {"h264": 13, "h265": 14}  # constant rate factors; 18 for others
_FINE_BITS, _COARSEST = 0.45, 5
_FINE = 10_000  # ticks per second


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoding:
    """Everything an output container and its encoder need to be opened.

    ``siting``: where shared chroma lies; ``exact``: nothing may be lost.
    ``tick``: time base of the timestamps that are handed to the encoder.
    """

    container: str
    encoder: str
    pixel_format: str
    color: Color
    tick: Fraction
    options: Mapping[str, str] = field(default_factory=dict)
    container_options: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    palette: bool = False
    siting: str = "left"
    exact: bool = False

    @property
    def holds_streams(self) -> bool:
        """Whether the container can hold more than pictures."""
        return self.container not in ("gif", "apng")


def choose(path: Path, info: VideoInfo, options: EncodeOptions) -> Encoding:
    """The encoding for an output with this name.

    Raises :class:`~redetail.errors.OutputError` for a suffix that no container has or an encoder that this FFmpeg
    lacks, and :class:`~redetail.errors.SettingsError` for a codec that the container cannot hold.
    """
    if path.suffix.lower() not in CONTAINERS:
        raise OutputError(
            f"{path} ends in {path.suffix!r}, which is not a format that can be written; "
            f"choose one of: {', '.join(CONTAINERS)}, .webp, or a folder name for PNG images."
        )
    container, codecs = CONTAINERS[path.suffix.lower()]
    codec = _codec(path, codecs, info, options)
    encoder = _ENCODERS[codec]
    pixel_format, notices = _pixel_format(codec, info, options)
    if encoder == "libx264" and is_rgb(pixel_format):
        encoder = RGB_ENCODER
    if encoder not in av.codecs_available:
        raise OutputError(
            f"The installed FFmpeg has no {encoder} encoder, which {path} needs; choose another suffix or codec."
        )
    coded, left_out = _hdr_options(encoder, info, _encoder_options(codec, info, options, pixel_format))
    color = info.color if info.chroma != "rgb" and info.color.matrix != 0 else BT709
    return Encoding(
        container=container,
        encoder=encoder,
        pixel_format=pixel_format,
        color=color,
        tick=_tick(container, info),
        options={**_siting_option(codec, info), **coded},
        container_options=_container_options(container, info),
        notices=(*notices, *left_out, *_time_notices(container, info)),
        palette=codec == "gif",
        siting=info.siting or _usual_siting(codec),
        exact=options.lossless,
    )


def _usual_siting(codec: str) -> str:
    """Where a decoder of this codec assumes shared chroma, if nothing says so."""
    return "left" if codec in ("h264", "h265") else "center"


def _codec(path: Path, codecs: tuple[str, ...], info: VideoInfo, options: EncodeOptions) -> str:
    suffix = path.suffix.lower()
    if options.lossless and (options.codec in (None, *codecs)) and suffix != ".apng":
        containers = {name: held for name, (_, held) in CONTAINERS.items() if held or name == suffix}
        return lossless_codec(suffix, options.codec, containers, info)
    if not codecs:
        if options.codec is not None:
            raise SettingsError(
                f"{path.suffix} files can use only one codec; remove the codec option ({options.codec!r})."
            )
        return path.suffix[1:].lower()
    if options.codec is not None:
        if options.codec not in codecs:
            raise SettingsError(f"{path.suffix} cannot hold {options.codec}; choose one of: {', '.join(codecs)}.")
        if options.codec == "h265" and not _fits_h265(info):
            raise SettingsError(f"h265 needs at least 64x64 pixels, but the source is {info.size}; choose h264.")
        return options.codec
    if info.bit_depth > 8 and "h265" in codecs and _fits_h265(info):
        return "h265"
    return codecs[0]


def _fits_h265(info: VideoInfo) -> bool:
    """False for pictures smaller than one coding tree (64 pixels), for which libx265 4.x writes beyond its buffers."""
    return min(info.size.shape) >= 64


def _pixel_format(codec: str, info: VideoInfo, options: EncodeOptions) -> tuple[str, tuple[str, ...]]:
    """The pixel format nearest to the source, and notices about what it cannot keep."""
    deep = info.bit_depth > 8
    if codec in ("gif", "apng"):
        return _animation_format(codec, deep)
    exact = exact_format(codec, info) if options.lossless or codec == "ffv1" else None
    if exact is not None:
        return exact, ()
    if codec == "ffv1":
        return ("gbrp16le" if deep else "bgr0"), ()
    if codec == "prores":
        return ("yuv444p10le" if info.chroma == "444" else "yuv422p10le"), ()
    chroma, notices = _chroma(codec, info, options)
    if codec == "vp9" and deep:
        return f"yuv{chroma}p", (_rounded(info, 8),)
    if codec == "h265" and info.bit_depth == 12:
        return f"yuv{chroma}p12le", notices
    if deep and info.bit_depth > 10:
        notices = (*notices, _rounded(info, 10))
    return f"yuv{chroma}p{'10le' if deep else ''}", notices


def _animation_format(codec: str, deep: bool) -> tuple[str, tuple[str, ...]]:
    if codec == "apng":
        return ("rgb48be" if deep else "rgb24"), ()
    return "rgb24", ("A .gif has at most 256 colours per frame; .webp and .mp4 look better.",)


def _chroma(codec: str, info: VideoInfo, options: EncodeOptions) -> tuple[str, tuple[str, ...]]:
    """Chroma sampling of the output. Odd sizes cannot be halved, so their chroma keeps its full size."""
    wanted = "420" if info.chroma == "rgb" else info.chroma
    if codec == "av1":
        return "420", ()
    odd_width, odd_height = info.size.width % 2, info.size.height % 2
    if codec != "vp9" and ((wanted == "420" and (odd_width or odd_height)) or (wanted == "422" and odd_width)):
        return "444", (
            f"The frame size {info.size} has an odd width or height, so colours are stored at full resolution (4:4:4), "
            "which some players cannot show.",
        )
    return wanted, ()


def _rounded(info: VideoInfo, bits: int) -> str:
    return f"The source has {info.bit_depth} bits per colour; the output has {bits}."


def _tick(container: str, info: VideoInfo) -> Fraction:
    """The container's own tick if it has one, else the source's."""
    fixed = {"matroska": 1000, "webm": 1000, "gif": 100}
    return Fraction(1, fixed[container]) if container in fixed else info.time_base


def _time_notices(container: str, info: VideoInfo) -> tuple[str, ...]:
    tick = _tick(container, info)
    if (info.time_base / tick).denominator == 1 or (1 / info.rate / tick).denominator == 1:
        return ()
    return (f"{container} stores times in steps of {tick} s, so timestamps are rounded to these steps.",)


def _container_options(container: str, info: VideoInfo) -> dict[str, str]:
    if container in ("mp4", "mov"):
        # Without this the muxer multiplies small time scales, and the ticks are no longer the source's.
        ticks = info.time_base.denominator
        # A late start is written in the file's own unit, which must divide the picture's and be fine enough for sound.
        whole = str(ticks * -(-_FINE // ticks))
        return {"movflags": "+faststart", "video_track_timescale": str(ticks), "movie_timescale": whole}
    if container in ("matroska", "webm"):
        # Sound that starts early (AAC) would delay the picture; and without bitexact the muxer numbers the file and its
        # tracks at random, so that equal runs give unequal files.
        return {"avoid_negative_ts": "disabled", "fflags": "+bitexact"}
    if container == "gif":
        return {"loop": "0"}
    return {"plays": "0"} if container == "apng" else {}


def _encoder_options(codec: str, info: VideoInfo, options: EncodeOptions, pixel_format: str) -> dict[str, str]:
    preset = options.preset or "medium"
    finest = _FINEST.get(codec, 18)
    rate = f"{_near_source(finest, info) if options.quality is None else options.quality:g}"
    if codec == "h264":
        # Macroblock trees make libx264 give another file each time on processors with AVX-512; a little quality
        # instead keeps equal input equal.
        quality = {"qp": "0"} if options.lossless else {"crf": rate}
        return {"preset": preset, "mbtree": "0", **quality}
    if codec == "h265":
        quiet = "log-level=none"
        params = f"{quiet}:lossless=1" if options.lossless else quiet
        return {"preset": preset, "crf": rate, "x265-params": params}
    if codec == "vp9":
        speed = {"deadline": "good", "cpu-used": "2", "row-mt": "1"}
        return {**speed, "lossless": "1"} if options.lossless else {**speed, "crf": rate, "b": "0"}
    if codec == "av1":
        return {"crf": rate, "preset": "6"}
    if codec == "ffv1":
        return {"level": "3", "slicecrc": "1"}
    if codec == "prores":
        return {"profile": "4" if pixel_format.startswith("yuv444") else "3"}
    return {}


def _siting_option(codec: str, info: VideoInfo) -> dict[str, str]:
    """Says where the source's chroma lies, if a decoder would assume another place."""
    said = info.siting != "" and info.chroma in ("420", "422") and info.siting != _usual_siting(codec)
    return {"chroma_sample_location": info.siting} if said else {}


def _near_source(finest: float, info: VideoInfo) -> float:
    """The constant rate factor for a source that was coded more coarsely: six steps halve the bits.

    At ``_FINE_BITS`` per pixel, the finest factor gives a file of about the source's size (measured on three clips).
    """
    if not info.bits_per_pixel:
        return finest
    return finest + min(_COARSEST, max(0, round(6 * math.log2(_FINE_BITS / info.bits_per_pixel))))


def _hdr_options(encoder: str, info: VideoInfo, options: dict[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The encoder's options with the source's HDR10 metadata, and a notice if this cannot be written."""
    if info.hdr is None:
        return options, ()
    added = encoder_options(encoder, info.hdr)
    if added is None:
        return options, (f"The HDR10 metadata is left out, because {encoder} cannot write it; use h265 to keep it.",)
    key = {"libx264": "x264-params", "libx265": "x265-params", "libsvtav1": "svtav1-params"}[encoder]
    given = [options[key]] if key in options else []
    return {**options, key: ":".join([*given, *(f"{name}={value}" for name, value in added.items())])}, ()
