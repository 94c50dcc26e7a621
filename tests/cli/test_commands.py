"""Whole runs of the command line as a user would, with a formula in place of the network."""

import json
import logging
import signal
import warnings
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from redetail.engines import FakeEngine
from redetail.errors import OutputError
from redetail.video import open_source
from redetail.video.target import Target

BOX = ("--box", "20,20,60,60")
QUICK = ("--steps", "2", "--guide-size", "64", "--max-size", "64")


def decoded(path: Path) -> tuple[list[Fraction], list[np.ndarray]]:
    """Times in seconds and pictures of a video."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [frame.pts * frame.time_base for frame in frames], [frame.to_ndarray(format="rgb24") for frame in frames]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_detail_writes_the_result_the_comparison_and_the_report(run, clip: Path, fake_engine) -> None:
    folder = clip.parent
    outputs = ("-o", folder / "out.mp4", "--compare", folder / "side.mp4", "--report", folder / "report.json")
    ran = run("detail", clip, *outputs, *BOX, *QUICK)
    assert ran.code == 0, ran.err
    assert names(folder) == {"clip.mp4", "out.mp4", "side.mp4", "report.json"}
    times, before = decoded(clip)
    times_after, after = decoded(folder / "out.mp4")
    assert times_after == times
    assert np.abs(after[0][30:50, 30:50].astype(int) - before[0][30:50, 30:50]).mean() > 10
    assert np.abs(after[0][:10, :10].astype(int) - before[0][:10, :10]).mean() < 2  # the two encodings differ a little
    assert decoded(folder / "side.mp4")[1][0].shape[1] >= 2 * 96
    report = json.loads((folder / "report.json").read_text())
    assert report["settings"]["steps"] == 2
    assert "1 subject detailed in 6 frames" in ran.out
    assert "no pixel changed" in ran.out
    assert f"report: {folder / 'report.json'}" in ran.out
    assert "Detailing" in ran.err


@pytest.mark.parametrize("failing", ["out.mp4", "side.mp4"])
def test_where_one_output_fails_at_its_end_none_gets_its_name(
    run, clip: Path, fake_engine, monkeypatch, failing: str
) -> None:
    flush = Target.flush

    def full(target: Target) -> None:
        if target.path.name == failing:
            raise OutputError("The disk is full; free some space.")
        flush(target)

    monkeypatch.setattr(Target, "flush", full)
    folder = clip.parent
    (folder / "side.mp4").write_bytes(b"older")
    ran = run("detail", clip, "-o", folder / "out.mp4", "--compare", folder / "side.mp4", "--overwrite", *BOX, *QUICK)
    assert ran.code == 2, ran.err
    assert {name for name in names(folder) if not name.endswith(".work")} == {"clip.mp4", "side.mp4"}
    assert (folder / "side.mp4").read_bytes() == b"older"


def test_what_the_codec_loses_outside_the_mask_is_measured(run, clip: Path, fake_engine) -> None:
    folder = clip.parent
    for name, options in (("out.mp4", ("--quality", "40")), ("exact.mkv", ("--lossless",))):
        ran = run("detail", clip, "-o", folder / name, "--report", folder / f"{name}.json", *options, *BOX, *QUICK)
        assert ran.code == 0, ran.err
        measured = json.loads((folder / f"{name}.json").read_text())["untouched"]["as_written"]
        before, after = (np.stack(decoded(path)[1]).astype(int) for path in (clip, folder / name))
        difference = np.abs(after - before)
        difference[:, 12:68, 12:68] = 0  # the box, and what is around it
        if name == "exact.mkv":
            assert measured == {"frames": 6, "mean": 0.0, "largest": 0.0}
            assert "no pixel changed before encoding; the encoder changed none" in ran.out
        else:
            assert measured["largest"] >= difference.max() > 0
            assert 0.3 < measured["mean"] < measured["largest"]
            assert f"the encoder changed pixels by {measured['mean']:.1f} out of 255" in ran.out


def test_quiet_says_nothing(run, clip: Path, fake_engine) -> None:
    ran = run("detail", clip, "-o", clip.with_name("out.mp4"), *BOX, *QUICK, "--quiet")
    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_warnings_of_the_library_are_notes(run, clip: Path, fake_engine) -> None:
    ran = run("detail", clip, "-o", clip.with_name("out.mp4"), "--box", "20,20,9000,60", *QUICK)
    assert ran.code == 0, ran.err
    assert [line for line in ran.err.splitlines() if line.startswith("Note: ") and "extends beyond the" in line]


def test_no_face_gives_a_notice_and_the_same_file(run, clip: Path, fake_engine) -> None:
    ran = run("detail", clip, "-o", clip.with_name("out.mp4"), "--report", clip.with_name("report.json"))
    assert ran.code == 0
    assert [line for line in ran.err.splitlines() if line.startswith("Note: No face was found")]
    assert "nothing was detailed" in ran.out
    assert clip.with_name("out.mp4").read_bytes() == clip.read_bytes()
    assert json.loads(clip.with_name("report.json").read_text())["regions"] == []


def test_overwrite_replaces_what_exists(run, clip: Path, fake_engine) -> None:
    output = clip.with_name("out.mp4")
    output.write_bytes(b"old")
    assert run("detail", clip, "-o", output, *BOX, *QUICK, "--overwrite").code == 0
    assert len(decoded(output)[1]) == 6


def test_the_output_is_coded_as_asked(run, clip: Path, fake_engine) -> None:
    output = clip.with_name("out.mkv")
    assert run("detail", clip, "-o", output, *BOX, *QUICK, "--lossless").code == 0
    with av.open(str(output)) as container:
        assert container.streams.video[0].codec_context.name == "ffv1"
    before, after = (next(iter(open_source(path).frames())).pixels for path in (clip, output))
    assert (after[:10, :10] == before[:10, :10]).all()
    assert (after != before).any()


def test_a_part_of_the_clip(run, clip: Path, fake_engine) -> None:
    output = clip.with_name("out.mp4")
    assert run("detail", clip, "-o", output, *BOX, *QUICK, "--start", "1f", "--end", "0.4").code == 0
    assert len(decoded(output)[1]) == 3


def test_a_dry_run_writes_nothing(run, clip: Path, fake_engine) -> None:
    ran = run("detail", clip, "-o", clip.with_name("out.mp4"), *BOX, "--dry-run")
    assert ran.code == 0
    assert names(clip.parent) == {"clip.mp4"}
    assert "6 frames of 96x80, 1 subject" in ran.out
    assert "processed at" in ran.out


def test_a_folder_of_images_in_and_out(run, clip: Path, fake_engine, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert run("detail", clip, "-o", first, *BOX, *QUICK).code == 0
    assert run("detail", first, "-o", second, *BOX, *QUICK).code == 0
    assert names(first) == names(second)
    assert len(names(first)) == 6


@pytest.mark.parametrize(("drawing", "option"), [("found.png", ()), ("drawn.mp4", ("--draw", "drawn.mp4"))])
def test_detect_draws_and_reports(
    run, clip: Path, fake_engine, monkeypatch: pytest.MonkeyPatch, drawing: str, option: tuple[str, ...]
) -> None:
    monkeypatch.chdir(clip.parent)
    ran = run("detect", "clip.mp4", *BOX, "--report", "found.json", *option)
    assert ran.code == 0, ran.err
    assert names(clip.parent) == {"clip.mp4", "found.json", drawing}
    assert json.loads(Path("found.json").read_text())["regions"][0]["boxes"] == [[20.0, 20.0, 60.0, 60.0]] * 6
    assert f"drawing: {drawing}" in ran.out
    assert len(decoded(Path(drawing))[1]) == (1 if drawing.endswith("png") else 6)


def test_detect_draws_into_a_folder_of_images(run, clip: Path, fake_engine) -> None:
    folder = clip.with_name("drawn")
    assert run("detect", clip, *BOX, "--draw", folder).code == 0
    assert len(names(folder)) == 6


def test_detect_names_its_report_itself(run, clip: Path, fake_engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clip.parent)
    assert run("detect", "clip.mp4", *BOX, "--report").code == 0
    assert names(clip.parent) == {"clip.mp4", "clip.detect.json", "clip.detect.png"}
    assert run("detect", "clip.mp4", *BOX, "--report").code == 2


def test_ctrl_c_stops_within_a_step_and_leaves_what_was_finished(run, clip: Path, fake_engine, monkeypatch) -> None:
    def interrupted(pixels: np.ndarray) -> np.ndarray:
        signal.raise_signal(signal.SIGINT)
        return pixels

    monkeypatch.setattr(fake_engine, "_effect", interrupted)
    ran = run("detail", clip, "-o", clip.with_name("out.mp4"), *BOX, *QUICK)
    assert ran.code == 130
    assert "Stopping after this step" in ran.err
    assert ran.err.endswith("redetail: Stopped; nothing was written.\n")
    (work,) = names(clip.parent) - {"clip.mp4"}
    assert f"with: redetail clean {clip.parent / work}" in ran.err
    assert run("clean", clip.with_name(work)).code == 0


def test_a_second_ctrl_c_stops_at_once(run, clip: Path, fake_engine, monkeypatch) -> None:
    def interrupted(pixels: np.ndarray) -> np.ndarray:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("still running")

    monkeypatch.setattr(fake_engine, "_effect", interrupted)
    ran = run("detail", clip, "-o", clip.with_name("out.mp4"), *BOX, *QUICK)
    assert ran.code == 130
    assert names(clip.parent) == {"clip.mp4"}


def test_a_bug_says_how_to_report_it(run, clip: Path, fake_engine: FakeEngine, monkeypatch) -> None:
    def broken(pixels: np.ndarray) -> np.ndarray:
        raise IndexError("7 is not there")

    monkeypatch.setattr(fake_engine, "_effect", broken)
    ran = run("detail", clip, "-o", clip.with_name("out.mp4"), *BOX, *QUICK)
    assert ran.code == 1
    sentence = ran.err.splitlines()[-1]
    assert sentence.startswith("redetail: This is a bug")
    assert "IndexError: 7 is not there" in sentence
    assert "--debug" in sentence
    assert "Traceback" not in ran.err
    assert names(clip.parent) == {"clip.mp4"}


def test_debug_shows_where_an_error_came_from(run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ran = run("detail", tmp_path / "nowhere.mp4", "-o", tmp_path / "out.mp4", "--debug")
    assert ran.code == 2
    assert "check_input" in caplog.text


def test_verbose_says_how_long_each_pass_takes_beside_the_notes(run, clip: Path, fake_engine) -> None:
    arguments = ("detail", clip, "--box", "10,10,60,60", "--overwrite", "-o", clip.with_name("out.mp4"))
    usual, verbose = run(*arguments).err, run(*arguments, "-v").err
    assert "Pass detail: " in verbose
    assert "Note: Pass" not in verbose
    assert "Pass detail: " not in usual


def test_every_run_of_a_process_says_its_notes_and_each_of_them_once(run, clip: Path, fake_engine) -> None:
    repeated = clip.with_name("repeated.mp4")
    with av.open(str(clip)) as given, av.open(str(repeated), "w", format="h264") as out:  # without timestamps
        stream = out.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    for _ in range(2):
        ran = run("detail", repeated, "-o", clip.with_name("out.mp4"), "--box", "20,20,9000,60", "--overwrite", *QUICK)
        assert ran.code == 0, ran.err
        notes = [line for line in ran.err.splitlines() if line.startswith("Note: ")]
        assert [line for line in notes if "Missing or repeated timestamps" in line]
        assert [line for line in notes if "extends beyond the" in line]
        assert len(set(notes)) == len(notes)


def test_logging_and_warnings_are_as_before_a_command(run, clip: Path, fake_engine) -> None:
    root, ours = logging.getLogger(), logging.getLogger("redetail")

    def state() -> tuple[object, ...]:
        return root.handlers[:], root.level, ours.handlers[:], ours.level, warnings.filters[:]

    before = state()
    for more in ((), ("--debug",)):
        ran = run("detail", clip, "-o", clip.with_name("out.mp4"), "--overwrite", *BOX, *QUICK, *more)
        assert ran.code == 0
        assert ("command='detail'" in ran.err) == bool(more)
        assert state() == before
