"""Writing files: timestamps, the other streams, colours and depth kept; nothing half-written, nothing lost."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from redetail.errors import InputError, OutputError, SettingsError, UnknownNameError
from redetail.video import EncodeOptions, Frame, array_source, open_sink, open_source
from redetail.video.target import Target

VFR = [0, 33, 70, 100, 133, 200, 201, 250, 300, 400]
MILLI = Fraction(1, 1000)
TICKS = {"video_track_timescale": "1000"}
LOSSLESS = EncodeOptions(lossless=True)


def copy(source, path: Path, start: int = 0, stop: int | None = None, options: EncodeOptions | None = None):
    """Write a source's frames as they are; the notices."""
    with open_sink(path, source, start=start, stop=stop, options=options) as sink:
        for frame in source.frames(start, stop):
            sink.write(frame)
    return sink.notices


def write(like, frames: list[Frame], path: Path) -> None:
    with open_sink(path, like) as sink:
        for frame in frames:
            sink.write(frame)


def fail(source, path: Path, error: type[BaseException]) -> None:
    """Stop with an error after four frames."""
    with open_sink(path, source) as sink:
        for frame in source.frames(0, 4):
            sink.write(frame)
        raise error


def seconds(source) -> list[Fraction]:
    return [frame.pts * source.info.time_base for frame in source.frames()]


def left_behind(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if ".part" in path.name]


@pytest.mark.parametrize("first", [0, 500])
@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv", "out.webm", "out.m4v"])
def test_time_stamps_are_kept_to_the_tick(make_clip, gradients, tmp_path, name, first):
    pts = [first + tick for tick in VFR]
    source = open_source(make_clip("vfr.mp4", gradients(10, 48, 64), pts=pts, time_base=MILLI, container_options=TICKS))
    copy(source, tmp_path / name)
    result = open_source(tmp_path / name)
    assert result.info.time_base == MILLI
    assert [frame.pts for frame in result.frames()] == pts
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("base", [Fraction(1, 90000), Fraction(1, 12288), Fraction(1001, 30000), Fraction(1, 600)])
def test_the_time_base_is_kept(make_clip, gradients, tmp_path, base):
    step = max(2, round(Fraction(1, 25) / base))
    pts = [index * step + index % 2 for index in range(8)]
    options = {"video_track_timescale": str(base.denominator)}
    path = make_clip("in.mp4", gradients(8, 32, 32), pts=pts, time_base=base, container_options=options)
    source = open_source(path)
    copy(source, tmp_path / "out.mp4")
    result = open_source(tmp_path / "out.mp4")
    assert result.info.time_base == source.info.time_base
    assert seconds(result) == [tick * base for tick in pts]
    # The mean rate is that of the packets; which of them is coded last, and so how long it stays, is up to the encoder.
    assert abs(8 / result.info.rate - 8 / source.info.rate) <= base


def test_the_last_frame_stays_as_long_as_it_did(make_clip, gradients, tmp_path):
    source = open_source(make_clip("a.mp4", gradients(5, 32, 32)))
    copy(source, tmp_path / "b.mp4")
    with av.open(str(tmp_path / "a.mp4")) as a, av.open(str(tmp_path / "b.mp4")) as b:
        assert a.duration == b.duration


@pytest.mark.parametrize(
    ("given", "wanted", "codec"),
    [
        ("a.mp4", "b.mp4", "aac"),
        ("a.mov", "b.mp4", "aac"),
        ("a.mkv", "b.mkv", "libmp3lame"),
        ("a.mkv", "b.webm", "libopus"),
        ("a.mkv", "b.mov", "pcm_s16le"),
        ("a.mp4", "b.mkv", "aac"),
    ],
)
def test_sound_is_copied_bit_by_bit(make_clip, gradients, tmp_path, packets, given, wanted, codec):
    path = make_clip(given, gradients(25, 32, 32), audio=codec)
    source = open_source(path)
    assert source.info.has_audio
    assert copy(source, tmp_path / wanted) == ()
    before, after = packets(path, "audio"), packets(tmp_path / wanted, "audio")
    if codec.startswith("pcm"):  # samples without frames: each container bundles them as it likes
        assert b"".join(data for _, data in before) == b"".join(data for _, data in after)
        return
    assert [data for _, data in before] == [data for _, data in after]
    # Matroska counts milliseconds, so half of one is lost at most; within the MP4 family the times are equal.
    exact = given[-3:] != "mkv" and wanted[-3:] != "mkv"
    np.testing.assert_allclose([t for t, _ in before], [t for t, _ in after], atol=1e-9 if exact else 0.00051)


def test_sound_that_is_longer_than_the_picture_stays_whole(make_clip, gradients, tmp_path, packets):
    path = make_clip("a.mp4", gradients(5, 32, 32), audio="aac", audio_seconds=3)
    copy(open_source(path), tmp_path / "b.mp4")
    assert packets(path, "audio") == packets(tmp_path / "b.mp4", "audio")


@pytest.mark.parametrize("name", ["b.mp4", "b.mkv"])
def test_a_cut_starts_at_zero_with_its_sound(make_clip, gradients, tmp_path, packets, name):
    path = make_clip("a.mp4", gradients(50, 32, 32), audio="aac", audio_seconds=2)
    source = open_source(path)
    copy(source, tmp_path / name, 10, 35)
    result = open_source(tmp_path / name)
    assert [float(value) for value in seconds(result)] == pytest.approx([i / 25 for i in range(25)])
    before = [(time - 0.4, data) for time, data in packets(path, "audio") if 0.4 <= time < 1.4]
    after = packets(tmp_path / name, "audio")
    assert [data for _, data in after] == [data for _, data in before]
    # MP4 writes a late start in ten-thousandths of a second here, Matroska everything in thousandths.
    tolerance = 0.00011 if name == "b.mp4" else 0.00051
    np.testing.assert_allclose([t for t, _ in after], [t for t, _ in before], atol=tolerance)
    assert after[0][0] < 0.03  # one AAC packet lasts 23 ms


def test_a_cut_deep_inside_finds_its_sound_by_seeking(make_clip, gradients, tmp_path, packets):
    path = make_clip("a.mp4", gradients(400, 16, 16), audio="aac", audio_seconds=16, options={"preset": "ultrafast"})
    copy(open_source(path), tmp_path / "b.mp4", 375)
    before = [data for time, data in packets(path, "audio") if time >= 15]
    assert [data for _, data in packets(tmp_path / "b.mp4", "audio")] == before


def test_subtitles_chapters_and_metadata_come_along(make_clip, gradients, tmp_path):
    path = make_clip("plain.mkv", gradients(50, 32, 32), audio="aac", audio_seconds=2)
    words = tmp_path / "words.srt"
    words.write_text("1\n00:00:00,500 --> 00:00:01,000\nHello\n\n2\n00:00:01,200 --> 00:00:01,900\nWorld\n")
    full = tmp_path / "full.mkv"
    with av.open(str(path)) as a, av.open(str(words)) as b, av.open(str(full), "w") as out:
        out.metadata.update({"title": "A song", "artist": "Somebody", "comment": "ünï"})
        tracks = {
            id(stream): out.add_stream_from_template(stream, opaque=True)
            for stream in (*a.streams, b.streams.subtitles[0])
        }
        tracks[id(b.streams.subtitles[0])].metadata["language"] = "deu"
        out.set_chapters(
            [
                {"id": 1, "start": 0, "end": 800, "time_base": MILLI, "metadata": {"title": "One"}},
                {"id": 2, "start": 800, "end": 2000, "time_base": MILLI, "metadata": {"title": "Two"}},
            ]
        )
        for container in (b, a):
            for packet in container.demux():
                if packet.size:
                    packet.stream = tracks[id(container.streams[packet.stream.index])]
                    out.mux(packet)
    assert copy(open_source(full), tmp_path / "out.mkv") == ()
    copy(open_source(full), tmp_path / "cut.mkv", 15, 40)
    with av.open(str(tmp_path / "out.mkv")) as out:
        assert {key.lower(): value for key, value in out.metadata.items()}["title"] == "A song"
        assert {key.lower(): value for key, value in out.metadata.items()}["comment"] == "ünï"
        assert [chapter["metadata"]["title"] for chapter in out.chapters()] == ["One", "Two"]
        text = out.streams.subtitles[0]
        assert text.language == "deu"
        cues = [
            (float(p.pts * p.time_base), float(p.duration * p.time_base), bytes(p)) for p in out.demux(text) if p.size
        ]
        assert cues == [(0.5, 0.5, b"Hello"), (1.2, 0.7, b"World")]
    with av.open(str(tmp_path / "cut.mkv")) as out:  # 0.6 s to 1.6 s
        spans = [(c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in out.chapters()]
        assert spans == [(0, Fraction(1, 5)), (Fraction(1, 5), 1)]
        cues = [
            (float(p.pts * p.time_base), float(p.duration * p.time_base), bytes(p))
            for p in out.demux(out.streams.subtitles[0])
            if p.size
        ]
        assert [text for *_, text in cues] == [b"Hello", b"World"]
        np.testing.assert_allclose([times for *times, _ in cues], [(0.0, 0.4), (0.6, 0.7)], atol=0.001)


def test_a_telephones_own_metadata_survives(make_clip, gradients, tmp_path):
    keys = {"com.apple.quicktime.location.ISO6709": "+48.1+011.5/", "com.apple.quicktime.make": "Apple"}
    path = make_clip(
        "phone.mov",
        gradients(3, 32, 32),
        container=lambda output: output.metadata.update(keys),
        container_options={"movflags": "use_metadata_tags"},
    )
    copy(open_source(path), tmp_path / "out.mov")
    with av.open(str(tmp_path / "out.mov")) as out:
        assert {key: out.metadata.get(key) for key in keys} == keys


def test_what_the_container_cannot_hold_is_named(make_clip, gradients, tmp_path):
    path = make_clip("a.mp4", gradients(10, 32, 32), audio="aac")
    notices = copy(open_source(path), tmp_path / "b.webm")
    assert any("sound stream (aac) is left out" in notice for notice in notices)
    assert not open_source(tmp_path / "b.webm").info.has_audio
    for name in ("b.gif", "b.webp", "b.apng"):
        assert any("sound" in notice for notice in copy(open_source(path), tmp_path / name)), name


def test_rotation_is_in_the_pixels_and_not_written_again(make_clip, gradients, tmp_path):
    path = make_clip("turned.mp4", gradients(3, 32, 64), prepare=lambda stream: stream.set_display_rotation(90))
    source = open_source(path)
    copy(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as out:
        frame = next(out.decode(video=0))
        assert frame.rotation == 0
        assert (frame.width, frame.height) == (32, 64)
    a, b = next(source.frames()).pixels, next(open_source(tmp_path / "out.mp4").frames()).pixels
    assert np.abs(a.astype(int) - b).mean() < 2


def test_pixel_aspect_is_kept(make_clip, gradients, tmp_path):
    def squeeze(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    copy(open_source(make_clip("a.mp4", gradients(3, 32, 64), prepare=squeeze)), tmp_path / "b.mp4")
    assert open_source(tmp_path / "b.mp4").info.pixel_aspect == Fraction(4, 3)


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.mov", "out.webm"])
@pytest.mark.parametrize(
    "color", [(1, 1, 1, 1), (5, 1, 5, 6), (6, 1, 6, 6), (9, 1, 9, 14), (1, 2, 1, 1), (5, 2, 1, 13)]
)
def test_colours_and_their_tags_come_back(make_clip, gradients, tmp_path, name, color):
    frames = gradients(3, 64, 64)
    source = open_source(make_clip("in.mkv", frames, codec="ffv1", pixel_format="yuv444p", color=color))
    assert np.abs(next(source.frames()).pixels.astype(int) - frames[0]).max() <= 3  # two roundings to 8 bits
    copy(source, tmp_path / name)
    result = open_source(tmp_path / name)
    tags = result.info.color
    assert (tags.matrix, tags.range, tags.primaries, tags.transfer) == color
    assert result.info.chroma == "444"
    for a, b in zip(source.frames(), result.frames(), strict=True):
        difference = a.pixels.astype(int) - b.pixels
        # No shift of any channel: the encoder's quantiser moves a flat area by a chroma step at most, 1.8 levels of
        # blue, and gentle gradients on average by less than half of that.
        assert np.abs(difference.mean((0, 1))).max() < 0.9
        assert np.abs(difference).mean() < 2  # coding noise


@pytest.mark.parametrize("size", [(64, 64), (31, 45), (2, 2), (1, 1)])
def test_lossless_matroska_gives_back_every_value(tmp_path, size):
    for dtype in (np.uint8, np.uint16):
        high = np.iinfo(dtype).max
        frames = np.random.default_rng(3).integers(0, high, (4, *size, 3), dtype=dtype, endpoint=True)
        path = tmp_path / f"{np.dtype(dtype).name}.mkv"
        copy(array_source(frames, 25), path, options=LOSSLESS)
        assert all((a.pixels == b).all() for a, b in zip(open_source(path).frames(), frames, strict=True))


def test_lossless_mp4_rounds_colours_once(tmp_path, gradients):
    source = array_source(gradients(4, 64, 64), 25)
    copy(source, tmp_path / "a.mp4", options=LOSSLESS)
    for a, b in zip(source.frames(), open_source(tmp_path / "a.mp4").frames(), strict=True):
        assert np.abs(a.pixels.astype(int) - b.pixels).max() <= 2


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv"])
def test_ten_bits_stay_ten(make_clip, gradients, tmp_path, name):
    frames = gradients(4, 64, 256, np.uint16)
    path = make_clip("deep.mkv", frames, codec="ffv1", pixel_format="yuv444p10le", color=(9, 1, 9, 16))
    source = open_source(path)
    copy(source, tmp_path / name, options=EncodeOptions(codec="h265", lossless=True))
    result = open_source(tmp_path / name)
    assert result.info.bit_depth == 10
    assert result.info.color == source.info.color
    a, b = next(source.frames()).pixels, next(result.frames()).pixels
    assert b.dtype == np.uint16
    # A step of 10-bit limited range is 65535 / 876 = 75, one of 8-bit range 299.
    assert np.abs(a.astype(int) - b).max() <= 75
    with av.open(str(tmp_path / name)) as out:
        assert out.streams.video[0].codec_context.name == "hevc"
        if name != "out.mkv":
            assert out.streams.video[0].codec_context.codec_tag == "hvc1"


def test_small_deep_video_takes_another_codec(tmp_path, gradients):
    """libx265 cannot do pictures below 64 pixels; they stay 10 bit all the same."""
    copy(array_source(gradients(3, 32, 48, np.uint16), 25), tmp_path / "small.mp4")
    assert open_source(tmp_path / "small.mp4").info.bit_depth == 10
    with pytest.raises(SettingsError, match="at least 64x64"):
        open_sink(tmp_path / "b.mp4", array_source(gradients(1, 32, 48)), options=EncodeOptions(codec="h265"))


@pytest.mark.parametrize("name", ["o.mp4", "o.m4v", "o.mov", "o.mkv", "o.webm", "o.gif", "o.webp", "o.apng"])
@pytest.mark.parametrize("size", [(48, 64), (31, 45), (1, 1), (2, 1)])
def test_every_container_takes_every_size(tmp_path, gradients, name, size):
    source = array_source(gradients(5, *size), 20)
    copy(source, tmp_path / name)
    result = open_source(tmp_path / name)
    assert result.info.size == source.info.size
    frames = list(result.frames())
    assert len(frames) == 5
    assert [float(value) for value in seconds(result)] == pytest.approx([i / 20 for i in range(5)], abs=1e-4)
    if min(size) > 2:  # smaller ones share one chroma value among all pixels
        error = np.abs(frames[2].pixels.astype(int) - list(source.frames())[2].pixels).mean()
        assert error < 4  # the 256 colours of a GIF are the coarsest


def test_equal_input_gives_an_equal_file(tmp_path, gradients):
    noise = np.random.default_rng(0).integers(-20, 20, (12, 48, 64, 3))
    source = array_source((gradients(12, 48, 64) + noise).clip(0, 255).astype(np.uint8), 24)
    files = set()
    for index in range(3):
        copy(source, tmp_path / f"{index}.mp4")
        files.add((tmp_path / f"{index}.mp4").read_bytes())
    assert len(files) == 1


@pytest.mark.parametrize("codec", ["h264", "h265", "vp9", "av1"])
def test_codecs_can_be_chosen(tmp_path, gradients, codec):
    copy(array_source(gradients(3, 64, 64)), tmp_path / "a.mkv", options=EncodeOptions(codec=codec, quality=30))
    names = {"h264": "h264", "h265": "hevc", "vp9": "vp9", "av1": ("av1", "libdav1d")}
    with av.open(str(tmp_path / "a.mkv")) as out:
        assert out.streams.video[0].codec_context.name in names[codec]


def test_quality_and_codec_are_checked(tmp_path, gradients):
    source = array_source(gradients(1, 32, 32))
    with pytest.raises(UnknownNameError, match="choose one of: h264"):
        EncodeOptions(codec="divx")
    with pytest.raises(SettingsError, match="between 0"):
        EncodeOptions(quality=99)
    with pytest.raises(SettingsError, match=r"\.webm cannot hold h264; choose one of: vp9, av1"):
        open_sink(tmp_path / "a.webm", source, options=EncodeOptions(codec="h264"))
    with pytest.raises(OutputError, match=r"choose one of: \.mp4"):
        open_sink(tmp_path / "a.doc", source)


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.gif", "outfolder"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, MemoryError])
def test_a_failure_leaves_nothing_behind(tmp_path, gradients, name, error):
    source = array_source(gradients(6, 32, 32))
    with pytest.raises(error):
        fail(source, tmp_path / name, error)
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_survives_a_failure_and_yields_to_success(tmp_path, gradients):
    path = tmp_path / "out.mp4"
    path.write_bytes(b"precious")
    source = array_source(gradients(6, 32, 32))
    with pytest.raises(ZeroDivisionError):
        fail(source, path, ZeroDivisionError)
    assert path.read_bytes() == b"precious"
    copy(source, path)
    assert len(list(open_source(path).frames())) == 6


def test_the_wanted_name_appears_only_when_complete(tmp_path, gradients):
    path = tmp_path / "out.mp4"
    source = array_source(gradients(6, 32, 32))
    with open_sink(path, source) as sink:
        assert not path.exists()
        for frame in source.frames():
            sink.write(frame)
            assert not path.exists()
        hidden = left_behind(tmp_path)
        assert len(hidden) == 1
        assert hidden[0].startswith(".")
    assert [item.name for item in tmp_path.iterdir()] == ["out.mp4"]


def test_the_input_is_never_the_output(make_clip, gradients, tmp_path):
    path = make_clip("a.mp4", gradients(2, 32, 32))
    link, hard = tmp_path / "link.mp4", tmp_path / "hard.mp4"
    link.symlink_to(path)
    os.link(path, hard)
    for name in (path, link, hard, tmp_path / "." / "a.mp4"):
        with pytest.raises(OutputError, match="is the input itself"):
            open_sink(name, open_source(path))
        with pytest.raises(OutputError, match="is the input itself"):
            open_sink(path, open_source(name))


def test_places_where_nothing_can_be_written(tmp_path, gradients):
    source = array_source(gradients(2, 32, 32))
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    cases = {
        tmp_path / "none" / "a.mp4": "does not exist; create it first",
        tmp_path / "folder.mp4": "is a folder; give a file name",
        tmp_path / "file" / "a.mp4": "is a file",
        tmp_path / "file": "is a file, not a folder",
    }
    for path, words in cases.items():
        with pytest.raises(OutputError, match=words) as error:
            open_sink(path, source)
        assert "\n" not in str(error.value)
    with pytest.raises(OutputError, match="name of the output is empty"):
        open_sink("", source)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_write_protected_folder(tmp_path, gradients):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(OutputError, match=r"Permission to write in the folder .* is denied"):
        open_sink(folder / "a.mp4", array_source(gradients(2, 32, 32)))


def test_too_little_disk_is_said_before_any_work(tmp_path, gradients, monkeypatch):
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 10**6, 10**6))
    with pytest.raises(OutputError, match=r"needs about \d+ MiB, but its disk has only 1 MiB free; free some space"):
        open_sink(tmp_path / "a.mp4", array_source(gradients(2, 32, 32)))
    assert list(tmp_path.iterdir()) == []


def test_a_gap_in_time_is_not_taken_for_terabytes(make_clip, gradients, tmp_path):
    """The number of frames is guessed from a length of weeks; the file has ten."""
    pts = [*range(0, 200, 40), *range(2_000_000_000, 2_000_000_200, 40)]
    source = open_source(make_clip("gap.mkv", gradients(10, 32, 32), pts=pts, time_base=MILLI))
    assert source.info.frames > 10**6
    copy(source, tmp_path / "out.mkv", options=LOSSLESS)
    assert [frame.pts for frame in open_source(tmp_path / "out.mkv").frames()] == pts


FULL_DISK = """
import resource, signal, sys
import numpy as np
from redetail.errors import OutputError
from redetail.video import array_source, open_sink, EncodeOptions
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
source = array_source(np.random.default_rng(0).integers(0, 255, (30, 128, 128, 3), dtype=np.uint8))
try:
    with open_sink(sys.argv[1], source, options=EncodeOptions(quality=0, preset="ultrafast")) as sink:
        for frame in source.frames():
            sink.write(frame)
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.apng"])
def test_a_disk_that_fills_up(tmp_path, name):
    """A limit on the size of files stands in for the full disk: the system refuses the same write."""
    path = tmp_path / name
    run = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, timeout=60)
    assert run.stdout.startswith(f"{path} could not be written because the disk is full"), run.stderr
    assert run.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_at_the_very_end(tmp_path, gradients, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="disk is full"):
        copy(array_source(gradients(2, 32, 32)), tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


NOISY = """
import sys
from redetail.errors import RedetailError
from redetail.video import open_source, open_sink, EncodeOptions
source = open_source(sys.argv[1])
for suffix, codec in (("mp4", "h264"), ("mp4", "h265"), ("webm", "vp9"), ("webm", "av1"), ("gif", None)):
    with open_sink(f"{sys.argv[1]}.{codec}.{suffix}", source, options=EncodeOptions(codec=codec)) as sink:
        for frame in source.frames():
            sink.write(frame)
try:
    open_source(sys.argv[2])
except RedetailError:
    pass
"""


def test_ffmpeg_is_quiet(make_clip, gradients, tmp_path):
    path = make_clip("a.mp4", gradients(3, 64, 64), audio="aac")
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(path.read_bytes()[:-400])
    run = subprocess.run([sys.executable, "-c", NOISY, path, bad], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_frames_of_another_size_or_kind(tmp_path, gradients):
    source = array_source(gradients(2, 32, 32))
    for pixels in (np.zeros((32, 33, 3), np.uint8), np.zeros((32, 32, 4), np.uint8), np.zeros((32, 32, 3), np.float32)):
        given = [next(source.frames()), Frame(1, 1, pixels)]
        with pytest.raises(InputError, match="Frame 1 is"):
            write(source, given, tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_no_frame_at_all(tmp_path, gradients):
    with (
        pytest.raises(OutputError, match="No frame was written"),
        open_sink(tmp_path / "a.mp4", array_source(gradients(1, 8, 8))),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_deep_frames_into_a_shallow_output_and_back(tmp_path, gradients):
    """An engine may hand back 8 bits for a source of 16, or the other way round."""
    shallow, deep = array_source(gradients(3, 64, 64)), array_source(gradients(3, 64, 64, np.uint16))
    for like, given in ((shallow, deep), (deep, shallow)):
        with open_sink(tmp_path / "a.mp4", like) as sink:
            for frame in given.frames():
                sink.write(frame)
        result = next(open_source(tmp_path / "a.mp4").frames()).pixels.astype(float)
        result *= 255 / (65535 if like is deep else 255)
        assert np.abs(result - next(shallow.frames()).pixels).mean() < 2


def test_frames_without_time_stamps_follow_the_rate(tmp_path, gradients):
    source = array_source(gradients(5, 32, 32), Fraction(30000, 1001))
    with open_sink(tmp_path / "a.mp4", source) as sink:
        for frame in source.frames():
            sink.write(Frame(frame.index, None, frame.pixels))
    result = open_source(tmp_path / "a.mp4")
    assert seconds(result) == [index * Fraction(1001, 30000) for index in range(5)]


def test_a_broadcast_recordings_clock_starts_at_zero(make_clip, gradients, tmp_path):
    path = make_clip("a.ts", gradients(10, 32, 32), audio="aac")
    assert next(open_source(path).frames()).pts > 0
    copy(open_source(path), tmp_path / "b.mp4")
    first = min(seconds(open_source(tmp_path / "b.mp4")))
    assert 0 <= first < 0.1


def test_a_hidden_name_is_short_enough(tmp_path):
    assert len(Target(tmp_path / ("n" * 240 + ".mp4")).temporary.name) < 255
