"""HDR10 metadata: the display that a clip was mastered on, and how bright it gets (SMPTE ST 2086, CTA-861.3)."""

from __future__ import annotations

import struct
from fractions import Fraction

from av import VideoFrame

from redetail.video.base import Hdr

_MASTERING = struct.Struct("20i2i")  # AVMasteringDisplayMetadata: red, green, blue, white, darkest, brightest; validity
_LIGHT = struct.Struct("2I")  # AVContentLightMetadata


def hdr_of(frame: VideoFrame) -> Hdr | None:
    """The metadata of a decoded frame; None if it has none."""
    mastering, light = _side_data(frame, "MASTERING_DISPLAY_METADATA"), _side_data(frame, "CONTENT_LIGHT_LEVEL")
    display: tuple[Fraction, ...] = ()
    if mastering is not None and len(mastering) >= _MASTERING.size:
        *numbers, has_primaries, has_luminance = _MASTERING.unpack_from(mastering)
        if has_primaries and has_luminance and all(numbers[1::2]):
            display = tuple(Fraction(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True))
    levels: tuple[int, ...] = ()
    if light is not None and len(light) >= _LIGHT.size:
        levels = _LIGHT.unpack_from(light)
    return Hdr(display, levels) if display or levels else None


def encoder_options(encoder: str, hdr: Hdr) -> dict[str, str] | None:
    """Parameters by name that make an encoder write the metadata; None for an encoder that cannot."""
    levels = ",".join(map(str, hdr.levels))
    if encoder in ("libx265", "libx264"):
        names = ("master-display", "max-cll") if encoder == "libx265" else ("mastering-display", "cll")
        values = (_in_units(hdr.display, 50000, 10000), levels)
    elif encoder == "libsvtav1":
        names = ("mastering-display", "content-light")
        values = (_in_units(hdr.display, 1, 1), levels)
    else:
        return None
    return {name: value for name, value in zip(names, values, strict=True) if value}


def _in_units(display: tuple[Fraction, ...], chroma: int, luminance: int) -> str:
    """The display in encoders' units: chromaticities and candela per square metre in these fractions."""
    if not display:
        return ""
    *points, darkest, brightest = display
    whole = chroma != 1
    scaled = [_number(value * chroma, whole) for value in points]
    red, green, blue, white = (",".join(scaled[at : at + 2]) for at in range(0, 8, 2))
    bright, dark = _number(brightest * luminance, whole), _number(darkest * luminance, whole)
    return f"G({green})B({blue})R({red})WP({white})L({bright},{dark})"


def _number(value: Fraction, whole: bool) -> str:
    return str(round(value)) if whole else f"{float(value):.4f}"


def _side_data(frame: VideoFrame, name: str) -> bytes | None:
    try:
        data = frame.side_data.get(name)
    except ValueError:  # PyAV does not know a neighbour's type
        return None
    return None if data is None else bytes(data)  # type: ignore[call-overload]
