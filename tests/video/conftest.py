"""Tiny clips, made on the spot: every test states what its file is like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

MakeClip = Callable[..., Path]


def smooth(frames: int, height: int, width: int, dtype: type = np.uint8) -> np.ndarray:
    """(F, H, W, 3) gradients that move: gentle, so that chroma subsampling loses next to nothing."""
    t, y, x = np.mgrid[0:frames, 0:height, 0:width].astype(np.float64)
    red = 0.2 + 0.6 * x / max(1, width - 1)
    green = 0.2 + 0.6 * y / max(1, height - 1)
    blue = 0.5 + 0.3 * np.sin((x + y) / (width + height) * 3 + t / 5)
    return (np.stack([red, green, blue], -1) * np.iinfo(dtype).max).round().astype(dtype)


def sine(seconds: float = 1.0, rate: int = 44100) -> av.AudioFrame:
    """A stereo tone."""
    tone = (0.3 * np.sin(np.arange(int(seconds * rate)) * 440 * 2 * np.pi / rate)).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]), "fltp", "stereo")
    frame.sample_rate, frame.pts = rate, 0
    return frame


def encode_clip(
    path: Path,
    frames: np.ndarray,
    *,
    pts: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    color: tuple[int, int, int, int] | None = None,
    prepare: Callable[[Any], None] | None = None,
    container: Callable[[Any], None] | None = None,
    audio: str | None = None,
    audio_seconds: float = 1.0,
) -> Path:
    """Write frames (RGB, or planes already in the pixel format) with the timestamps given."""
    with av.open(str(path), "w", container_options=container_options or {}) as output:
        if container:
            container(output)
        stream = output.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.time_base = pixel_format, time_base
        context = stream.codec_context
        context.time_base = time_base
        if color:
            context.colorspace, context.color_range = color[0], color[1]
            context.color_primaries, context.color_trc = color[2], color[3]
        if prepare:
            prepare(stream)
        sound = output.add_stream(audio, rate=48000 if audio == "libopus" else 44100) if audio else None
        if sound is not None:
            tone = sine(audio_seconds, sound.rate)
            output.mux([*sound.encode(tone), *sound.encode(None)])
        for index, pixels in enumerate(frames):
            frame = to_frame(pixels, pixel_format, color)
            frame.pts, frame.time_base = (pts[index] if pts else index), time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def to_frame(pixels: np.ndarray, pixel_format: str, color: tuple[int, int, int, int] | None) -> av.VideoFrame:
    """A frame for the encoder; the conversion to its pixel format honours matrix and range."""
    layout = {3: "rgb24", 4: "rgba"}[pixels.shape[-1]] if pixels.dtype == np.uint8 else "rgb48le"
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), layout)
    if color:
        frame.colorspace = color[0]
    return frame.reformat(format=pixel_format, dst_color_range=color[1] if color else None)


def packets_of(path: Path, kind: str) -> list[tuple[float, bytes]]:
    """(seconds, bytes) of every packet of the first stream of a kind."""
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        return [
            (float(packet.pts * packet.time_base), bytes(packet)) for packet in container.demux(stream) if packet.size
        ]


@pytest.fixture
def make_clip(tmp_path: Path) -> MakeClip:
    """``make_clip(name, frames, ...)`` writes a clip into the test's folder; see ``encode_clip``."""

    def make(name: str, frames: np.ndarray, **kwargs: Any) -> Path:
        return encode_clip(tmp_path / name, frames, **kwargs)

    return make


@pytest.fixture
def gradients() -> Callable[..., np.ndarray]:
    """The moving gradients."""
    return smooth


@pytest.fixture
def packets() -> Callable[[Path, str], list[tuple[float, bytes]]]:
    """Packets of a file."""
    return packets_of
