"""Small clips in many containers, and ways to damage them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.fuzz.harness import Rng

FRAMES, SIZE = 12, (64, 48)
FAST = {"preset": "ultrafast", "crf": "30", "g": "6"}

# name of the file -> codec, pixel format, options of the codec, codec of the sound, options of the container
CONTAINERS: dict[str, tuple[str, str, dict[str, str], str | None, dict[str, str]]] = {
    "a.mp4": ("libx264", "yuv420p", FAST, "aac", {}),
    "front.mp4": ("libx264", "yuv420p", FAST, "aac", {"movflags": "faststart"}),
    "fragments.mp4": ("libx264", "yuv420p", FAST, "aac", {"movflags": "frag_keyframe+empty_moov"}),
    "mpeg4.mp4": ("mpeg4", "yuv420p", {"g": "6"}, None, {}),
    "a.mov": ("prores_ks", "yuv422p10le", {}, "pcm_s16le", {}),
    "a.mkv": ("libx264", "yuv420p", FAST, "libopus", {}),
    "ffv1.mkv": ("ffv1", "yuv420p", {}, "pcm_s16le", {}),
    "a.webm": ("libvpx-vp9", "yuv420p", {"deadline": "realtime", "cpu-used": "8"}, "libopus", {}),
    "a.avi": ("mjpeg", "yuvj420p", {}, "pcm_s16le", {}),
    "a.ts": ("libx264", "yuv420p", FAST, "aac", {}),
    "a.flv": ("flv", "yuv420p", {}, None, {}),
    "a.mpg": ("mpeg2video", "yuv420p", {}, "mp2", {}),
    "a.gif": ("gif", "rgb8", {}, None, {}),
    "a.webp": ("libwebp_anim", "yuv420p", {}, None, {}),
    "a.apng": ("apng", "rgb24", {}, None, {}),
    "a.h264": ("libx264", "yuv420p", FAST, None, {}),
}


def pictures() -> list[NDArray[np.uint8]]:
    """A soft pattern that moves by a pixel a frame."""
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    waves = [np.sin((x + shift) / 5) * np.cos((y + shift) / 7) for shift in range(FRAMES)]
    return [np.stack([128 + 90 * wave, 128 - 90 * wave, 100 + 60 * wave], -1).astype(np.uint8) for wave in waves]


def write_clip(path: Path, name: str) -> Path:
    """The clip of that name in CONTAINERS."""
    codec, layout, options, audio, container_options = CONTAINERS[name]
    rate = 25 if codec == "mpeg2video" else 12
    with av.open(str(path), "w", options=container_options) as container:
        stream = container.add_stream(codec, rate=Fraction(rate), options=options)
        stream.width, stream.height, stream.pix_fmt = *SIZE, layout
        stream.codec_context.thread_count = 1
        sound = None if audio is None else container.add_stream(audio, rate=48000)
        if sound is not None:
            sound.layout = "mono"
        for pixels in pictures():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=layout)))
        container.mux(stream.encode(None))
        if sound is not None:
            _write_sound(container, sound, FRAMES / rate)
    return path


def _write_sound(container: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    kind = stream.codec_context.format.name
    step = stream.codec_context.frame_size or 960
    for number in range(int(seconds * 48000) // step):
        wave = 0.2 * np.sin(np.arange(number * step, (number + 1) * step) / 20)
        samples = (wave * 32767).astype(np.int16) if kind.startswith("s16") else wave.astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples[None], format=kind, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, number * step, Fraction(1, 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def count_frames(path: Path) -> int:
    """Frames that a plain decoder gets, which passes over what it cannot decode."""
    if path.read_bytes()[:4] == b"RIFF" and path.read_bytes()[8:12] == b"WEBP":  # FFmpeg reads no such animations
        with suppress(OSError, ValueError, SyntaxError), Image.open(path) as picture:
            return int(getattr(picture, "n_frames", 1))
        return 0
    count = 0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.best("video")
            stream.codec_context.thread_count = 1
            for packet in container.demux(stream):
                try:
                    count += len(packet.decode())
                except av.error.FFmpegError:
                    continue
    except (av.error.FFmpegError, ValueError, AttributeError):
        pass
    return count


Damage = Callable[[bytes, Rng], bytes]


def _span(whole: bytes, rng: Rng, most: float = 0.4) -> tuple[int, int]:
    first = int(rng.integers(0, max(1, len(whole))))
    return first, first + int(rng.integers(1, max(2, int(len(whole) * most))))


def flipped(whole: bytes, rng: Rng) -> bytes:
    """A few bytes are others."""
    data = bytearray(whole)
    for _ in range(int(2 ** rng.integers(0, 6))):
        data[int(rng.integers(0, len(data)))] ^= int(rng.integers(1, 256))
    return bytes(data)


def flipped_in_front(whole: bytes, rng: Rng) -> bytes:
    """A few bytes of the first kilobyte are others: headers."""
    return flipped(whole[:1024], rng) + whole[1024:]


def truncated(whole: bytes, rng: Rng) -> bytes:
    """The end is missing."""
    return whole[: int(rng.integers(0, len(whole)))]


def zeroed(whole: bytes, rng: Rng) -> bytes:
    """A stretch holds zeros."""
    first, last = _span(whole, rng)
    return whole[:first] + bytes(min(last, len(whole)) - first) + whole[last:]


def cut(whole: bytes, rng: Rng) -> bytes:
    """A stretch is missing."""
    first, last = _span(whole, rng)
    return whole[:first] + whole[last:]


def doubled(whole: bytes, rng: Rng) -> bytes:
    """A stretch comes twice."""
    first, last = _span(whole, rng, 0.2)
    return whole[:last] + whole[first:]


def extreme(whole: bytes, rng: Rng) -> bytes:
    """A four-byte number is the largest, the smallest or zero."""
    at = int(rng.integers(0, max(1, min(len(whole), 2048))))
    value = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x00", b"\x80\x00\x00\x00")[rng.integers(4)]
    return whole[:at] + value + whole[at + 4 :]


def foreign(whole: bytes, rng: Rng) -> bytes:
    """A stretch holds noise."""
    first, last = _span(whole, rng, 0.2)
    return whole[:first] + rng.bytes(last - first) + whole[last:]


DAMAGES: tuple[Damage, ...] = (
    flipped,
    flipped_in_front,
    truncated,
    zeroed,
    cut,
    doubled,
    extreme,
    foreign,
)


@cache
def original(name: str, folder: Path) -> bytes:
    """The bytes of a sound clip."""
    return write_clip(folder / name, name).read_bytes()


def without_packets(source: Path, target: Path, rng: Rng) -> None:
    """The same streams with some packets left out."""
    share = float(rng.uniform(0.02, 0.5))
    with av.open(str(source)) as given, av.open(str(target), "w") as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in given.streams}
        for packet in given.demux():
            if packet.dts is not None and rng.random() > share:
                packet.stream = streams[packet.stream.index]
                out.mux(packet)
