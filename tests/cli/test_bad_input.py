"""What cannot be used is answered in one sentence, with exit code 2, and leaves nothing behind."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from redetail import api
from redetail.engines import FakeEngine

BOX = ("--box", "20,20,60,60")


@pytest.fixture
def refused(run, tmp_path: Path, fake_engine) -> Callable[..., str]:
    """Run a command that must be refused; returns its sentence."""

    reports: list[str] = []

    def refuse(*arguments: object) -> str:
        before = listing(tmp_path)
        ran = run(*arguments)
        assert ran.code == 2, ran
        assert ran.out == ""
        complaint = ran.err.splitlines()[-1]
        assert complaint.startswith("redetail: ")
        assert complaint.endswith((".", "--help", "]'"))
        assert "Traceback" not in ran.err
        reports[:] = [line for line in ran.err.splitlines() if line.startswith(PROGRESS[:-1])]
        assert not [line for line in ran.err.splitlines()[:-1] if not line.startswith(PROGRESS)], ran.err
        assert listing(tmp_path) == before
        return complaint

    refuse.reports = reports  # type: ignore[attr-defined]  # of passes that were started
    return refuse


PROGRESS = ("Finding subjects: ", "Cropping: ", "Detailing: ", "Writing: ", "Note: ")


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def detail(source: object, tmp_path: Path, *more: object) -> tuple[object, ...]:
    return ("detail", source, "-o", tmp_path / "out.mp4", *more)


def test_missing_file(refused, tmp_path: Path) -> None:
    assert "nowhere.mp4" in refused(*detail(tmp_path / "nowhere.mp4", tmp_path))


def test_empty_file(refused, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    assert "empty" in refused(*detail(tmp_path / "empty.mp4", tmp_path))


def test_empty_folder(refused, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    assert "frames" in refused(*detail(tmp_path / "frames", tmp_path))


def test_corrupt_file(refused, tmp_path: Path) -> None:
    path = tmp_path / "noise.mp4"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    assert "noise.mp4" in refused(*detail(path, tmp_path))


def test_text_file(refused, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a video\n" * 50)
    assert "notes.txt" in refused(*detail(path, tmp_path))


def test_audio_only(refused, tmp_path: Path, sound_file: Path) -> None:
    assert "sound" in refused(*detail(sound_file, tmp_path))


@pytest.mark.parametrize("part", [0.3, 0.97])
def test_truncated_file(refused, tmp_path: Path, clip: Path, part: float) -> None:
    whole = clip.read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: int(len(whole) * part)])
    assert "cut.mp4" in refused(*detail(path, tmp_path, *BOX))


@pytest.mark.parametrize("part", [0.5, 0.9])
def test_truncated_in_the_pictures(refused, tmp_path: Path, clip: Path, part: float) -> None:
    """With the index in front the beginning is fine, and only reading finds out that the end is missing."""
    whole = remuxed(clip, tmp_path / "whole.mp4")
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: int(len(whole) * part)])
    assert "cut.mp4" in refused(*detail(path, tmp_path, *BOX))


def remuxed(clip: Path, path: Path) -> bytes:
    """The clip with its index in front, as downloads have it."""
    import av

    with av.open(str(clip)) as source, av.open(str(path), "w", options={"movflags": "faststart"}) as sink:
        stream = sink.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                sink.mux(packet)
    whole = path.read_bytes()
    path.unlink()
    return whole


@pytest.mark.parametrize("box", ["200,200,300,300", "-50,-50,-5,-5", "30,30,30,30", "60,60,20,20", "nan,0,9,9"])
def test_boxes_that_hold_nothing_of_the_frame(refused, tmp_path: Path, clip: Path, box: str) -> None:
    assert box.split(",")[0] in refused(*detail(clip, tmp_path, "--box", box))


@pytest.mark.parametrize("box", ["1,2,3", "a,b,c,d", "1;2;3;4"])
def test_boxes_that_are_none(refused, tmp_path: Path, clip: Path, box: str) -> None:
    assert "x1,y1,x2,y2" in refused(*detail(clip, tmp_path, "--box", box))


@pytest.mark.parametrize(
    "subject",
    [("--box", "200,200,300,300"), ("--box", "5,5,5,9"), ("--mask", "none.png"), ("--mask", "small.png"),
     ("--segs", "none.json"), ("--segs", "broken.json")],
)  # fmt: skip
def test_what_is_wrong_with_a_subject_is_told_before_the_clip_is_read(
    run, clip: Path, fake_engine, tmp_path: Path, subject: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("small.png", np.full((9, 9), 255, np.uint8))
    Path("broken.json").write_text("{")
    ran = run(*detail(clip, tmp_path, *subject))
    assert (ran.code, len(ran.err.splitlines())) == (2, 1), ran.err
    assert ran.err.startswith("redetail: ")


@pytest.mark.parametrize("command", ["detail", "detect"])
def test_a_detector_beside_a_box(refused, tmp_path: Path, clip: Path, command: str) -> None:
    output = ("-o", tmp_path / "out.mp4") if command == "detail" else ()
    assert "detect and box were both given" in refused(command, clip, *output, *BOX, "--detect", "face")


def test_missing_mask(refused, tmp_path: Path, clip: Path) -> None:
    assert "no-mask.png" in refused(*detail(clip, tmp_path, "--mask", tmp_path / "no-mask.png"))


def test_mask_of_another_size(refused, tmp_path: Path, clip: Path) -> None:
    path = tmp_path / "mask.png"
    cv2.imwrite(str(path), np.full((40, 40), 255, np.uint8))
    sentence = refused(*detail(clip, tmp_path, "--mask", path))
    assert "40x40" in sentence
    assert "96x80" in sentence


def test_empty_mask(refused, tmp_path: Path, clip: Path) -> None:
    path = tmp_path / "mask.png"
    cv2.imwrite(str(path), np.zeros((80, 96), np.uint8))
    assert "mask.png" in refused(*detail(clip, tmp_path, "--mask", path))


def test_mask_of_another_length(refused, tmp_path: Path, clip: Path, short_mask: Path) -> None:
    sentence = refused(*detail(clip, tmp_path, "--mask", short_mask))
    assert "3" in sentence
    assert "6" in sentence


@pytest.mark.parametrize("text", ["", "{", "[]", '{"segs": 1}', '[[80, 96], [{"bbox": [NaN, 0, 9, 9]}]]'])
def test_segments_that_cannot_be_read(refused, tmp_path: Path, clip: Path, text: str) -> None:
    path = tmp_path / "segs.json"
    path.write_text(text)
    assert "segs.json" in refused(*detail(clip, tmp_path, "--segs", path))


HOSTILE = [
    ("job.toml", "start = " + "[" * 100_000, "job.toml"),
    ("job.toml", "settings = {steps = " + "9" * 400 + "}", "a number with more than 40 digits"),
    ("job.toml", "settings = {steps = 0x" + "f" * 20_000 + "}", "a number with more than 40 digits"),
    ("job.toml", 'end = "1e-99999999"', "must come after the start"),
    ("job.toml", "source = '" + "a" * 2**20 + "'", "is larger than 1 MB"),
    ("job.json", "[" * 100_000, "nested too deeply"),
    ("job.json", '{"a": ' * 100_000, "nested too deeply"),
    ("job.json", '{"settings": {"steps": ' + "9" * 400 + "}}", "a number with 400 digits"),
    ("job.json", '{"settings": {"steps": ' + "9" * 5000 + "}}", "a number with 5000 digits"),
    ("segs.json", "[" * 100_000, "nested too deeply"),
    ("segs.json", '{"size": [' + "9" * 400 + ", 80]}", "a number with 400 digits"),
    ("segs.json", '{"size": [1e400, 80], "segs": []}', "finite"),
]


@pytest.mark.parametrize(("name", "text", "part"), HOSTILE, ids=[f"{case[0]}-{case[2]}" for case in HOSTILE])
def test_hostile_documents(refused, tmp_path: Path, clip: Path, name: str, text: str, part: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    option = "--segs" if name == "segs.json" else "--job"
    sentence = refused(*detail(clip, tmp_path, option, path))
    assert part in sentence
    assert len(sentence) < 500


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a file without an end")
@pytest.mark.parametrize("option", ["--job", "--segs"])
def test_a_document_without_an_end(refused, tmp_path: Path, clip: Path, option: str) -> None:
    assert "/dev/zero is not a file on disk" in refused(*detail(clip, tmp_path, option, "/dev/zero"))


@pytest.mark.parametrize("option", ["--steps", "--seed", "--denoise", "--start", "--end", "--quality"])
def test_numbers_of_400_digits(refused, tmp_path: Path, clip: Path, option: str) -> None:
    assert option[2:] in refused(*detail(clip, tmp_path, *BOX, option, "9" * 400))


def test_segments_outside_the_frame(refused, tmp_path: Path, clip: Path) -> None:
    path = tmp_path / "segs.json"
    seg = {"crop_region": [200, 200, 240, 240], "bbox": [200, 200, 240, 240], "confidence": 1, "label": "face"}
    path.write_text(json.dumps({"size": [96, 80], "segs": [seg]}))
    assert "200" in refused(*detail(clip, tmp_path, "--segs", path))


@pytest.mark.parametrize(
    ("option", "value", "part"),
    [
        ("--steps", "0", "steps is 0"),
        ("--steps", "nan", "steps"),
        ("--steps", "few", "'few'"),
        ("--denoise", "1.5", "denoise is 1.5"),
        ("--cfg", "inf", "cfg"),
        ("--seed", "-1", "seed is -1"),
        ("--guide-size", "0", "guide-size is 0"),
        ("--sampler", "best", "euler"),
        ("--scheduler", "best", "karras"),
        ("--detect", "unicorn", "face"),
        ("--quality", "99", "quality is 99"),
        ("--quality", "good", "quality is 'good'"),
        ("--codec", "mpeg1", "h264"),
        ("--codec", "prores", ".mp4 cannot hold prores"),
        ("--encode-speed", "warp", "ultrafast"),
        ("--start", "soon", "soon"),
        ("--start", "99", "99"),
        ("--end", "0", "0"),
    ],
)
def test_settings_that_cannot_be(refused, tmp_path: Path, clip: Path, option: str, value: str, part: str) -> None:
    assert part in refused(*detail(clip, tmp_path, *BOX, option, value))


@pytest.mark.parametrize(("option", "value"), [("--device", "toaster"), ("--model", "no-such-folder")])
def test_models_and_devices_that_are_not_there(run, tmp_path: Path, clip: Path, option: str, value: str) -> None:
    ran = run(*detail(clip, tmp_path, *BOX, option, value))
    assert ran.code == 2
    assert value in ran.err
    assert ran.err.count("\n") == 1
    assert listing(tmp_path) == ["clip.mp4"]


def test_no_output_named(refused, clip: Path) -> None:
    assert "-o" in refused("detail", clip)


def test_output_that_exists_is_kept(refused, tmp_path: Path, clip: Path) -> None:
    (tmp_path / "out.mp4").write_bytes(b"mine")
    assert "--overwrite" in refused(*detail(clip, tmp_path, *BOX))
    assert (tmp_path / "out.mp4").read_bytes() == b"mine"


@pytest.mark.parametrize("option", ["--report", "--compare"])
def test_side_outputs_that_exist_are_kept(refused, tmp_path: Path, clip: Path, option: str) -> None:
    (tmp_path / "side.mp4").write_bytes(b"mine")
    assert "--overwrite" in refused(*detail(clip, tmp_path, *BOX, option, tmp_path / "side.mp4"))


@pytest.mark.parametrize("options", [("-o", "clip.mp4"), ("-o", "new.mp4", "--compare", "./clip.mp4")])
def test_the_input_is_never_written(refused, clip: Path, monkeypatch, options: tuple[str, ...]) -> None:
    monkeypatch.chdir(clip.parent)
    before = clip.read_bytes()
    assert "clip.mp4" in refused("detail", "clip.mp4", *options, "--overwrite", *BOX)
    assert clip.read_bytes() == before


@pytest.mark.parametrize("option", [("--report", "clip.mp4"), ("--draw", "clip.mp4"), ("--draw", "/proc/d.png")])
def test_detect_writes_only_where_it_may(refused, clip: Path, monkeypatch, option: tuple[str, str]) -> None:
    monkeypatch.chdir(clip.parent)
    assert option[1] in refused("detect", "clip.mp4", *BOX, "--overwrite", *option)


def test_two_results_in_one_file(refused, tmp_path: Path, clip: Path) -> None:
    assert "out.mp4" in refused(*detail(clip, tmp_path, *BOX, "--compare", tmp_path / "out.mp4"))


@pytest.mark.parametrize("name", ["out.xyz", "out"])
def test_unknown_kind_of_output(refused, tmp_path: Path, clip: Path, name: str) -> None:
    if name == "out":
        (tmp_path / name).write_bytes(b"")
        refused("detail", clip, "-o", tmp_path / name, *BOX)
    else:
        assert name in refused("detail", clip, "-o", tmp_path / name, *BOX)


@pytest.mark.parametrize("suffix", ["mp4", "gif", "webp", "h264"])
def test_many_frames_into_one_picture_are_refused_before_the_work(
    run, clip: Path, tmp_path: Path, suffix: str, monkeypatch
) -> None:
    source = tmp_path / f"in.{suffix}"
    if suffix in ("gif", "webp"):
        first, *others = (Image.fromarray(np.full((80, 96, 3), shade, np.uint8)) for shade in (0, 90, 250))
        first.save(source, save_all=True, append_images=others)
    else:
        with av.open(str(clip)) as given, av.open(str(source), "w", format=suffix) as out:
            stream = out.add_stream_from_template(given.streams.video[0])
            for packet in given.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    out.mux(packet)
    loaded: list[object] = []
    monkeypatch.setattr(api, "load_engine", lambda *_, **__: loaded.append(1) or FakeEngine())
    output = tmp_path / "out.png"
    ran = run("detail", source, "-o", output, "--box", "20,20,60,60")
    assert ran.code == 2
    assert "can hold only one picture" in ran.err
    assert not loaded
    assert run("detail", source, "-o", output, "--box", "20,20,60,60", "--start", "1f", "--end", "2f").code == 0
    assert output.is_file()


def test_folder_of_the_output_is_missing(refused, tmp_path: Path, clip: Path) -> None:
    assert "nowhere" in refused("detail", clip, "-o", tmp_path / "nowhere" / "out.mp4", *BOX)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder in which nobody can create a file")
@pytest.mark.parametrize("option", ["-o", "--report", "--compare"])
def test_output_that_cannot_be_written(refused, tmp_path: Path, clip: Path, option: str) -> None:
    """Even root cannot create files in /proc."""
    more = () if option == "-o" else ("-o", tmp_path / "out.mp4")
    assert "/proc" in refused("detail", clip, option, "/proc/out.mp4", *more, *BOX)


@pytest.mark.parametrize(("full", "way_out"), [("output", "another folder"), ("work", "--work-dir")])
def test_too_little_disk(refused, tmp_path: Path, clip: Path, monkeypatch, full: str, way_out: str) -> None:
    usage = shutil.disk_usage(tmp_path)

    def disk_usage(path: Path) -> object:
        of_output = Path(path) == tmp_path
        return usage._replace(free=1000) if of_output == (full == "output") else usage

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    assert way_out in refused(*detail(clip, tmp_path, *BOX))


@pytest.mark.parametrize("arguments", [("detail",), ("improve", "x"), ("detail", "x", "--stepz", "1")])
def test_what_cannot_be_understood(refused, arguments: tuple[str, ...]) -> None:
    refused(*arguments)


def test_a_clip_without_a_command_shows_the_command_that_is_missing(run, clip: Path) -> None:
    assert run(clip).err == f"redetail: The command is missing; to detail {clip}, type: redetail detail {clip} -o OUT\n"


@pytest.mark.parametrize(
    ("output", "part"),
    [
        (("-o", "nowhere/out.mp4"), "nowhere"),
        (("-o", "clip.mp4"), "clip.mp4"),
        (("-o", "there.mp4"), "there.mp4 already exists"),
        (("-o", "out.xyz"), "out.xyz"),
        (("-o", "out.mp4", "--report", "nowhere/report.json"), "nowhere"),
        (("-o", "out.mp4", "--compare", "out.mp4"), "out.mp4"),
        (("-o", "out", "--save-hints", "out"), "Two outputs have the same name"),
        (("-o", "out.mp4", "--codec", "prores"), "prores"),
    ],
)
def test_a_dry_run_refuses_what_the_run_would_refuse(
    refused, tmp_path: Path, clip: Path, output: tuple[str, ...], part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.mp4").touch()
    assert refused("detail", clip, *BOX, *output) == refused("detail", clip, *BOX, *output, "--dry-run")
    assert part in refused("detail", clip, *BOX, *output, "--dry-run")


@pytest.mark.parametrize(
    ("typed", "meant", "command"),
    [("--denois", "--denoise", "detail"), ("--stepz=3", "--steps", "detail"), ("--drw", "--draw", "detect")],
)
def test_a_misspelt_option_is_answered_with_the_one_that_was_meant(
    refused, clip: Path, typed: str, meant: str, command: str
) -> None:
    sentence = refused(command, clip, typed)
    assert f"did you mean {meant}?" in sentence
    assert sentence.endswith(f"see: redetail {command} --help")


@pytest.mark.parametrize(
    ("option", "typed", "meant"),
    [
        ("--detect", "fase", "face"),
        ("--preset", "lightnin", "lightning"),
        ("--codec", "h246", "h264"),
        ("--encode-speed", "meduim", "medium"),
        ("--mask-shape", "Oval", "oval"),
        ("--context-blend", "pyramide", "pyramid"),
        ("--compare-layout", "crop", "crops"),
        ("--attention", "slices", "sliced"),
    ],
)
def test_a_misspelt_value_is_answered_with_the_one_that_was_meant(
    refused, clip: Path, option: str, typed: str, meant: str
) -> None:
    sentence = refused("detail", clip, "-o", clip.with_name("out.mp4"), option, typed)
    assert f"named {typed!r}; did you mean {meant!r}? Choose one of: " in sentence


@pytest.mark.parametrize("name", [".", "/"])
def test_a_report_without_a_name(refused, clip: Path, name: str) -> None:
    refused("detect", clip, *BOX, f"--report={name}")


def test_a_run_that_succeeds_is_logged_with_debug(
    run, clip: Path, fake_engine, caplog: pytest.LogCaptureFixture
) -> None:
    ran = run("detail", clip, *BOX, "--dry-run", "--debug")
    assert ran.code == 0
    assert [message for message in caplog.messages if message.startswith("Pass detect: ")]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of the size of files")
def test_a_disk_that_is_full_before_there_is_work_to_keep(refused, tmp_path: Path, clip: Path) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, limits[1]))
    try:
        assert "the disk is full" in refused(*detail(clip, tmp_path, *BOX))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("entry", [{"crop_region": [1, 2]}, {"crop_region": [500, 0, 600, 50]}, {"mask": "x"}])
def test_segments_are_checked_whole_before_the_clip_is_read(
    refused, tmp_path: Path, clip: Path, entry: dict[str, object]
) -> None:
    path = tmp_path / "segs.json"
    good = {"crop_region": [8, 6, 56, 42], "bbox": [16, 12, 48, 36]}
    path.write_text(json.dumps({"size": [96, 80], "segs": [good, good | entry]}))
    said = refused(*detail(clip, tmp_path, "--segs", path))
    assert "Segment 1" in said
    assert refused.reports == []


LONG = "x" * 5000
HARD = ("a\0b.mp4", LONG, f"{'漢' * 90}.mp4", "a/" * 2000 + "x.mp4", "\ud800.mp4")


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("option", ["-o", "--report", "--compare", "--save-job", "--mask", "--segs", "--vae", "--lora"])
def test_names_that_no_file_can_have(run, tmp_path: Path, clip: Path, monkeypatch, option: str, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("detail", clip, "-o", "out.mp4", *(() if option in ("--mask", "--segs") else BOX), f"{option}={name}")
    assert ran.code == 2, ran.err
    assert len(ran.err.splitlines()[-1]) < 1000
    assert listing(tmp_path) == ["clip.mp4"]


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("option", ["--draw", "--report"])
def test_names_that_no_drawing_can_have(run, tmp_path: Path, clip: Path, monkeypatch, option: str, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("detect", clip, *BOX, f"{option}={name}").code == 2
    assert listing(tmp_path) == ["clip.mp4"]


@pytest.mark.parametrize("option", ["--save-job=--", "-o--", "--prompt=--"])
def test_two_minus_signs_are_no_value(refused, tmp_path: Path, clip: Path, option: str) -> None:
    assert "has the value '--'" in refused(*detail(clip, tmp_path, option))


@pytest.mark.parametrize("option", ["--vae", "--mask", "--segs", "--lora"])
def test_a_folder_with_links_to_nowhere_is_no_bug(run, tmp_path: Path, clip: Path, fake_engine, option: str) -> None:
    (tmp_path / "dangling").symlink_to("nowhere")
    ran = run(*detail(clip, tmp_path, option, tmp_path, *(() if option in ("--mask", "--segs") else BOX)))
    assert ran.code == (0 if option == "--vae" else 2), ran.err  # the engine here is a formula, and knows no VAE
