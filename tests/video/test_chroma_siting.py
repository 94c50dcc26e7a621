"""Colours stay where they are: shared chroma samples must not move from one generation to the next."""

from __future__ import annotations

import numpy as np
import pytest

from redetail.video import EncodeOptions, array_source, open_sink, open_source


def shift(before: np.ndarray, after: np.ndarray) -> float:
    """Horizontal displacement in pixels of the colour difference R - B, by least squares on its gradient."""
    a, b = ((frame[..., 0].astype(float) - frame[..., 2])[8:-8, 8:-8] for frame in (before, after))
    slope = np.gradient(a, axis=1)
    return float(-(slope * (b - a)).sum() / (slope**2).sum())


def hills(height: int = 96, width: int = 128) -> np.ndarray:
    """Soft red and blue stripes on constant luma, wide enough for 4:2:0 to hold them."""
    wave = np.sin(np.arange(width) * 2 * np.pi / 32)
    frame = np.full((height, width, 3), 128.0)
    frame[..., 0] += 70 * wave
    frame[..., 2] -= 70 * wave
    return np.repeat(frame[None], 3, 0).round().astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "h264"), ("a.mp4", "h265"), ("a.webm", "vp9"), ("a.webm", "av1"), ("a.mov", "prores"), ("a.webp", None)],
)
def test_colours_stay_in_place(tmp_path, name, codec):
    source = array_source(hills())
    with open_sink(tmp_path / name, source, options=EncodeOptions(codec=codec, quality=5)) as sink:
        for frame in source.frames():
            sink.write(frame)
    pixels = next(open_source(tmp_path / name).frames()).pixels
    moved = shift(hills()[0], pixels / 257 if pixels.dtype == np.uint16 else pixels)
    # Wrong siting moves colours by half a pixel.
    assert abs(moved) < 0.1


def test_five_generations_stay_in_place(tmp_path):
    source = array_source(hills())
    for generation in range(5):
        path = tmp_path / f"{generation}.mp4"
        with open_sink(path, source, options=EncodeOptions(quality=2)) as sink:
            for frame in source.frames():
                sink.write(frame)
        source = open_source(path)
    assert abs(shift(hills()[0], next(source.frames()).pixels)) < 0.2
