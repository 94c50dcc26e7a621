"""Which clips a batch means and where they go; patterns, lists, folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from redetail.batch import batch_clips, sources_of
from redetail.errors import InputError, OutputError, SettingsError


def touched(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def test_a_folder_means_its_videos_in_natural_order(tmp_path: Path) -> None:
    touched(tmp_path, "b10.mp4", "b9.MOV", "notes.txt", ".b.redetail-0123abcd.part.mp4", "deeper/c.mp4")
    assert [path.name for path in sources_of([tmp_path])] == ["b9.MOV", "b10.mp4"]


def test_a_folder_without_videos_is_one_clip(tmp_path: Path) -> None:
    touched(tmp_path, "1.png", "2.png")
    assert sources_of([tmp_path]) == [tmp_path]


def test_patterns_and_lists_are_expanded_and_each_clip_comes_once(tmp_path: Path) -> None:
    a, b, c = touched(tmp_path, "a.mp4", "b.mp4", "more/c.mkv")
    file = tmp_path / "list.txt"
    file.write_text(f"# clips\n\nb.mp4\n  more  \n{a}\n", encoding="utf-8")
    assert sources_of([f"@{file}"]) == [b, c, a]
    assert sources_of([tmp_path / "*.mp4", f"@{file}"]) == [a, b, c]
    assert sources_of([str(tmp_path / "**" / "*.m*")]) == [a, b, c]


def test_names_with_brackets_are_names_first(tmp_path: Path) -> None:
    (clip,) = touched(tmp_path, "take [1].mp4")
    assert sources_of([clip]) == [clip]


def test_what_means_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No file matches .*\*\.mp4; check the pattern"):
        sources_of([tmp_path / "*.mp4"])
    with pytest.raises(InputError, match=r"The list .* cannot be read \(no such file"):
        sources_of([f"@{tmp_path / 'list.txt'}"])
    for name in ("x" * 300, "\ud800", "a\0b"):
        with pytest.raises(InputError, match="check"):
            sources_of([name])


def test_lists_that_have_no_end_are_refused(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("@two.txt\n")
    (tmp_path / "two.txt").write_text("a.mp4\n@one.txt\n")
    with pytest.raises(InputError, match="includes itself"):
        sources_of([f"@{tmp_path / 'one.txt'}"])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a file on disk"):
        sources_of([f"@{tmp_path / 'pipe'}"])
    (tmp_path / "large.txt").touch()
    os.truncate(tmp_path / "large.txt", 2**25)
    with pytest.raises(InputError, match="larger than 16 MB"):
        sources_of([f"@{tmp_path / 'large.txt'}"])


@pytest.mark.parametrize("pattern", ["{number:999999999}", "{stem:x^100}", "{stem:{number}}"])
def test_names_of_any_length_are_refused(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(SettingsError, match="99 characters wide"):
        batch_clips([tmp_path / "a.mp4"], tmp_path, pattern)


def test_outputs_are_named_by_the_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    sources = [*touched(tmp_path, "x/a.mp4", "y/b.avi"), folder]

    def names(pattern: str) -> list[str]:
        return [
            str(one.output.relative_to(tmp_path / "out")) for one in batch_clips(sources, tmp_path / "out", pattern)
        ]

    assert names("{stem}{suffix}") == ["a.mp4", "b.mkv", "frames"]
    assert names("{parent}/{number:03d}-{stem}.mp4")[:2] == ["x/001-a.mp4", "y/002-b.mp4"]


@pytest.mark.parametrize(
    "pattern", ["{title}.mp4", "{}.mp4", "{stem", "../{stem}.mp4", "/tmp/{stem}.mp4", "", "{stem:q}"]
)
def test_a_pattern_that_cannot_be_used_is_refused(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(SettingsError, match="The name pattern"):
        batch_clips([tmp_path / "a.mp4"], tmp_path / "out", pattern)


def test_clips_that_would_meet_are_refused(tmp_path: Path) -> None:
    sources = touched(tmp_path, "x/a.mp4", "y/a.mp4")
    with pytest.raises(SettingsError, match="would both be written to"):
        batch_clips(sources, tmp_path / "out")
    assert len(batch_clips(sources, tmp_path / "out", "{parent}-{stem}{suffix}")) == 2


def test_an_output_that_is_an_input_is_refused(tmp_path: Path) -> None:
    sources = touched(tmp_path, "a.mp4", "a.better.mp4")
    with pytest.raises(OutputError, match="is also an input of this batch"):
        batch_clips(sources, tmp_path)
    with pytest.raises(OutputError, match="is also an input of this batch"):
        batch_clips(sources, tmp_path, "{stem}.better{suffix}")
