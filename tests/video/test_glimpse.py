"""Frames that are converted only on request."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from redetail.detection import CutDetector
from redetail.imaging.thumbnail import SIDE, thumbnail
from redetail.video import Frame, array_source, open_source
from redetail.video.color import Decoder
from redetail.video.glimpse import Glimpse
from tests.clips import CLIPS, clip_frames

FORMATS = [
    "yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p12le", "nv12", "yuva420p", "gray", "gray10le",
    "rgb24", "rgba", "rgb48le", "gbrp", "gbrp10le", "gbrap", "bgr0",
]  # fmt: skip


def picture(width: int, height: int, pixel_format: str, color_range: int = 0) -> av.VideoFrame:
    """A smooth picture with colours, as decoders return it."""
    y, x = np.mgrid[:height, :width] / [[[height]], [[width]]]
    pixels = np.stack([255 * x, 255 * y, 127 * (1 + np.sin(7 * x + 5 * y))], axis=-1).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=pixel_format)
    frame.color_range = color_range
    return frame


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize("size", [(350, 350), (161, 87), (64, 64), (63, 500), (5, 3), (1280, 720)])
def test_thumbnails_of_decoded_frames_are_those_of_their_pixels(size: tuple[int, int], pixel_format: str) -> None:
    decoder = Decoder(deep="1" in pixel_format.removeprefix("yuvj420p")[-4:])
    expected = thumbnail(decoder(picture(*size, pixel_format)))
    small = decoder.thumbnail(picture(*size, pixel_format))
    assert (small.shape, small.dtype) == ((SIDE, SIDE, 3), np.uint8)
    difference = np.abs(small.astype(int) - expected)
    assert difference.mean() < 0.6, "a frame and its thumbnail are read with the same matrix and range"
    assert np.percentile(difference, 99) <= 3


@pytest.mark.parametrize("color_range", [1, 2])
def test_thumbnails_have_the_range_of_the_frame(color_range: int) -> None:
    decoder = Decoder(deep=False)
    expected = thumbnail(decoder(picture(320, 200, "yuv420p", color_range)))
    small = decoder.thumbnail(picture(320, 200, "yuv420p", color_range))
    assert abs(float(small.mean()) - float(expected.mean())) < 0.2


@pytest.mark.parametrize("name", ["busker.mp4", "guitarist.mp4", "two_people.mp4"])
def test_a_file_gives_the_same_pixels_on_request(name: str) -> None:
    source = open_source(CLIPS / name)
    glimpses = list(source.glimpses(3, 9))
    assert [one.index for one in glimpses] == list(range(3, 9))
    for one, frame in zip(reversed(glimpses), reversed(list(source.frames(3, 9))), strict=True):
        np.testing.assert_array_equal(one.pixels, frame.pixels)
        assert one.pixels is one.pixels, "they are converted once"
        assert np.abs(one.thumbnail.astype(int) - thumbnail(frame.pixels)).mean() < 0.6


def test_a_turned_file_has_upright_thumbnails(make_clip, gradients) -> None:
    path = make_clip("turned.mp4", gradients(3, 96, 160), prepare=lambda stream: stream.set_display_rotation(90))
    for one, frame in zip(open_source(path).glimpses(), open_source(path).frames(), strict=True):
        assert frame.pixels.shape == (160, 96, 3)
        assert np.abs(one.thumbnail.astype(int) - thumbnail(frame.pixels)).mean() < 1


def test_thumbnails_of_a_palette(tmp_path: Path) -> None:
    path = tmp_path / "palette.gif"
    pictures = [Image.fromarray(frame).quantize(200) for frame in clip_frames("busker")[:3]]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)
    for one, frame in zip(open_source(path).glimpses(), open_source(path).frames(), strict=True):
        np.testing.assert_array_equal(one.pixels, frame.pixels)
        assert np.abs(one.thumbnail.astype(int) - thumbnail(frame.pixels)).mean() < 1


def test_cuts_are_found_in_thumbnails_of_files(tmp_path: Path) -> None:
    """Three joined clips: the same cuts from the file and from its pixels."""
    frames = [frame for name in ("guitarist", "two_people", "busker") for frame in clip_frames(name)[:12]]
    path = tmp_path / "joined.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", 24, width=350, height=350, pix_fmt="yuv420p")
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")))
        container.mux(stream.encode())
    seen, full = CutDetector(), CutDetector()
    source = open_source(path)
    assert [one.index for one in source.glimpses() if seen.update_thumbnail(one.thumbnail)] == [12, 24]
    assert [one.index for one in source.frames() if full.update(one.pixels)] == [12, 24]


def test_sources_that_have_pixels_give_them() -> None:
    frames = np.stack(clip_frames("guitarist")[:3])
    for index, one in enumerate(array_source(frames, Fraction(24)).glimpses(0, None)):
        np.testing.assert_array_equal(one.pixels, frames[index])
        np.testing.assert_array_equal(one.thumbnail, thumbnail(frames[index]))


def test_a_glimpse_of_a_frame() -> None:
    frame = Frame(7, 70, np.zeros((20, 30, 3), np.uint8))
    one = Glimpse.of(frame)
    assert one.index == 7
    assert one.pixels is frame.pixels
