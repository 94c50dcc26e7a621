"""Names that cannot be written are refused before any work, on systems that differ."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from redetail.errors import InputError, OutputError, RedetailError
from redetail.video import array_source, open_sink, open_source
from redetail.video.target import check_name, check_target


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("CON.mp4", "device"),
        ("nul", "device"),
        ("com1.tar.mp4", "device"),
        ("a:b.mp4", "':'"),
        ("what?.mp4", r"'\?'"),
        ("tab\t.mp4", r"'\\t'"),
        ("dot.", "ends in a dot"),
        ("n" * 235 + ".mp4", "longer than 240"),
    ],
)
def test_names_that_windows_cannot_have(name: str, words: str) -> None:
    with pytest.raises(OutputError, match=words):
        check_name(Path(name), windows=True)
    check_name(Path(name), windows=False)


@pytest.mark.parametrize("name", ["console.mp4", "a.con", "COM10.mp4", "über 日本.mp4"])
def test_names_that_windows_can_have(name: str) -> None:
    check_name(Path(name), windows=True)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a\0b.mp4", "null character"),
        ("n" * 300 + ".mp4", "too long"),
        ("字" * 86 + ".mp4", "too long"),
        ("-", "output"),
    ],
)
def test_names_that_no_system_can_have(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(OutputError, match=words):
        check_target(tmp_path / name, None)


NAMES = {
    "cjk": "字" * 80,
    "emoji": "😀" * 60,
    "long": "n" * 250,
    "tilde": "~",
    "bytes": os.fsdecode(b"\xff\xfe"),
    "line break": "a\nb",
    "pattern": "%03d",
}


@pytest.mark.parametrize("stem", NAMES.values(), ids=NAMES)
def test_names_of_every_kind_are_written_and_read(tmp_path: Path, gradients, stem: str) -> None:
    path = tmp_path / f"{stem}.mkv"
    source = array_source(gradients(2, 16, 16))
    with open_sink(path, source) as sink:
        for frame in source.frames():
            sink.write(frame)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert sum(1 for _ in open_source(path).frames()) == 2


def test_links_in_a_circle_and_to_nowhere(tmp_path: Path, gradients) -> None:
    source = array_source(gradients(2, 16, 16))
    (tmp_path / "a.mp4").symlink_to(tmp_path / "b.mp4")
    (tmp_path / "b.mp4").symlink_to(tmp_path / "a.mp4")
    (tmp_path / "lost.mp4").symlink_to(tmp_path / "nowhere" / "c.mp4")
    for name, words in {"a.mp4": "leads to itself", "lost.mp4": "does not exist; create it first"}.items():
        with pytest.raises(OutputError, match=words):
            open_sink(tmp_path / name, source)
        with pytest.raises(InputError, match="There is no file"):
            open_source(tmp_path / name)


@pytest.mark.parametrize("name", ["a\0b.mp4", "n" * 300, "\ud800.mp4", "", "~nobody-of-that-name/a.mp4"], ids=range(5))
def test_inputs_with_names_that_cannot_be(name: str) -> None:
    with pytest.raises(RedetailError):
        open_source(name)
