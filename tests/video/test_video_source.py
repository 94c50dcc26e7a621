"""Reading files: timestamps, orientation, colours, depth, and what is said about files that cannot be read."""

from __future__ import annotations

import os
import stat
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from redetail.errors import InputError
from redetail.region import Size
from redetail.video import open_source

VFR = [0, 33, 70, 100, 133, 200, 201, 250, 300, 400]
MILLI = Fraction(1, 1000)
TICKS = {"video_track_timescale": "1000"}


def test_variable_frame_rate_is_read_to_the_tick(make_clip, gradients):
    path = make_clip("vfr.mp4", gradients(10, 48, 64), pts=VFR, time_base=MILLI, container_options=TICKS)
    source = open_source(path)
    assert source.info.time_base == MILLI
    assert [frame.pts for frame in source.frames()] == VFR
    assert [frame.index for frame in source.frames()] == list(range(10))
    assert source.info.frames == 10


def test_reading_again_gives_the_same_frames(make_clip, gradients):
    source = open_source(make_clip("a.mp4", gradients(9, 48, 64)))
    first, second = list(source.frames()), list(source.frames())
    assert all((a.pixels == b.pixels).all() and a.pts == b.pts for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(("start", "stop"), [(0, 3), (2, 7), (8, None), (5, 5), (20, None), (0, 99)])
def test_a_range_is_a_slice_of_the_whole(make_clip, gradients, start, stop):
    source = open_source(make_clip("a.mp4", gradients(9, 32, 32)))
    whole = list(source.frames())
    part = list(source.frames(start, stop))
    assert [frame.index for frame in part] == list(range(9))[start:stop]
    assert all((frame.pixels == whole[frame.index].pixels).all() for frame in part)
    assert [frame.pts for frame in part] == [frame.pts for frame in whole[start:stop]]
    assert list(source.indices(start, stop)) == [frame.index for frame in part]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_and_mirroring_are_undone(make_clip, degrees, mirrored):
    """What a player shows: the stored picture turned counter-clockwise, then mirrored (libavutil/display.h)."""
    stored = np.zeros((1, 32, 64, 3), np.uint8)
    stored[:, :16, :32] = (250, 30, 30)  # top left
    stored[:, :16, 32:] = (30, 250, 30)  # top right
    stored[:, 16:, :32] = (30, 30, 250)  # bottom left

    def turn(stream):
        stream.set_display_rotation(degrees, hflip=mirrored)

    source = open_source(make_clip("turned.mp4", stored, prepare=turn, options={"crf": "1"}))
    seen = next(source.frames()).pixels
    wanted = np.rot90(stored[0], degrees // 90)
    wanted = wanted[:, ::-1] if mirrored else wanted
    assert source.info.size == Size(wanted.shape[1], wanted.shape[0])
    assert seen.flags.c_contiguous
    quarters = [(8, 8), (8, -8), (-8, 8), (-8, -8)]
    for y, x in quarters:
        # 12 levels: pure colours suffer from 4:2:0 coding even at crf 1; the colours differ by 220.
        np.testing.assert_allclose(seen[y, x].astype(int), wanted[y, x], atol=12)


@pytest.mark.parametrize("deg", [12.0, 45.0])
def test_odd_angles_are_left_alone_with_a_notice(make_clip, gradients, deg):
    source = open_source(
        make_clip("skew.mp4", gradients(2, 32, 64), prepare=lambda stream: stream.set_display_rotation(deg))
    )
    assert any("quarter turns" in notice for notice in source.info.notices)


# What BT.601, BT.709 and BT.2020 make of RGB (200, 60, 40), by the matrices of the recommendations.
MATRICES = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}


def yuv(rgb: tuple[int, int, int], matrix: int, full: bool) -> tuple[int, int, int]:
    """H.273, equations for 8 bits."""
    kr, kb = MATRICES[matrix]
    r, g, b = (value / 255 for value in rgb)
    y = kr * r + (1 - kr - kb) * g + kb * b
    u, v = (b - y) / (2 * (1 - kb)), (r - y) / (2 * (1 - kr))
    if full:
        return round(255 * y), round(255 * u + 128), round(255 * v + 128)
    return round(219 * y + 16), round(224 * u + 128), round(224 * v + 128)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 5, 9])
def test_matrix_and_range_are_honoured(tmp_path: Path, matrix, full):
    rgb = (200, 60, 40)
    path = tmp_path / "tagged.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv444p"
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_range = 2 if full else 1
        planes = np.broadcast_to(np.array(yuv(rgb, matrix, full), np.uint8)[:, None, None], (3, 32, 32))
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(planes), "yuv444p")
        output.mux([*stream.encode(frame), *stream.encode(None)])
    source = open_source(path)
    assert source.info.color.matrix == matrix
    assert source.info.color.range == (2 if full else 1)
    pixel = next(source.frames()).pixels[16, 16].astype(int)
    np.testing.assert_allclose(pixel, rgb, atol=2)  # three roundings to 8 bits on the way


@pytest.mark.parametrize(("width", "matrix"), [(64, 5), (1280, 1)])
def test_an_unnamed_matrix_is_guessed_as_players_do(make_clip, width, matrix):
    rgb = (200, 60, 40)
    frames = np.full((1, 32, width, 3), rgb, np.uint8)
    path = make_clip("untagged.mp4", frames, color=(matrix, 1, 2, 2), options={"crf": "1"}, codec="libx264")
    bare = path.with_name("bare.mkv")
    with av.open(str(path)) as given, av.open(str(bare), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, 32, "yuv420p"
        for frame in given.decode(video=0):
            frame.colorspace, frame.color_range = 2, 0
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    source = open_source(bare)
    assert source.info.color.matrix == 2
    np.testing.assert_allclose(next(source.frames()).pixels[8, 8].astype(int), rgb, atol=3)  # crf 1, 4:2:0


def test_ten_bits_come_as_sixteen(make_clip, gradients):
    frames = gradients(2, 48, 256, np.uint16)
    path = make_clip("deep.mkv", frames, codec="ffv1", pixel_format="yuv444p10le", color=(1, 1, 1, 1))
    source = open_source(path)
    assert source.info.bit_depth == 10
    pixels = next(source.frames()).pixels
    assert pixels.dtype == np.uint16
    # A 10-bit step of limited-range luma is 65535 / 876 = 75; a step and a half in each of three values.
    assert np.abs(pixels.astype(int) - frames[0]).max() < 113
    assert len(np.unique(pixels[24, :, 0])) > 130  # 8 bits would leave at most 154 * 219 / 256 = 132 of 256 levels


@pytest.mark.parametrize(("height", "width"), [(31, 45), (1, 1), (2, 3), (33, 64)])
def test_odd_sizes_are_whole(make_clip, gradients, height, width):
    path = make_clip("odd.mkv", gradients(2, height, width), codec="ffv1", pixel_format="yuv420p")
    source = open_source(path)
    assert source.info.size == Size(width, height)
    assert next(source.frames()).pixels.shape == (height, width, 3)


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [("a.mov", "qtrle", "argb"), ("a.webm", "libvpx-vp9", "yuva420p"), ("a.mkv", "ffv1", "yuva444p")],
)
def test_transparency_is_dropped_with_a_notice(make_clip, gradients, name, codec, pixel_format):
    frames = np.concatenate([gradients(3, 32, 48), np.full((3, 32, 48, 1), 128, np.uint8)], -1)
    source = open_source(make_clip(name, frames, codec=codec, pixel_format=pixel_format))
    assert [notice for notice in source.info.notices if "transparency" in notice]
    pixels = next(source.frames()).pixels
    assert pixels.shape == (32, 48, 3)
    assert np.abs(pixels.astype(int) - frames[0, ..., :3]).mean() < 4  # the colours are not multiplied by alpha


def test_an_opaque_clip_needs_no_notice(make_clip, gradients):
    assert open_source(make_clip("a.mp4", gradients(2, 32, 32))).info.notices == ()


def test_grey_video_is_rgb_with_equal_channels(make_clip, gradients):
    frames = gradients(2, 32, 48)
    source = open_source(make_clip("grey.mkv", frames, codec="ffv1", pixel_format="gray"))
    pixels = next(source.frames()).pixels
    assert (np.ptp(pixels, axis=-1) == 0).all()
    assert pixels.std() > 10


def test_interlaced_video_is_announced(make_clip, gradients):
    path = make_clip("fields.mp4", gradients(4, 64, 64), options={"x264-params": "tff=1"})
    assert any("interlaced" in notice for notice in open_source(path).info.notices)


def test_pixel_aspect_is_that_of_the_upright_picture(make_clip, gradients):
    def squeeze(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        stream.set_display_rotation(90)

    path = make_clip("wide.mp4", gradients(2, 32, 64), prepare=squeeze)
    assert open_source(path).info.pixel_aspect == Fraction(3, 4)


def test_missing_time_stamps_are_filled_in(make_clip, gradients, tmp_path, caplog):
    """A bare H.264 stream has no clock at all."""
    bare = make_clip("bare.h264", gradients(8, 32, 32))
    frames = list(open_source(bare).frames())
    pts = [frame.pts for frame in frames]
    assert len(pts) == 8
    assert all(a < b for a, b in pairwise(pts))


def test_names_that_look_like_something_else(make_clip, gradients, tmp_path):
    """A colon is not a protocol and a percent sign no pattern."""
    plain = make_clip("a.mp4", gradients(2, 32, 32))
    for name in ("http:clip.mp4", "frame%03d.mp4", "ünïcode 日本.mp4", "-i.mp4"):
        odd = plain.rename(tmp_path / name)
        assert len(list(open_source(odd).frames())) == 2
        plain = odd


def test_the_picture_is_not_the_cover(make_clip, gradients):
    def mark(stream):
        stream.disposition = av.stream.Disposition.attached_pic

    path = make_clip("cover.mp4", gradients(1, 32, 32), codec="png", pixel_format="rgb24", prepare=mark, audio="aac")
    with pytest.raises(InputError, match=r"contains no video \(it has sound and a cover picture\); give a file"):
        open_source(path)


def one_sentence(error: pytest.ExceptionInfo[InputError], path: Path) -> str:
    """The message, which names the file and is a single sentence with a way out."""
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    assert "Errno" not in message
    assert message.endswith(".")
    assert ";" in message
    return message


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"just some words\n" * 50, "cannot be read as a video"),
        ("text.txt", b"just some words\n" * 50, "is text"),
        ("garbage.mp4", np.random.default_rng(7).bytes(4000), "cannot be read as a video"),
        ("page.mkv", b"<html><body>404 not found</body></html>", "cannot be read as a video"),
    ],
)
def test_files_that_are_no_video(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        open_source(path)
    assert words in one_sentence(error, path)


def test_nothing_there(tmp_path):
    path = tmp_path / "nothing.mp4"
    with pytest.raises(InputError) as error:
        open_source(path)
    assert "There is no file" in one_sentence(error, path)
    with pytest.raises(InputError, match="name of the input is empty"):
        open_source("")


def test_sound_without_picture(tmp_path, make_clip, gradients):
    path = tmp_path / "sound.m4a"
    with av.open(str(path), "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 44100), np.float32), "fltp", "stereo")
        frame.sample_rate = 44100
        output.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(InputError) as error:
        open_source(path)
    assert "contains no video (it has sound)" in one_sentence(error, path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_no_permission(make_clip, gradients):
    path = make_clip("locked.mp4", gradients(2, 32, 32))
    path.chmod(0)
    with pytest.raises(InputError, match=r"Permission to read .* is denied"):
        open_source(path)
    path.chmod(stat.S_IRUSR)


def test_a_pipe_cannot_be_read_twice(tmp_path):
    path = tmp_path / "pipe.mp4"
    os.mkfifo(path)
    with pytest.raises(InputError) as error:
        open_source(path)
    assert "not a file on disk" in one_sentence(error, path)


NOISE = np.random.default_rng(1).integers(0, 255, (40, 64, 64, 3), dtype=np.uint8)


def test_an_index_that_is_missing(make_clip):
    """An interrupted recording: the frames are there, the index that MP4 writes last is not."""
    path = make_clip("cut.mp4", NOISE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError) as error:
        open_source(path)
    assert "cut short" in one_sentence(error, path)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cut.mp4", {"movflags": "+faststart"}),
        ("cut.mov", {"movflags": "+faststart"}),
        ("cut.mkv", {}),
        ("cut.webm", {}),
    ],
)
def test_a_download_cut_short_is_noticed_at_its_end(make_clip, name, options):
    codec = "libvpx-vp9" if name.endswith("webm") else "libx264"
    speed = {"cpu-used": "8", "deadline": "realtime"} if codec == "libvpx-vp9" else {"preset": "ultrafast"}
    path = make_clip(name, NOISE, codec=codec, options=speed, container_options=options)
    whole = len(list(open_source(path).frames()))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    source = open_source(path)
    seen = []
    with pytest.raises(InputError) as error:
        seen.extend(frame.index for frame in source.frames())
    with pytest.raises(InputError):
        list(source.frames())  # and again, the same
    message = one_sentence(error, path)
    assert "cut short" in message
    assert "use an intact copy, or stop before frame" in message
    advised = int(message.split("stop before frame ")[1].split()[0])
    assert 0 < advised < whole == 40
    assert len(list(source.frames(0, advised))) == advised  # the way out works


def test_frames_that_change_their_size(tmp_path, gradients):
    path = tmp_path / "two.h264"
    with path.open("wb") as file:
        for size in (32, 48):
            context = av.CodecContext.create("libx264", "w")
            context.width = context.height = size
            context.pix_fmt, context.time_base = "yuv420p", Fraction(1, 25)
            for index, pixels in enumerate(gradients(4, size, size)):
                frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p")
                frame.pts = index
                for packet in context.encode(frame):
                    file.write(bytes(packet))
            for packet in context.encode(None):
                file.write(bytes(packet))
    with pytest.raises(InputError) as error:
        list(open_source(path).frames())
    assert "changes from 32x32 to 48x48 at frame 4" in one_sentence(error, path)
