"""Lossless: equal decoded samples and tags wherever nothing was pasted, or a refusal that names what can."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from redetail.errors import SettingsError
from redetail.video import Color, EncodeOptions, array_source, open_sink, open_source
from redetail.video.native import samples, stored_format
from redetail.video.orientation import Orientation

HLG, PQ = (9, 1, 9, 18), (9, 1, 9, 16)


def noisy(gradients, frames: int = 4, height: int = 64, width: int = 96, dtype: type = np.uint8) -> np.ndarray:
    """Gradients with noise, which no transform keeps by luck."""
    high = np.iinfo(dtype).max
    noise = np.random.default_rng(5).integers(-high // 12, high // 12, (frames, height, width, 3))
    return (gradients(frames, height, width, dtype).astype(np.int64) + noise).clip(0, high).astype(dtype)


def planes(path: Path) -> list[list[np.ndarray]]:
    """The samples of every frame as they are stored, alpha left out."""
    with av.open(str(path)) as container:
        return [
            [
                samples(plane, frame.format.components[0].bits > 8).copy()
                for plane in frame.planes[: 1 if frame.format.name.startswith("gray") else 3]
            ]
            for frame in container.decode(video=0)
        ]


def rewrite(source, path: Path, change=None, **options) -> None:
    with open_sink(path, source, options=EncodeOptions(**options)) as sink:
        for frame in source.frames():
            sink.write(frame if change is None else replace(frame, pixels=change(frame.pixels)))


def limited(color: Color) -> Color:
    return replace(color, range=color.range or 1)


KINDS = {
    "h264 420": ("libx264", "yuv420p", (1, 1, 1, 1)),
    "h264 422": ("libx264", "yuv422p", (5, 1, 5, 6)),
    "untagged": ("libx264", "yuv420p", None),
    "full range": ("mjpeg", "yuvj420p", (5, 2, 1, 13)),
    "hlg": ("libx265", "yuv420p10le", HLG),
    "pq 422": ("libx265", "yuv422p10le", PQ),
    "prores": ("prores_ks", "yuv422p10le", (1, 1, 1, 1)),
    "444": ("ffv1", "yuv444p", (1, 1, 1, 1)),
    "grey": ("ffv1", "gray", None),
    "alpha": ("ffv1", "yuva420p", None),
    "rgb": ("ffv1", "bgr0", None),
    "deep rgb": ("ffv1", "gbrp10le", None),
}


REFUSED = {
    ("hlg", "o.webm"),
    ("pq 422", "o.webm"),
    ("prores", "o.webm"),
    ("grey", "o.webm"),
    ("deep rgb", "o.webm"),
    ("deep rgb", "o.mp4"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "codec"), [("o.mp4", "h264"), ("o.mov", "h265"), ("o.webm", None), ("o.mkv", None)])
def test_samples_and_tags_come_back_or_it_is_refused(make_clip, gradients, tmp_path, kind, name, codec):
    encoder, pixel_format, color = KINDS[kind]
    deep = "10" in pixel_format
    frames = noisy(gradients, dtype=np.uint16 if deep else np.uint8)
    if pixel_format == "yuva420p":
        frames = np.concatenate([frames, np.full((*frames.shape[:3], 1), 200, np.uint8)], -1)
    path = make_clip("in.mkv", frames, codec=encoder, pixel_format=pixel_format, color=color)
    source = open_source(path)
    if (kind, name) in REFUSED:
        with pytest.raises(SettingsError, match=r"without loss; choose .*\.mkv with"):
            rewrite(source, tmp_path / name, codec=codec, lossless=True)
        return
    rewrite(source, tmp_path / name, codec=codec, lossless=True)
    result = open_source(tmp_path / name)
    if source.info.chroma != "rgb":
        # Decoders of H.265 and VP9 say "limited" where the stream says nothing, which is what it means.
        assert limited(result.info.color) == limited(source.info.color)
        for a, b in zip(planes(path), planes(tmp_path / name), strict=True):
            # Of grey H.264 a decoder makes 4:2:0 with empty chroma.
            assert all((x == y).all() for x, y in zip(a, b, strict=kind != "grey"))
    if source.info.chroma in ("444", "rgb") or source.info.siting:
        for a, b in zip(source.frames(), result.frames(), strict=True):
            assert (a.pixels == b.pixels).all()


@pytest.mark.parametrize("name", ["o.mp4", "o.m4v", "o.mov", "o.webm", "o.mkv", "o.apng", "o.webp"])
@pytest.mark.parametrize("size", [(48, 64), (31, 45)])
def test_rgb_comes_back_in_every_container(tmp_path, gradients, name, size):
    source = array_source(noisy(gradients, 3, *size), 25)
    rewrite(source, tmp_path / name, lossless=True)
    for a, b in zip(source.frames(), open_source(tmp_path / name).frames(), strict=True):
        assert (a.pixels == b.pixels).all()


@pytest.mark.parametrize(
    ("name", "codec"), [("o.mp4", "av1"), ("o.mov", "prores"), ("o.mkv", "prores"), ("o.gif", None)]
)
def test_codecs_without_a_lossless_mode_are_refused(tmp_path, gradients, name, codec):
    with pytest.raises(SettingsError, match=r"without loss; choose .*\.mkv with"):
        open_sink(
            tmp_path / name,
            array_source(gradients(1, 64, 64)),
            options=EncodeOptions(codec=codec, lossless=True),
        )


def test_deep_rgb_is_refused_where_no_codec_has_16_bits(tmp_path, gradients):
    with pytest.raises(
        SettingsError,
        match=r"\.mp4 cannot keep 16-bit RGB frames \(64x64 pixels\) without loss; choose \.mkv with ffv1",
    ):
        open_sink(
            tmp_path / "a.mp4", array_source(gradients(1, 64, 64, np.uint16)), options=EncodeOptions(lossless=True)
        )


@pytest.mark.parametrize("lossless", [True, False])
def test_only_what_was_pasted_is_converted(make_clip, gradients, tmp_path, lossless):
    path = make_clip("in.mp4", noisy(gradients), options={"crf": "20"})

    def paste(pixels):
        changed = pixels.copy()
        changed[21:40, 30:61] = 255 - changed[21:40, 30:61]
        return changed

    rewrite(open_source(path), tmp_path / "out.mkv", paste, **({"lossless": True} if lossless else {"codec": "ffv1"}))
    luma, chroma = np.zeros((64, 96), bool), np.zeros((32, 48), bool)
    luma[21:40, 30:61] = True
    chroma[10:20, 15:31] = True
    for a, b in zip(planes(path), planes(tmp_path / "out.mkv"), strict=True):
        for before, after, pasted in zip(a, b, (luma, chroma, chroma), strict=True):
            assert (before == after)[~pasted].all()
        assert np.abs(a[0].astype(int) - b[0])[luma].mean() > 10
    for frame, result in zip(open_source(path).frames(), open_source(tmp_path / "out.mkv").frames(), strict=True):
        error = np.abs(paste(frame.pixels).astype(int) - result.pixels)[24:36, 34:56]
        assert error.mean() < 4  # noise loses its chroma, nothing else


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_turned_clips_are_lossless_too(make_clip, gradients, tmp_path, degrees):
    path = make_clip("turned.mp4", noisy(gradients), prepare=lambda stream: stream.set_display_rotation(degrees))
    source = open_source(path)
    rewrite(source, tmp_path / "out.mp4", lossless=True)
    turned = [[np.rot90(plane, degrees // 90) for plane in frame] for frame in planes(path)]
    for a, b in zip(turned, planes(tmp_path / "out.mp4"), strict=True):
        assert all((x == y).all() for x, y in zip(a, b, strict=True))


def test_odd_sizes_are_lossless_where_a_codec_has_them(make_clip, gradients, tmp_path):
    frames = noisy(gradients, 3, 31, 45)
    path = make_clip("in.mkv", frames, codec="ffv1", pixel_format="yuv420p")
    with pytest.raises(
        SettingsError, match=r"8-bit yuv420p frames \(45x31 pixels\) without loss; choose \.mp4 with vp9"
    ):
        open_sink(tmp_path / "a.mp4", open_source(path), options=EncodeOptions(codec="h264", lossless=True))
    for name in ("a.webm", "a.mkv", "a.mp4"):
        rewrite(open_source(path), tmp_path / name, lossless=True)
        for a, b in zip(planes(path), planes(tmp_path / name), strict=True):
            assert all((x == y).all() for x, y in zip(a, b, strict=True))


def test_formats_that_hold_the_same_samples():
    upright, turned = Orientation(), Orientation(1)
    same = {"yuvj420p": "yuv420p", "yuva422p10le": "yuv422p10le", "gbrap": "gbrp", "gray": "gray", "rgb24": None}
    assert {name: stored_format(name, upright) for name in same} == same
    assert stored_format("nv12", upright) is None
    assert stored_format("yuv422p", turned) is None
    assert stored_format("yuv420p", turned) == "yuv420p"


def test_a_rate_is_kept_in_a_lossless_file(tmp_path, gradients):
    rewrite(array_source(gradients(5, 64, 64), Fraction(30000, 1001)), tmp_path / "a.mp4", lossless=True)
    assert open_source(tmp_path / "a.mp4").info.rate == Fraction(30000, 1001)
