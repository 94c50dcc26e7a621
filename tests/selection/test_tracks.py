"""Tracks as documents: written, read again, edited, detailed."""

import json
from pathlib import Path

import numpy as np
import pytest

import redetail
from redetail.cli.main import main
from redetail.documents import line_of
from redetail.engines import FakeEngine
from redetail.errors import InputError, RegionError, UnknownNameError
from redetail.region import Size
from redetail.selection.track_edits import dropped, kept, merged, renamed, split
from redetail.selection.tracks_document import SubjectTrack, Tracklet, Tracks
from tests.clips import CLIPS

CLIP = CLIPS / "two_people.mp4"


def tracklet(start: int, frames: int, x: float = 10, fade: int = 0) -> Tracklet:
    boxes = np.tile([x, 10, x + 20, 40], (frames, 1)) + np.arange(frames)[:, None] / 3
    return Tracklet(start, boxes, 0.9, fade, fade)


TRACKS = Tracks(
    Size(200, 100),
    (
        SubjectTrack("face 1", (tracklet(0, 10), tracklet(20, 5))),
        SubjectTrack("face 2", (tracklet(0, 30, 90, 5),)),
        SubjectTrack("face 3", (tracklet(10, 8),)),
    ),
)


def spans(tracks: Tracks) -> dict[str, list[tuple[int, int]]]:
    return {one.label: [(seen.start, seen.stop) for seen in one.tracklets] for one in tracks.subjects}


def test_a_document_comes_back_to_the_bit() -> None:
    text = TRACKS.to_text()
    again = Tracks.from_text(text, Path("t.json"))
    assert again.to_text() == text
    assert (again.subjects[0].tracklets[1].boxes == TRACKS.subjects[0].tracklets[1].boxes).all()


def test_edits() -> None:
    assert list(spans(dropped(TRACKS, [2]))) == ["face 1", "face 3"]
    assert list(spans(kept(TRACKS, [3, "face 1"]))) == ["face 1", "face 3"]
    assert list(spans(renamed(TRACKS, 2, "anna"))) == ["face 1", "anna", "face 3"]
    assert spans(merged(TRACKS, ["face 3", 1])) == {"face 2": [(0, 30)], "face 3": [(0, 10), (10, 18), (20, 25)]}
    both = split(TRACKS, 2, 12)
    assert spans(both)["face 2"] == [(0, 12)]
    assert spans(both)["face 2 from 12"] == [(12, 30)]
    assert [(t.fade_in, t.fade_out) for t in (both.subjects[1].tracklets[0], both.subjects[3].tracklets[0])] == [
        (5, 0),
        (0, 5),
    ]
    assert spans(split(TRACKS, 1, 15))["face 1 from 15"] == [(20, 25)]
    joined = merged(both, [2, 4])
    assert (
        np.concatenate([t.boxes for t in joined.subjects[1].tracklets]) == TRACKS.subjects[1].tracklets[0].boxes
    ).all()


def test_edits_that_cannot_be_are_refused() -> None:
    with pytest.raises(RegionError, match="face 1 and face 2 cannot be merged, because they overlap in frame 0"):
        merged(TRACKS, [1, 2])
    with pytest.raises(RegionError, match="cannot be split at frame 30; its frames are 0 to 29"):
        split(TRACKS, 2, 30)
    with pytest.raises(RegionError, match="cannot be called 'face 2'"):
        renamed(TRACKS, 1, "face 2")
    with pytest.raises(UnknownNameError, match=r"no track named 7; choose one of: 1 \(face 1\)"):
        dropped(TRACKS, [7])


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"tracks_version": 1', '"tracks_version": 9', "line 2: tracks_version must be 1, not 9"),
        ('"start": 20', '"start": 9', r"line 18: tracks\[0\].tracklets\[1\].start must be at least 10"),
        ('"start": 20', '"start": -1', r"line 18: tracks\[0\].tracklets\[1\].start must be a whole number of at"),
        ('"face 3"', '"face 1"', r"tracks\[2\].label is 'face 1', which is also the label of another track"),
        ('"fade_in"', '"fade"', r"line 6: tracks\[0\].tracklets\[0\].fade is not a known key"),
        ("[10.0, 10.0, 30.0, 40.0]", "[10.0, 10.0, 300.0, 40.0]", "line 7: .* inside the 200x100-pixel frame"),
        ("[10.0, 10.0, 30.0, 40.0]", "[10.0, 10.0, 30.0]", r"line 7: .*boxes\[0\] must be four numbers"),
        ('"confidence": 0.9', '"confidence": "high"', "line 6: .*confidence must be a number, not 'high'"),
        ("[200, 100]", "[200, 0]", r"line 3: size\[1\] must be a whole number of at least 1, not 0"),
        ("]}\n ]}", "]}\n ]", r"is not a JSON document"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_line_and_key(old: str, new: str, sentence: str) -> None:
    text = TRACKS.to_text()
    assert old in text
    with pytest.raises(RegionError, match=sentence) as caught:
        Tracks.from_text(text.replace(old, new, 1), Path("t.json"))
    assert str(caught.value).startswith("t.json")
    assert str(caught.value).count("\n") == 0


def test_the_line_of_a_value() -> None:
    text = '{\n "a": [1,\n  {"b":\n "}"}],\n "c": 0}'
    assert [line_of(text, keys) for keys in ((), ("a",), ("a", 1), ("a", 1, "b"), ("c",), ("a", 7))] == [
        1,
        2,
        3,
        4,
        5,
        2,
    ]


def test_tracks_give_the_pixels_of_the_run_that_finds_them(tmp_path: Path) -> None:
    path = tmp_path / "tracks.json"
    assert main(["track", str(CLIP), "--end", "10f", "-o", str(path), "-q"]) == 0
    document = json.loads(path.read_text())
    assert [(tmp_path / one["thumbnail"]).is_file() for one in document["tracks"]] == [True, True]
    small = {"guide_size": 32, "max_size": 64, "crop_factor": 2.0}
    options = {"end": "10f", "engine": FakeEngine(), **small}
    found, read = redetail.detail(CLIP, **options), redetail.detail(CLIP, tracks=path, **options)
    assert found.frames is not None
    assert (found.frames == read.frames).all()
    assert [crop.track for crop in read.report.plan.crops] == [crop.track for crop in found.report.plan.crops]
    (cut,) = redetail.plan(CLIP, tracks=path, start="4f", end="7f", only=2, engine=FakeEngine()).regions
    assert (cut.start, cut.stop) == (4, 7)


def test_the_command_edits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, new = tmp_path / "tracks.json", tmp_path / "new.json"
    path.write_text(TRACKS.to_text())
    edits = ["--drop", "3", "--rename", "1=anna", "--split", "2@12f"]
    assert main(["track", "--edit", str(path), *edits, "-o", str(new)]) == 0
    assert list(spans(Tracks.from_text(new.read_text(), new))) == ["anna", "face 2", "face 2 from 12"]
    assert "2. face 2: frames 0 to 11" in capsys.readouterr().out
    for arguments, sentence in (
        (["--edit", str(path)], "No edit was given"),
        (["--drop", "1"], "Name either the video to search"),
        ([str(CLIP), "--box", "1,1,50,50"], "--box cannot be written as tracks"),
        (["--edit", str(path), "--split", "2"], "give TRACK@FRAME"),
        (["--edit", str(path), "--rename", "2"], "give TRACK=LABEL"),
        (["--edit", str(tmp_path / "no.json"), "--drop", "1"], "cannot be read"),
    ):
        assert main(["track", *arguments, "-o", str(tmp_path / "other.json")]) == 2
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "other.json").exists()


def test_the_command_writes_what_was_followed_and_where_it_was_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, busker = tmp_path / "tracks.json", CLIPS / "busker.mp4"
    box = "223,164,258,186@48f"
    assert main(["track", str(busker), "--follow", box, "--start", "44f", "--end", "60f", "-o", str(path)]) == 0
    assert "Note: followed 1 is not visible from" in capsys.readouterr().err
    (subject,) = Tracks.from_text(path.read_text(), path).subjects
    assert [(one.start, one.stop) for one in subject.tracklets] == [(44, 52), (55, 60)]
    assert (tmp_path / "tracks-thumbnails" / "1.png").is_file()


def test_thumbnails_replace_nothing_of_somebody_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a-thumbnails").write_text("mine")
    (tmp_path / "b-thumbnails").mkdir()
    (tmp_path / "b-thumbnails" / "1.png").write_text("mine")
    for name, words in (
        ("a", "is a file, but the thumbnails need"),
        ("b", "already contains files; choose another output"),
    ):
        assert main(["track", str(CLIP), "--end", "2f", "-o", str(tmp_path / f"{name}.json")]) == 2
        assert words in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-thumbnails", "b-thumbnails"]
    assert (tmp_path / "b-thumbnails" / "1.png").read_text() == "mine"


def test_tracks_of_other_frames_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tracks.json"
    path.write_text(TRACKS.to_text())
    with pytest.raises(
        RegionError,
        match=r"tracks.json: The tracks are for 200x100-pixel frames, but the frames of this clip are 60x40",
    ):
        redetail.plan(np.zeros((2, 40, 60, 3), np.uint8), tracks=path, engine=FakeEngine())
    with pytest.raises(InputError, match="cannot be read"):
        redetail.plan(np.zeros((2, 40, 60, 3), np.uint8), tracks=tmp_path / "no.json", engine=FakeEngine())
