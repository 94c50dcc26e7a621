"""The options for the output's encoding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from redetail.errors import SettingsError, UnknownNameError

CODECS = ("h264", "h265", "vp9", "av1", "ffv1", "prores")
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
CONTAINERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    ".mp4": ("mp4", ("h264", "h265", "av1", "vp9")),
    ".m4v": ("mp4", ("h264", "h265", "av1", "vp9")),
    ".mov": ("mov", ("h264", "h265", "prores")),
    ".mkv": ("matroska", ("h264", "h265", "vp9", "av1", "ffv1", "prores")),
    ".webm": ("webm", ("vp9", "av1")),
    ".gif": ("gif", ()),
    ".apng": ("apng", ()),
}
"""For each suffix, FFmpeg's name of the container, and the codecs that it can hold, the usual one first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodeOptions:
    """How the output is encoded; None means whatever suits the container and the source.

    ``codec``: one of ``CODECS``. ``quality``: constant rate factor, 0 (best) to 63; None chooses it near the source's
    own bit rate. ``preset``: speed of H.264 and H.265, one of ``PRESETS``. ``lossless``: keep every sample where
    nothing was pasted, in any container, or refuse a container none of whose codecs can do that.
    """

    codec: str | None = None
    quality: float | None = None
    preset: str | None = None
    lossless: bool = False

    def __post_init__(self) -> None:
        if self.codec is not None and self.codec not in CODECS:
            raise UnknownNameError("codec", self.codec, CODECS)
        if self.preset is not None and self.preset not in PRESETS:
            raise UnknownNameError("encode-speed", self.preset, PRESETS)
        if self.quality is None:
            return
        if isinstance(self.quality, bool) or not isinstance(self.quality, int | float) or not 0 <= self.quality <= 63:
            raise SettingsError(f"quality is {self.quality!r}; it must be between 0 (best) and 63.")
