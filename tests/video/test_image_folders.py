"""Folders of images, single images and WebP animations, in and out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from redetail.errors import InputError, OutputError
from redetail.files import natural_key
from redetail.region import Size
from redetail.video import EncodeOptions, open_sink, open_source
from redetail.video.folder_sink import png


def copy(source, path, **kwargs):
    with open_sink(path, source, **kwargs) as sink:
        for frame in source.frames():
            sink.write(frame)
    return sink.notices


@pytest.fixture
def folder(tmp_path, gradients) -> Path:
    path = tmp_path / "in"
    path.mkdir()
    for index, pixels in enumerate(gradients(12, 24, 32)):
        Image.fromarray(pixels).save(path / f"frame{index}.png")
    (path / "notes.txt").write_text("no image")
    (path / ".hidden.png").write_bytes(b"no image either")
    return path


def test_names_are_counted_not_spelled():
    names = ["f10.png", "f9.png", "F2.png", "f1b.png", "f1.png", "10.png", "9.png", "a.png", "f²3.png"]
    ordered = [path.name for path in sorted(map(Path, names), key=natural_key)]
    assert ordered == ["9.png", "10.png", "a.png", "f1.png", "f1b.png", "F2.png", "f9.png", "f10.png", "f²3.png"]


def test_a_folder_is_read_in_natural_order(folder, gradients):
    source = open_source(folder, rate=12)
    frames = list(source.frames())
    assert source.info.rate == 12
    assert source.info.frames == len(frames) == 12
    assert source.info.size == Size(32, 24)
    assert all((frame.pixels == pixels).all() for frame, pixels in zip(frames, gradients(12, 24, 32), strict=True))
    assert [frame.index for frame in source.frames(3, 5)] == [3, 4]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_folder_of_png_comes_back_exactly(tmp_path, gradients, dtype):
    folder = tmp_path / "in"
    folder.mkdir()
    frames = gradients(3, 17, 31, dtype)
    for index, pixels in enumerate(frames):
        (folder / f"shot_{index}.png").write_bytes(png(pixels))
    source = open_source(folder)
    assert source.info.bit_depth == 8 * frames.itemsize
    copy(source, tmp_path / "out")
    result = open_source(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["shot_0.png", "shot_1.png", "shot_2.png"]
    for frame, pixels in zip(result.frames(), frames, strict=True):
        assert frame.pixels.dtype == dtype
        assert (frame.pixels == pixels).all()


def test_our_png_is_read_by_others(tmp_path, gradients):
    pixels = gradients(1, 9, 11)[0]
    path = tmp_path / "a.png"
    path.write_bytes(png(pixels))
    assert (np.asarray(Image.open(path)) == pixels).all()


def test_a_folder_becomes_a_video_and_a_video_a_folder(folder, tmp_path, make_clip, gradients):
    copy(open_source(folder, rate=10), tmp_path / "a.mp4")
    video = open_source(tmp_path / "a.mp4")
    assert [float(frame.pts * video.info.time_base) for frame in video.frames()] == pytest.approx(
        [i / 10 for i in range(12)]
    )
    notices = copy(open_source(make_clip("b.mp4", gradients(5, 32, 32), audio="aac")), tmp_path / "pictures")
    assert any("cannot hold sound" in notice for notice in notices)
    names = [path.name for path in sorted((tmp_path / "pictures").iterdir())]
    assert names == [f"{index:06d}.png" for index in range(1, 6)]


def test_turned_photographs_are_upright(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    Image.fromarray(pixels).save(folder / "a.jpg", exif=exif, quality=95)
    source = open_source(folder)
    seen = next(source.frames()).pixels
    assert seen.shape == (48, 32, 3)
    assert seen[:, -8:].mean() > 250  # the bright top is now on the right
    assert seen[:, :8].mean() < 5


def test_one_image_in_one_image_out(folder, tmp_path):
    source = open_source(folder / "frame3.png")
    assert source.info.frames == 1
    copy(source, tmp_path / "one.png")
    assert (np.asarray(Image.open(tmp_path / "one.png")) == np.asarray(Image.open(folder / "frame3.png"))).all()
    with pytest.raises(OutputError, match="can hold only one picture, but 12 frames would be written"):
        open_sink(tmp_path / "many.png", open_source(folder))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "I;16"])
def test_every_kind_of_png_is_rgb(tmp_path, mode):
    grey = np.linspace(0, 255, 32 * 24).reshape(24, 32)
    image = (
        Image.fromarray((grey * 257).astype(np.uint16))
        if mode == "I;16"
        else Image.fromarray(grey.astype(np.uint8)).convert(mode)
    )
    image.save(tmp_path / "a.png")
    source = open_source(tmp_path / "a.png")
    pixels = next(source.frames()).pixels
    assert pixels.shape == (24, 32, 3)
    assert pixels.dtype == (np.uint16 if mode == "I;16" else np.uint8)
    wanted = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")) if mode != "I;16" else grey[..., None] * 257
    assert np.abs(pixels.astype(float) - wanted).max() <= (2 * 257 if mode == "I;16" else 1)


def test_a_transparent_image_says_so(tmp_path):
    Image.new("RGBA", (8, 8), (9, 9, 9, 100)).save(tmp_path / "a.png")
    Image.new("RGBA", (8, 8), (9, 9, 9, 255)).save(tmp_path / "b.png")
    assert any("transparency" in notice for notice in open_source(tmp_path / "a.png").info.notices)
    assert open_source(tmp_path / "b.png").info.notices == ()


def test_folders_that_cannot_be_used(folder, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="has no images"):
        open_source(empty)
    Image.new("RGB", (33, 24)).save(folder / "frame12.png")
    with pytest.raises(InputError, match=r"frame12\.png is 33x24 pixels, but the first image in the folder is 32x24"):
        list(open_source(folder).frames())
    (folder / "frame12.png").write_bytes((folder / "frame1.png").read_bytes()[:60])
    with pytest.raises(InputError, match=r"frame12\.png is damaged"):
        list(open_source(folder).frames())
    with pytest.raises(InputError, match="frame rate is 0"):
        open_source(folder, rate=0)


def test_nobody_elses_folder_is_written_to(folder, tmp_path):
    source = open_source(folder)
    with pytest.raises(OutputError, match="is the input itself"):
        open_sink(folder, source)
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.png").write_bytes(b"x")
    with pytest.raises(OutputError, match="is not empty"):
        open_sink(other, source)
    vacant = tmp_path / "vacant"
    vacant.mkdir()
    copy(source, vacant)
    assert len(list(vacant.iterdir())) == 12


DURATIONS = [40, 80, 40, 1000, 50]


def animation(path: Path, frames: np.ndarray, **options) -> Path:
    images = [Image.fromarray(pixels) for pixels in frames]
    images[0].save(path, save_all=True, append_images=images[1:], duration=DURATIONS, lossless=True, **options)
    return path


def test_a_webp_animation_keeps_its_times(tmp_path, gradients):
    frames = gradients(5, 20, 30)
    source = open_source(animation(tmp_path / "a.webp", frames))
    read = list(source.frames())
    assert source.info.frames == 5
    assert [frame.pts for frame in read] == [0, 40, 120, 160, 1160]
    assert [frame.duration for frame in read] == DURATIONS
    assert all((frame.pixels == pixels).all() for frame, pixels in zip(read, frames, strict=True))
    assert [frame.pts for frame in source.frames(2, 4)] == [120, 160]
    assert all((a.pixels == b.pixels).all() for a, b in zip(source.frames(2), read[2:], strict=True))


def test_a_webp_animation_is_written_frame_by_frame(tmp_path, gradients):
    frames = gradients(5, 20, 31)
    frames[2] = frames[1]  # equal neighbours stay two frames
    source = open_source(animation(tmp_path / "a.webp", gradients(5, 20, 31)))
    with open_sink(tmp_path / "b.webp", source, options=EncodeOptions(lossless=True)) as sink:
        for frame, pixels in zip(source.frames(), frames, strict=True):
            sink.write(type(frame)(frame.index, frame.pts, pixels, frame.duration))
    read = list(open_source(tmp_path / "b.webp").frames())
    assert [frame.duration for frame in read] == DURATIONS
    assert all((frame.pixels == pixels).all() for frame, pixels in zip(read, frames, strict=True))
    with Image.open(tmp_path / "b.webp") as image:  # others read it too
        assert (image.n_frames, image.info["loop"]) == (5, 0)


def test_a_transparent_webp_says_so(tmp_path, gradients):
    frames = np.concatenate([gradients(5, 20, 30), np.full((5, 20, 30, 1), 99, np.uint8)], -1)
    source = open_source(animation(tmp_path / "a.webp", frames, exact=True))
    assert any("transparency" in notice for notice in source.info.notices)
    assert next(source.frames()).pixels.shape == (20, 30, 3)


def test_a_webp_cut_short(tmp_path, gradients):
    path = animation(tmp_path / "a.webp", np.random.default_rng(0).integers(0, 255, (5, 40, 40, 3), dtype=np.uint8))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"damaged|cut short") as error:
        list(open_source(path).frames())
    assert str(path) in str(error.value)


def test_a_gif_keeps_its_times(tmp_path, gradients):
    images = [Image.fromarray(pixels) for pixels in gradients(5, 20, 30)]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=DURATIONS)
    source = open_source(tmp_path / "a.gif")
    copy(source, tmp_path / "b.gif")
    result = open_source(tmp_path / "b.gif")
    assert [frame.pts for frame in source.frames()] == [0, 4, 12, 16, 116]
    assert [frame.pts for frame in result.frames()] == [0, 4, 12, 16, 116]
    for a, b in zip(source.frames(), result.frames(), strict=True):
        assert np.abs(a.pixels.astype(int) - b.pixels).mean() < 2  # at most 256 colours each time
