"""Round trips of media as people have them: tags, timestamps, streams and samples outside the pasted window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from redetail.video import EncodeOptions, open_sink, open_source
from redetail.video.encoding import choose

ADTS = 7  # bytes before each packet of AAC in a transport stream
MILLI = Fraction(1, 1000)
TICKS = {"video_track_timescale": "1000"}
VFR = [0, 33, 70, 100, 133, 200, 201, 250, 300, 400]
MASTERING = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"


@dataclass
class Medium:
    """A clip of ten frames, the name of what is written, and what may be lost on the way."""

    name: str
    output: str
    make: dict[str, Any] = field(default_factory=dict)
    size: tuple[int, int] = (64, 96)
    deep: bool = False
    alpha: bool = False
    lossless: bool = True
    said: tuple[str, ...] = ()
    cut: tuple[int, int | None] = (0, None)
    full: bool = False


def turned(stream: Any) -> None:
    stream.set_display_rotation(90)


def squeezed(stream: Any) -> None:
    stream.codec_context.sample_aspect_ratio = Fraction(4, 3)


def tagged(container: Any) -> None:
    container.metadata.update({"title": "A song", "comment": "ünï"})


VARIABLE: dict[str, Any] = {"pts": VFR, "time_base": MILLI, "container_options": TICKS}
DEEP = {"codec": "libx265", "pixel_format": "yuv420p10le"}
LATE = [pts + 500 for pts in VFR]
X265 = {"x265-params": "log-level=none"}
HDR10 = {"x265-params": f"log-level=none:hdr10=1:master-display={MASTERING}:max-cll=1000,400"}
MEDIA = {
    "phone, turned, variable rate": Medium(
        "in.mp4", "out.mp4", {**VARIABLE, "prepare": turned, "audio": "aac"}
    ),
    "variable rate with sound, matroska": Medium("in.mkv", "out.mkv", {**VARIABLE, "audio": "libmp3lame"}),
    "hevc, 10 bit, HDR10": Medium(
        "in.mp4", "out.mp4", {**DEEP, "color": (9, 1, 9, 16), "options": HDR10},
        deep=True,
    ),
    "hevc, 10 bit, HLG": Medium(
        "in.mov", "out.mov", {**DEEP, "color": (9, 1, 9, 18), "options": X265},
        deep=True,
    ),
    "vp9 with alpha": Medium("in.webm", "out.webm", {"codec": "libvpx-vp9", "pixel_format": "yuva420p"}, alpha=True),
    "vp9 and opus": Medium("in.webm", "out.webm", {"codec": "libvpx-vp9", "audio": "libopus"}),
    "av1": Medium("in.mp4", "out.mp4", {"codec": "libsvtav1"}),
    "animated avif": Medium("in.avif", "out.mp4", {"codec": "libsvtav1"}),
    "gif": Medium("in.gif", "out.gif", {"codec": "gif", "pixel_format": "rgb8", "time_base": Fraction(1, 100)},
                  lossless=False, said=("256 colours",)),
    "prores": Medium("in.mov", "out.mov", {"codec": "prores_ks", "pixel_format": "yuv422p10le", "color": (1, 1, 1, 1)},
                     deep=True),
    "anamorphic": Medium("in.mp4", "out.mp4", {"prepare": squeezed, "color": (5, 1, 5, 6)}),
    "odd size": Medium("in.mkv", "out.mkv", {"codec": "ffv1", "pixel_format": "yuv420p"}, size=(31, 45)),
    "4:4:4": Medium("in.mp4", "out.mp4", {"pixel_format": "yuv444p"}),
    "4:2:2": Medium("in.mov", "out.mkv", {"pixel_format": "yuv422p", "color": (1, 1, 1, 1)}),
    "full range": Medium("in.mp4", "out.mp4", {"color": (1, 2, 1, 1)}),
    "untagged": Medium("in.mp4", "out.mp4"),
    "edit list": Medium("in.mp4", "out.mp4", {"options": {"bf": "3"}, "audio": "aac"}),
    "late start": Medium("in.mp4", "out.mp4", {**VARIABLE, "pts": LATE, "audio": "aac"}),
    "transport stream": Medium("in.ts", "out.mp4", {"audio": "aac"}),
    "avi": Medium("in.avi", "out.mkv", {"codec": "mpeg4", "audio": "libmp3lame"}),
    "motion jpeg": Medium("in.mov", "out.mov", {"codec": "mjpeg", "pixel_format": "yuvj420p", "audio": "pcm_s16le"}),
    "titles": Medium("in.mkv", "out.mkv", {"container": tagged, "audio": "libopus"}),
    "two sounds, subtitles, chapters": Medium("in.mkv", "out.mkv", {"audio": "libopus"}, full=True),
    "webp": Medium("in.webp", "out.webp", {"codec": "libwebp_anim", "time_base": MILLI, "pts": range(0, 400, 40)},
                   lossless=False),
    "rgb": Medium("in.mkv", "out.mp4", {"codec": "ffv1", "pixel_format": "bgr0"}),
    "a cut": Medium("in.mp4", "out.mp4", {"audio": "aac"}, cut=(3, 8)),
}  # fmt: skip


@pytest.fixture
def medium(make_clip: Callable[..., Path], gradients: Callable[..., np.ndarray], request) -> tuple[Medium, Path]:
    medium = MEDIA[request.param]
    frames = gradients(10, *medium.size, np.uint16 if medium.deep else np.uint8)
    if medium.alpha:
        frames = np.concatenate([frames, np.full((*frames.shape[:3], 1), 128, np.uint8)], -1)
    path = make_clip(medium.name, frames, audio_seconds=0.5, **medium.make)
    return medium, with_more(path) if medium.full else path


def with_more(path: Path) -> Path:
    """The same clip with its sound twice, subtitles, chapters and a title."""
    words, full = path.with_name("words.srt"), path.with_name(f"full{path.suffix}")
    words.write_text("1\n00:00:00,100 --> 00:00:00,300\nHello\n")
    with (
        av.open(str(path)) as first,
        av.open(str(path)) as second,
        av.open(str(words)) as text,
        av.open(str(full), "w") as out,
    ):
        out.metadata.update({"title": "A song", "comment": "ünï"})
        given = [*((first, stream) for stream in first.streams), (second, second.streams.audio[0]),
                 (text, text.streams.subtitles[0])]  # fmt: skip
        tracks = {(id(c), s.index): out.add_stream_from_template(s, opaque=True) for c, s in given}
        for track, language in zip(list(tracks.values())[1:], ("eng", "deu", "fra"), strict=True):
            track.metadata["language"] = language
        spans = ((1, 0, 200, {"title": "One"}), (2, 200, 400, {"title": "Two"}))
        out.set_chapters([{"id": number, "start": start, "end": end, "time_base": MILLI, "metadata": titles}
                          for number, start, end, titles in spans])  # fmt: skip
        for container in (text, first, second):
            for packet in container.demux():
                if packet.size and (id(container), packet.stream.index) in tracks:
                    packet.stream = tracks[id(container), packet.stream.index]
                    out.mux(packet)
    return full


def paste(pixels: np.ndarray) -> np.ndarray:
    """Something new in a window on even pixels."""
    changed = pixels.copy()
    changed[8:16, 8:20] = np.iinfo(pixels.dtype).max - changed[8:16, 8:20]
    return changed


def seconds(source) -> list[Fraction]:
    return [frame.pts * source.info.time_base for frame in source.frames()]


@pytest.mark.parametrize("medium", MEDIA, indirect=True)
def test_all_but_the_window_comes_back(medium: tuple[Medium, Path], tmp_path: Path) -> None:
    kind, path = medium
    source = open_source(path, strict=True)
    first, last = kind.cut
    given = list(source.frames(first, last))
    options = EncodeOptions(lossless=kind.lossless)
    with open_sink(tmp_path / kind.output, source, start=first, stop=last, options=options) as sink:
        for frame in given:
            sink.write(replace(frame, pixels=paste(frame.pixels)))
    result = open_source(tmp_path / kind.output, strict=True)
    written = list(result.frames())
    assert len(given) == len(written) == (10 if last is None else last - first)
    _check_times(kind, source, given, result)
    _check_tags(source.info, result.info)
    assert all(any(words in notice for notice in sink.notices) for words in kind.said)
    untouched = np.ones(source.info.size.shape, bool)
    untouched[4:20, 4:24] = False  # the window, and where chroma is interpolated from it
    for before, after in zip(given, written, strict=True):
        a, b = before.pixels[untouched].astype(int), after.pixels[untouched].astype(int)
        if kind.lossless and (source.info.siting or source.info.chroma in ("444", "rgb")):
            # A turned picture is scaled along the other side: that rounds by a level.
            assert np.abs(a - b).max() <= (1 if "prepare" in kind.make and kind.make["prepare"] is turned else 0)
        else:
            assert np.abs(a - b).mean() < 4 * (257 if kind.deep else 1)
    if first == 0:
        header = ADTS if kind.name.endswith(".ts") else 0
        assert result.info.has_audio == ("audio" in kind.make)
        assert _beside(path, header) == _beside(tmp_path / kind.output)


def _check_times(kind: Medium, source, given, result) -> None:
    """Timestamps are kept; a cut and a broadcast's clock start at zero."""
    base = source.info.time_base
    times = [frame.pts * base for frame in given]
    if kind.cut[0] or kind.name.endswith(".ts"):
        times = [time - times[0] for time in times]
    found = seconds(result)
    shift = found[0] - times[0] if kind.name.endswith(".ts") else 0
    assert 0 <= shift < 0.1
    assert [float(time - shift) for time in found] == pytest.approx([float(time) for time in times], abs=0.00051)


def _check_tags(before, after) -> None:
    assert after.size == before.size
    assert after.pixel_aspect == before.pixel_aspect
    assert after.hdr == before.hdr
    if before.chroma != "rgb" and after.chroma != "rgb":
        assert after.bit_depth == before.bit_depth
        assert replace(after.color, range=after.color.range or 1) == replace(
            before.color, range=before.color.range or 1
        )


def _beside(path: Path, header: int = 0) -> dict[str, Any]:
    """What a file holds beside its picture: coded packets of other streams with their languages, without so many bytes
    that a stream puts before each packet; chapters; titles."""
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type != "video"]
        coded: dict[int, bytes] = {stream.index: b"" for stream in streams}
        for packet in container.demux(*streams) if streams else ():
            coded[packet.stream.index] += bytes(packet)[header:]
        titles = {key.lower(): value for key, value in container.metadata.items()}
        return {
            "streams": [(stream.type, stream.language or "und", coded[stream.index]) for stream in streams],
            "chapters": [
                (chapter["start"] * chapter["time_base"], chapter["metadata"]) for chapter in container.chapters()
            ],
            "titles": [titles.get(name) for name in ("title", "comment")],
        }


def test_there_are_twenty_kinds() -> None:
    assert len(MEDIA) >= 20


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", None), (".mkv", "h265"), (".mp4", "av1"), (".mkv", "vp9")])
@pytest.mark.parametrize("medium", ["hevc, 10 bit, HDR10"], indirect=True)
def test_hdr10_metadata_is_kept_or_named(medium, tmp_path: Path, suffix: str, codec: str | None) -> None:
    source = open_source(medium[1])
    assert source.info.hdr is not None
    assert source.info.hdr.levels == (1000, 400)
    assert source.info.hdr.display[-2:] == (Fraction(50, 10000), 1000)
    with open_sink(tmp_path / f"out{suffix}", source, options=EncodeOptions(codec=codec)) as sink:
        for frame in source.frames():
            sink.write(frame)
    result = open_source(tmp_path / f"out{suffix}").info.hdr
    if codec == "vp9":
        assert result is None
        assert any("HDR10 metadata is left out" in notice for notice in sink.notices)
        return
    assert result is not None
    assert result.levels == source.info.hdr.levels
    assert [float(value) for value in result.display] == pytest.approx(
        [float(value) for value in source.info.hdr.display], abs=2e-4
    )


def test_an_animated_avif_is_read_to_its_end(make_clip, gradients) -> None:
    source = open_source(make_clip("a.avif", gradients(12, 64, 64), codec="libsvtav1"))
    assert sum(1 for _ in source.frames()) == 12
    assert source.info.notices == ()


@pytest.mark.parametrize(("bits", "factor"), [(0.0, "13"), (2.0, "13"), (0.45, "13"), (0.3, "17"), (0.05, "18")])
def test_the_quality_follows_the_source(make_clip, gradients, bits: float, factor: str) -> None:
    info = replace(open_source(make_clip("a.mp4", gradients(2, 32, 32))).info, bits_per_pixel=bits)
    assert choose(Path("out.mp4"), info, EncodeOptions()).options["crf"] == factor
    assert choose(Path("out.mp4"), info, EncodeOptions(quality=9)).options["crf"] == "9"
