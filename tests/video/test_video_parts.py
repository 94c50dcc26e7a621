"""The small parts on their own: clocks, colour equations, places, arrays, and what happens without PyAV."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redetail.errors import InputError
from redetail.region import Size
from redetail.video import array_source
from redetail.video.base import Color
from redetail.video.color import Decoder, Encoder, applied_matrix, full_range
from redetail.video.matroska import matroska_is_cut_short
from redetail.video.target import Target
from redetail.video.timing import Clock, step_of, with_next

STAMPS = st.lists(st.none() | st.integers(-50, 50), min_size=1, max_size=20)


@settings(deadline=None, max_examples=50)
@given(STAMPS, st.integers(1, 5))
def test_a_clock_always_advances(stamps, step):
    clock = Clock(step, "a.mp4")
    out = [clock(stamp) for stamp in stamps]
    assert all(b > a for a, b in pairwise(out))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-(10**12), 10**12), min_size=1, unique=True))
def test_a_clock_leaves_sound_time_stamps_alone(stamps):
    clock = Clock(7, "a.mp4")
    assert [clock(stamp) for stamp in sorted(stamps)] == sorted(stamps)


def test_steps():
    assert step_of(Fraction(25), Fraction(1, 12800)) == 512
    assert step_of(Fraction(30000, 1001), Fraction(1, 30000)) == 1001
    assert step_of(Fraction(1000), Fraction(1, 25)) == 1
    assert list(with_next([])) == []
    assert list(with_next([1, 2, 3])) == [(1, 2), (2, 3), (3, None)]


def test_full_range_by_the_book():
    """H.273: black, white and the extremes of chroma, in 8 and in 10 bits."""
    luma = np.array([16 << 8, 235 << 8, 0, 65535], np.uint16)
    assert full_range(luma, 8, chroma=False).tolist() == [0, 255, 0, 255]
    assert full_range(luma, 10, chroma=False).tolist() == [0, 1023, 0, 1023]
    chroma = np.array([128 << 8, 240 << 8, 16 << 8], np.uint16)
    assert full_range(chroma, 8, chroma=True).tolist() == [128, 255, 1]  # 255.5 is clipped, 0.5 rounded up
    assert full_range(chroma, 10, chroma=True).tolist()[0] == 512


@pytest.mark.parametrize("code_range", [1, 2])
@pytest.mark.parametrize("matrix", [1, 5, 9])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p"])
def test_to_the_encoder_and_back_shifts_no_colour(gradients, pixel_format, matrix, code_range):
    pixels = gradients(1, 64, 96)[0]
    frame = Encoder(pixel_format, Color(matrix, 1, 1, code_range), Size(96, 64), "center")(pixels)
    assert (frame.colorspace, frame.color_range) == (matrix, code_range)
    difference = Decoder(False)(frame).astype(int) - pixels
    assert np.abs(difference).max() <= 3  # two roundings of each of three values, and shared chroma
    assert np.abs(difference.mean((0, 1))).max() < 0.1


@pytest.mark.parametrize("matrix", [1, 5, 9])
def test_ten_bits_to_the_encoder_and_back(gradients, matrix):
    pixels = gradients(1, 64, 96, np.uint16)[0]
    frame = Encoder("yuv444p10le", Color(matrix, 1, 1, 1), Size(96, 64))(pixels)
    difference = Decoder(True)(frame).astype(int) - pixels
    assert np.abs(difference).max() <= 150  # two steps of 10 bits, half a level of 8
    assert np.abs(difference.mean((0, 1))).max() < 8


def test_odd_sizes_in_full_range(gradients):
    pixels = gradients(1, 31, 45)[0]
    for pixel_format in ("yuv420p", "yuv422p", "yuv444p"):
        frame = Encoder(pixel_format, Color(1, 1, 1, 2), Size(45, 31), "center")(pixels)
        assert np.abs(Decoder(False)(frame).astype(int) - pixels).mean() < 1


def test_the_matrix_that_players_assume():
    assert applied_matrix(Color(), Size(640, 480)) == 5
    assert applied_matrix(Color(), Size(720, 576)) == 5
    assert applied_matrix(Color(), Size(1280, 720)) == 1
    assert applied_matrix(Color(), Size(608, 1080)) == 1
    assert applied_matrix(Color(matrix=9), Size(64, 64)) == 9
    assert applied_matrix(Color(matrix=8), Size(64, 64)) == 5  # YCgCo, which the scaler does not know


def test_arrays_of_every_kind():
    frames = np.random.default_rng(0).integers(0, 255, (3, 4, 6, 3), dtype=np.uint8)
    source = array_source(frames, 12.5)
    assert (source.info.size, source.info.rate, source.info.frames) == (Size(6, 4), Fraction(25, 2), 3)
    assert all((f.pixels == p).all() for f, p in zip(source.frames(), frames, strict=True))
    assert [frame.pts for frame in source.frames(1)] == [1, 2]
    for dtype in (np.float16, np.float32, np.float64):
        floating = array_source((frames / 255).astype(dtype))
        assert np.abs(next(floating.frames()).pixels.astype(int) - frames[0]).max() <= (1 if dtype == np.float16 else 0)
    assert array_source(frames.astype(np.uint16)).info.bit_depth == 16
    assert array_source(frames, 29.97).info.rate == Fraction(2997, 100)
    assert array_source(frames) is not array_source(frames)  # the function survives being called


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (np.zeros((4, 4, 3), np.uint8), "array of shape \\(frames, height, width, 3\\)"),
        (np.zeros((2, 4, 4, 4), np.uint8), "array of shape \\(frames, height, width, 3\\)"),
        (np.zeros((0, 4, 4, 3), np.uint8), "at least one frame"),
        (np.zeros((1, 4, 4, 3), np.int32), "not int32"),
        (np.full((1, 4, 4, 3), np.nan, np.float32), "not finite"),
        (np.full((1, 4, 4, 3), 200.0, np.float32), "scale them to 0..1"),
    ],
)
def test_arrays_that_are_no_frames(frames, words):
    with pytest.raises(InputError, match=words):
        list(array_source(frames).frames())


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), 5000])
def test_rates_that_are_none(rate):
    with pytest.raises(InputError, match="frame rate"):
        array_source(np.zeros((1, 4, 4, 3), np.uint8), rate)


def test_matroska_lengths(tmp_path):
    """A header of 3 bytes and a segment that says it holds 4."""
    path = tmp_path / "a.mkv"
    head = bytes.fromhex("1A45DFA3 83 000000 18538067")
    for tail, short in (
        (b"\x84abcd", False),
        (b"\x84abc", True),
        (b"\xffabc", False),
        (b"\x01" + b"\xff" * 7, False),
        (b"", False),
    ):
        path.write_bytes(head + tail)
        assert matroska_is_cut_short(path) is short, tail
    path.write_bytes(b"something else")
    assert not matroska_is_cut_short(path)


def test_a_target_is_beside_and_hidden(tmp_path):
    target = Target(tmp_path / "a.mp4")
    assert target.temporary.parent == tmp_path
    assert target.temporary.name.startswith(".")
    assert target.temporary.suffix == ".mp4"
    target.create()
    target.temporary.write_bytes(b"done")
    target.commit()
    assert (tmp_path / "a.mp4").read_bytes() == b"done"
    target.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


WITHOUT = """
import sys
sys.modules[{module!r}] = None
import redetail.video
from redetail.errors import DependencyError
try:
    redetail.video.open_source(sys.argv[1])
except DependencyError as error:
    print(error)
redetail.video.array_source(__import__("numpy").zeros((1, 2, 2, 3), "uint8"))
"""


@pytest.mark.parametrize(("module", "package"), [("av", "av"), ("PIL", "pillow")])
def test_a_missing_package_names_the_command(tmp_path, module, package):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x")
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(module=module), str(path)], capture_output=True, text=True, timeout=60
    )
    assert run.stdout.strip() == f"{package} is not installed; install it with: pip install 'redetail[standalone]'", (
        run.stderr
    )
