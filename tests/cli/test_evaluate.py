"""``redetail evaluate`` as a user types it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from redetail.errors import OutputError
from redetail.video import open_sink, open_source

BOX = ("--box", "20,20,60,60")


@pytest.fixture
def blurred(clip: Path) -> Path:
    """The clip without its finest detail."""
    path = clip.with_name("blurred.mkv")
    source = open_source(clip)
    with open_sink(path, source) as sink:
        for frame in source.frames():
            soft = sum(np.roll(frame.pixels.astype(np.float32), shift, (0, 1)) for shift in ((0, 0), (1, 0), (0, 1)))
            sink.write(type(frame)(frame.index, frame.pts, (soft / 3).astype(np.uint8), frame.duration))
    return path


def test_a_table_a_verdict_a_report_and_a_sheet(run, clip: Path, blurred: Path) -> None:
    report, sheet = clip.with_name("figures.json"), clip.with_name("sheet.png")
    ran = run("evaluate", blurred, f"sharp={clip}", *BOX, "--original", clip, "--report", report, "--sheet", sheet)
    assert ran.code == 0, ran.err
    assert "clips from best to worst: sharp, source" in ran.out
    assert "PSNR" in ran.out
    assert "sharp, box: Better" in ran.out
    document = json.loads(report.read_text())
    assert document["evaluation_version"] == 1
    assert [one["name"] for one in document["clips"]] == ["source", "sharp"]
    with Image.open(sheet) as picture:
        assert picture.size[0] >= 3 * 360  # source, sharp, original


@pytest.mark.parametrize(("layout", "size"), [("crops", (3 * 480 + 8, 480)), ("wipe", (96, 80)), ("side", (296, 80))])
def test_all_clips_in_one_video(run, clip: Path, blurred: Path, layout: str, size: tuple[int, int]) -> None:
    video = clip.with_name("all.mp4")
    ran = run("evaluate", blurred, f"sharp={clip}", f"same={blurred}", *BOX, "--video", video, "--layout", layout)
    assert ran.code == 0, ran.err
    written = open_source(video)
    assert (written.info.size.width, written.info.size.height) == size
    assert len(list(written.frames())) == 6


def test_nothing_is_replaced_and_no_input_is_written(run, clip: Path, blurred: Path) -> None:
    clip.with_name("old.json").write_text("mine")
    ran = run("evaluate", blurred, clip, *BOX, "--report", clip.with_name("old.json"))
    assert ran.code == 2
    assert "exists" in ran.err
    before = blurred.read_bytes()
    ran = run("evaluate", clip, blurred, *BOX, "--report", blurred, "--overwrite")
    assert ran.code == 2
    assert blurred.read_bytes() == before


def test_where_one_output_fails_none_gets_its_name(run, clip: Path, blurred: Path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OutputError("The disk is full; free some space.")

    monkeypatch.setattr("redetail.cli.evaluate.write_comparison", full)
    before = sorted(clip.parent.iterdir())
    names = {"--report": "r.json", "--sheet": "s.png", "--video": "v.mp4"}
    outputs = [part for option, name in names.items() for part in (option, clip.with_name(name))]
    assert run("evaluate", blurred, clip, *BOX, *outputs).code == 2
    assert sorted(clip.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.mp4"], "There is no file or folder missing.mp4"),
        (["CLIP", "--layout", "stripes"], "There is no layout named 'stripes'"),
        (["a=CLIP", "a=CLIP"], "Two clips are called 'a'; give them different names with NAME=FILE."),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(run, clip: Path, arguments: list[str], message: str) -> None:
    ran = run("evaluate", clip, *(text.replace("CLIP", str(clip)) for text in arguments), *BOX)
    assert ran.code == 2
    assert ran.err.endswith(f"redetail: {message}\n") or message in ran.err
    assert ran.err.count("redetail: ") == 1


def test_where_nobody_is_found_there_is_nothing_to_compare(run, clip: Path) -> None:
    ran = run("evaluate", clip, f"same={clip}")
    assert ran.code == 0
    assert "No subject was found" in ran.out
