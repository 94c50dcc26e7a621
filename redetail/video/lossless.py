"""Finds the codecs that keep every sample of a source, and their pixel formats."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import av

from redetail.errors import SettingsError
from redetail.video.base import VideoInfo

_RGB = {"h264": "bgr0", "h265": "gbrp", "vp9": "gbrp", "ffv1": "bgr0"}
_DEEP_RGB = "gbrp16le"
ENCODERS: Mapping[str, str] = {"h264": "libx264", "h265": "libx265", "vp9": "libvpx-vp9", "ffv1": "ffv1"}
"""Codecs that have a lossless mode, and their encoders; that of H.264 for RGB is :data:`RGB_ENCODER`."""

RGB_ENCODER = "libx264rgb"


def exact_format(codec: str, info: VideoInfo) -> str | None:
    """The pixel format in which a codec holds the source's samples unchanged; None if there is none."""
    if codec not in ENCODERS or (codec == "h265" and min(info.size.shape) < 64):
        return None
    if not info.pixel_format or (info.chroma == "rgb" and info.bit_depth == 8):
        return _exact_rgb(codec, info)
    if info.pixel_format not in _formats(ENCODERS[codec]) or not _fits(codec, info):
        return None
    return info.pixel_format


def _exact_rgb(codec: str, info: VideoInfo) -> str | None:
    """The format for RGB, and for sources that are only known as RGB: packed formats, arrays in memory, images."""
    if info.chroma != "rgb":
        return None
    if info.bit_depth == 8:
        return _RGB[codec]
    return _DEEP_RGB if codec == "ffv1" else None


def _fits(codec: str, info: VideoInfo) -> bool:
    """Whether the chroma can be halved: H.264 and H.265 need even sides."""
    odd_width, odd_height = info.size.width % 2, info.size.height % 2
    if codec not in ("h264", "h265") or not (odd_width or odd_height):
        return True
    return info.chroma in ("444", "rgb") or (info.chroma == "422" and not odd_width)


@cache
def _formats(encoder: str) -> frozenset[str]:
    return frozenset(item.name for item in av.Codec(encoder, "w").video_formats or ())


def lossless_codec(suffix: str, wanted: str | None, containers: Mapping[str, tuple[str, ...]], info: VideoInfo) -> str:
    """The codec that is lossless for this source in a container, or the requested one.

    ``containers``: the codecs by suffix. If no codec of the container is lossless, raises
    :class:`~redetail.errors.SettingsError`, which names containers that have one.
    """
    codecs = containers[suffix]
    tried = (wanted,) if wanted is not None else (*(["ffv1"] if "ffv1" in codecs else []), *codecs)
    for codec in tried:
        if exact_format(codec, info) is not None:
            return codec
    able = {
        name: [codec for codec in held if exact_format(codec, info) is not None] for name, held in containers.items()
    }
    others = ", ".join(f"{name} with {' or '.join(held)}" for name, held in able.items() if held)
    kind = f"{info.bit_depth}-bit {info.pixel_format or 'RGB'} frames ({info.size} pixels)"
    raise SettingsError(
        f"{suffix}{f' with {wanted}' if wanted else ''} cannot keep {kind} without loss; "
        f"{f'choose {others}' if others else 'turn off the lossless option'}."
    )
