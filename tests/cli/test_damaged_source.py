"""Damaged sources: a note and exit code 3, or a refusal; inputs are never replaced, names are claimed at the start."""

import os
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from redetail.claims import claimed
from redetail.video.stream_copy import StreamCopy

BOX = ("--box", "20,20,60,60")


@pytest.fixture
def half_clip(clip: Path, tmp_path: Path) -> Path:
    """A Matroska file whose second half is zeros."""
    path = tmp_path / "half.mkv"
    with av.open(str(clip)) as source, av.open(str(path), "w") as sink:
        stream = sink.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                sink.mux(packet)
    whole = path.read_bytes()
    kept = len(whole) * 2 // 3
    path.write_bytes(whole[:kept] + bytes(len(whole) - kept))
    return path


@pytest.mark.usefixtures("fake_engine")
def test_half_a_clip_is_said_and_exit_code_3(run, half_clip: Path, tmp_path: Path) -> None:
    ran = run("detail", half_clip, "-o", tmp_path / "out.mp4", *BOX)
    assert ran.code == 3
    assert "Note: half.mkv is damaged" in ran.err
    assert (tmp_path / "out.mp4").exists()
    assert run("detect", half_clip, *BOX).code == 3


@pytest.mark.usefixtures("fake_engine")
@pytest.mark.parametrize("command", ["detail", "detect"])
def test_strict_refuses_it(run, half_clip: Path, tmp_path: Path, command: str) -> None:
    output = ("-o", tmp_path / "out.mp4") if command == "detail" else ()
    ran = run(command, half_clip, *output, *BOX, "--strict")
    assert ran.code == 2
    assert "half.mkv is damaged" in ran.err.splitlines()[-1]
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.usefixtures("fake_engine")
@pytest.mark.parametrize("strict", [True, False])
def test_sound_that_only_the_muxer_finds_damaged(
    run, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strict: bool
) -> None:
    fault = "The sound of clip.mp4 is damaged; 2 packets were left out."
    monkeypatch.setattr(StreamCopy, "faults", property(lambda _: (fault,)))
    ran = run("detail", clip, "-o", tmp_path / "out.mp4", *BOX, *(("--strict",) if strict else ()))
    assert ran.code == (2 if strict else 3)
    assert "The sound of clip.mp4 is damaged" in ran.err
    assert (tmp_path / "out.mp4").exists() is not strict


@pytest.mark.usefixtures("fake_engine")
@pytest.mark.parametrize("strict", [True, False])
def test_a_damaged_mask_is_told_like_a_damaged_clip(run, clip: Path, tmp_path: Path, strict: bool) -> None:
    mask = tmp_path / "mask.mkv"
    with av.open(str(mask), "w") as sink:
        stream = sink.add_stream("mjpeg", rate=10, options={"qmin": "2"})
        stream.width, stream.height, stream.pix_fmt = 96, 80, "yuvj420p"
        for shift in range(8):
            picture = np.zeros((80, 96, 3), np.uint8)
            picture[20:60, 20 + shift : 60 + shift] = 255
            packets = stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24"))
            if shift == 6:  # the clip has six frames
                whole = bytes(packets[0])
                packets = [av.Packet(bytes(len(whole)))]
                packets[0].stream, packets[0].pts, packets[0].dts = stream, 600, 600
                packets[0].time_base = Fraction(1, 1000)
            sink.mux(packets)
        sink.mux(stream.encode(None))
    more = ("--strict",) if strict else ()
    ran = run("detail", clip, "-o", tmp_path / "out.mp4", "--mask", mask, *more)
    assert (ran.code, "mask.mkv" in ran.err) == ((2 if strict else 3), True), ran.err


@pytest.mark.usefixtures("fake_engine")
def test_strict_stands_in_jobs(run, half_clip: Path, tmp_path: Path) -> None:
    job = tmp_path / "job.toml"
    job.write_text(f'source = "{half_clip.name}"\noutput = "out.mp4"\nbox = [20, 20, 60, 60]\nstrict = true\n')
    assert run("detail", "--job", job).code == 2
    saved = tmp_path / "saved.toml"
    assert run("detail", "--job", job, "--dry-run", "--save-job", saved).code == 2
    job.write_text(job.read_text().replace("true", "false"))
    assert run("detail", "--job", job).code == 3


@pytest.mark.usefixtures("fake_engine")
@pytest.mark.parametrize("option", ["--output", "--report", "--compare", "--save-job"])
@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_nothing_that_is_read_is_replaced(run, clip: Path, tmp_path: Path, option: str, link) -> None:
    frames, lora = tmp_path / "frames", tmp_path / "style.safetensors"
    frames.mkdir()
    for index in range(3):
        cv2.imwrite(str(frames / f"{index}.png"), np.full((80, 96), 255, np.uint8))
    lora.write_bytes(b"weights")
    job = tmp_path / "job.json"
    job.write_text("{}")
    read = {"--job": job, "--mask": frames / "1.png", "--lora": lora, "--controlnet": lora}
    if link is os.link:
        del read["--mask"]  # another name of a picture outside its folder can be replaced: the picture stays
    if option == "--save-job":
        del read["--job"]  # it may be replaced by what was typed over it
    for flag, path in read.items():
        before = path.read_bytes()
        name = path
        if link is not None:
            name = tmp_path / f"link{flag}{path.suffix}"
            link(path, name)
        more = (flag, frames if flag == "--mask" else path, *(("--control", "tile") if flag == "--controlnet" else ()))
        where = () if flag == "--mask" else BOX
        output = () if option == "--output" else ("-o", tmp_path / "out.mp4")
        ran = run("detail", clip, *output, *where, *more, option, name, "--overwrite")
        assert ran.code == 2, (flag, ran)
        assert "is also an input of this run" in ran.err, (flag, ran)
        assert path.read_bytes() == before
        if link is not None:
            name.unlink()


@pytest.mark.usefixtures("fake_engine")
def test_a_second_run_onto_one_name_is_refused_at_the_start(run, clip: Path, tmp_path: Path) -> None:
    with claimed([tmp_path / "out.mp4"]):
        ran = run("detail", clip, "-o", tmp_path / "out.mp4", *BOX)
    assert ran.code == 2
    assert "Another run is writing" in ran.err
    assert "Finding" not in ran.err
    assert run("detail", clip, "-o", tmp_path / "out.mp4", *BOX).code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "out.mp4"]


@pytest.mark.usefixtures("fake_engine")
def test_a_linked_output_is_followed(run, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out.mp4").symlink_to(tmp_path / "disk" / "real.mp4")
    assert run("detail", clip, "-o", tmp_path / "out.mp4", *BOX).code == 0
    assert (tmp_path / "out.mp4").is_symlink()
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["real.mp4"]


def test_clean_removes_what_was_left(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    left = tmp_path / ".out.redetail-0123abcd.part.mp4", temporary / ".redetail-abcd_123.crops"
    left[0].touch()
    left[1].mkdir()
    for path in left:
        os.utime(path, (1, 1))
    ran = run("clean", tmp_path)
    assert ran.out == "".join(f"removed {path}\n" for path in left)
    assert run("clean", tmp_path).out == "Nothing was left behind.\n"
    assert run("clean", tmp_path / "nowhere").code == 2


def test_an_unusable_folder_for_temporary_files_is_refused(run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    ran = run("clean", tmp_path)
    assert ran.code == 2
    assert "TMPDIR is " in ran.err
