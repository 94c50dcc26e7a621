"""Damaged and hostile files: what is missing is told, what is too large is refused, no other file is opened."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from redetail.errors import InputError
from redetail.video import open_source
from redetail.video.matroska import matroska_is_broken

NOISE = np.random.default_rng(1).integers(0, 255, (60, 64, 64, 3), dtype=np.uint8)
FAST = {"libx264": {"preset": "ultrafast"}, "libvpx-vp9": {"cpu-used": "8", "deadline": "realtime"}}
PACKET = 188


def zeroed(whole: bytes, begin: float, end: float) -> bytes:
    first, last = int(len(whole) * begin), int(len(whole) * end)
    return whole[:first] + bytes(last - first) + whole[last:]


def without_packets(whole: bytes, count: int) -> bytes:
    first = len(whole) // PACKET // 2 * PACKET
    return whole[:first] + whole[first + count * PACKET :]


@pytest.fixture
def damaged(make_clip) -> Callable[..., Path]:
    """A clip of 60 frames with sound, of which some bytes are lost."""

    def make(name: str, damage: Callable[[bytes], bytes]) -> Path:
        codec = "libvpx-vp9" if name.endswith("webm") else "libx264"
        audio = "libopus" if name.endswith("webm") else "aac"
        path = make_clip(name, NOISE, codec=codec, options=FAST[codec], audio=audio, audio_seconds=2.4)
        path.write_bytes(damage(path.read_bytes()))
        return path

    return make


def plainly_decoded(path: Path) -> int:
    """Frames that a plain decoder gets, which passes over what it cannot decode."""
    count = 0
    with av.open(str(path)) as container:
        try:
            for packet in container.demux(container.streams.video[0]):
                try:
                    count += len(packet.decode())
                except av.error.FFmpegError:
                    continue
        except av.error.FFmpegError:
            pass
    return count


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.ts", "a.avi", "a.mp4"])
@pytest.mark.parametrize("part", [(0.5, 1), (0.4, 0.55)])
def test_frames_that_are_lost_are_told(damaged, name, part):
    path = damaged(name, lambda whole: zeroed(whole, *part))
    if name == "a.mp4" and part[1] == 1:  # its index was there
        with pytest.raises(InputError, match="cut short"):
            open_source(path)
        return
    source = open_source(path)
    count = sum(1 for _ in source.frames())
    assert count >= plainly_decoded(path)
    assert count < len(NOISE)
    assert source.faults
    assert all(path.name in fault and fault.endswith(".") and ";" in fault for fault in source.faults[:1])
    with pytest.raises(InputError, match=r"use an intact copy, or turn off the strict option"):
        list(open_source(path, strict=True).frames())


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.ts", "a.avi", "a.mp4", "a.mov", "a.flv"])
def test_a_sound_file_has_no_faults(damaged, name):
    source = open_source(damaged(name, bytes), strict=True)
    assert sum(1 for _ in source.frames()) == len(NOISE)
    assert sum(1 for _ in source.frames(10, 20)) == 10
    assert source.faults == ()


def test_a_lost_transport_packet_does_not_refuse_the_clip(damaged):
    source = open_source(damaged("a.ts", lambda whole: without_packets(whole, 3)))
    assert sum(1 for _ in source.frames()) >= len(NOISE) - 1
    assert "data is missing in 1 frame" in source.faults[-1]


def test_pictures_that_end_before_their_sound_are_told(damaged, make_clip):
    path = make_clip("a.ts", NOISE[:30], options=FAST["libx264"], audio="aac", audio_seconds=6)
    source = open_source(path)
    assert sum(1 for _ in source.frames()) == 30
    assert "its sound continues for another" in source.faults[0]


def test_a_hole_in_a_matroska_file_is_found_in_its_structure(damaged):
    path = damaged("a.mkv", bytes)
    whole = path.read_bytes()
    assert not matroska_is_broken(path)
    for damage in (zeroed(whole, 0.3, 0.32), zeroed(whole, 0.6, 1), whole[: len(whole) // 2]):
        path.write_bytes(damage)
        assert matroska_is_broken(path)


def test_a_file_that_is_replaced_during_a_run_is_refused(damaged, make_clip, tmp_path):
    path = damaged("a.mkv", bytes)
    source = open_source(path)
    assert sum(1 for _ in source.frames()) == 60
    make_clip("b.mkv", NOISE[::-1], options=FAST["libx264"]).replace(path)
    with pytest.raises(
        InputError, match=r"a\.mkv was changed or replaced while it was being read; run the command again"
    ):
        next(source.frames())


@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-9])])
def test_a_file_that_changes_while_it_is_read_is_refused(damaged, change):
    path = damaged("a.mkv", bytes)
    source = open_source(path)
    frames = source.frames(0, 10)
    next(frames)
    change(path)
    with pytest.raises(InputError, match="changed or replaced"):
        list(frames)


def test_an_image_that_is_replaced_during_a_run_is_refused(tmp_path, gradients):
    from redetail.video.folder_sink import png

    for index, pixels in enumerate(gradients(3, 8, 8)):
        (tmp_path / f"{index}.png").write_bytes(png(pixels))
    source = open_source(tmp_path)
    assert sum(1 for _ in source.frames()) == 3
    (tmp_path / "1.png").write_bytes(png(gradients(1, 8, 8)[0]) + b"\0")
    with pytest.raises(InputError, match=r"1\.png was changed or replaced"):
        list(source.frames())


PLAYLISTS = {
    "ffconcat version 1.0\nfile secret.mp4\n": "playlist",
    "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:3,\nsecret.ts\n#EXT-X-ENDLIST\n": "cannot be read|playlist",
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT3S">'
    '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>secret.mp4</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>": "cannot be read|playlist",
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n":
        "cannot be read|playlist",
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".mpd", ".ffconcat", ".sdp"])
def test_a_playlist_opens_no_other_file(tmp_path, make_clip, gradients, suffix):
    make_clip("secret.mp4", gradients(2, 16, 16))
    make_clip("secret.ts", gradients(2, 16, 16))
    for text, words in PLAYLISTS.items():
        path = tmp_path / f"harmless{suffix}"
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            open_source(path)


def test_a_number_in_the_name_of_a_picture_is_not_a_pattern(tmp_path, gradients):
    from redetail.video.folder_sink import png

    black, white = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)
    (tmp_path / "001.png").write_bytes(png(white))
    (tmp_path / "%03d.png").write_bytes(png(black))
    (frame,) = open_source(tmp_path / "%03d.png").frames()
    assert (frame.pixels == 0).all()


def png_of(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def gif_of(width: int, height: int) -> bytes:
    """A GIF of one pixel on a canvas of that size."""
    screen = struct.pack("<HH", width, height) + b"\xf0\x00\x00" + bytes(6)
    return b"GIF89a" + screen + b"\x2c" + struct.pack("<HHHH", 0, 0, 1, 1) + b"\x00\x02\x02\x44\x01\x00\x3b"


def webp_of(width: int, height: int) -> bytes:
    """The header of an animation, and a frame without data."""
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    frame = b"ANMF" + struct.pack("<I", 16) + bytes(16)
    chunks = (
        b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + canvas + b"ANIM" + struct.pack("<I", 6) + bytes(6) + frame
    )
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


BOMBS = {
    "bomb.png": png_of(30000, 30000),
    "wide.png": png_of(60000, 10),
    "bomb.gif": gif_of(20000, 20000),
    "bomb.webp": webp_of(16000, 16000),
    "huge.webp": webp_of(1 << 24, 1 << 24),
    "huge.gif": gif_of(65535, 65535),
}

MEASURED = """
import resource, sys, time
from redetail.errors import InputError
from redetail.video import open_source
def used(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
try:
    open_source(sys.argv[1])
except InputError:
    pass
before = used()
for path in sys.argv[2:]:
    begin = time.perf_counter()
    try:
        open_source(path)
    except InputError as error:
        print(f"{time.perf_counter() - begin:.2f} {used() - before} {error}")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="measures memory as POSIX has it")
def test_pictures_of_hostile_sizes_are_refused_before_they_take_memory(tmp_path):
    for name, content in BOMBS.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "tiny.png").write_bytes(png_of(2, 2))
    paths = [tmp_path / "tiny.png", *(tmp_path / name for name in BOMBS)]
    run = subprocess.run([sys.executable, "-c", MEASURED, *paths], capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()
    assert len(lines) == len(BOMBS), run.stdout
    for line in lines:
        seconds, megabytes, sentence = line.split(" ", 2)
        assert float(seconds) < 1
        assert int(megabytes) < 75
        assert "million pixels" in sentence
        assert sentence.endswith(".")


def test_a_pipe_with_the_name_of_a_picture_is_refused_at_once(tmp_path):
    path = tmp_path / "pipe.png"
    os.mkfifo(path)
    with pytest.raises(InputError, match="not a file on disk"):
        open_source(path)
    (tmp_path / "a.png").write_bytes(png_of(2, 2))
    with pytest.raises(InputError, match=r"not a file on disk|damaged"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"x264-params": "keyint=12:open-gop=1:bframes=3"}),
        ("libx265", {"x265-params": "keyint=12:open-gop=1:bframes=3:log-level=none"}),
        ("mpeg2video", {"g": "12", "bf": "2"}),
    ],
)
def test_a_recording_that_begins_in_the_middle_of_a_group_is_sound(make_clip, codec, options):
    """Frames whose references came before the cut are not shown; nothing of that is a fault."""
    path = make_clip("cut.ts", NOISE, codec=codec, options=options, audio="aac", audio_seconds=2.4)
    whole = path.read_bytes()
    path.write_bytes(whole[: 3 * PACKET] + whole[len(whole) // PACKET // 3 * PACKET :])
    source = open_source(path, strict=True)
    assert 30 < sum(1 for _ in source.frames()) < 45
    assert source.faults == ()


def test_a_webp_animation_whose_first_frame_is_damaged(tmp_path):
    from PIL import Image

    path = tmp_path / "a.webp"
    stills = [Image.fromarray(pixels) for pixels in NOISE[:3]]
    stills[0].save(path, save_all=True, append_images=stills[1:], lossless=True)
    whole = bytearray(path.read_bytes())
    at = whole.index(b"ANMF") + 8 + 16 + 8 + 12  # past the headers of the chunk, the frame and its bitstream
    whole[at : at + 64] = bytes(64)
    path.write_bytes(whole)
    with pytest.raises(InputError, match="not even its first frame can be decoded"):
        open_source(path)
