"""Files are complete or not there, on systems that differ."""

import errno
import fcntl
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from redetail import files
from redetail.errors import OutputError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text in ("first", "secönd"):
        files.write_text(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert names(tmp_path) == ["a.json"]


def test_names_that_are_not_text_are_escaped(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a", os.fsdecode(b"clip\xff.mp4"))
    assert (tmp_path / "a").read_bytes() == b"clip\\udcff.mp4"


def fail(error: BaseException) -> Callable[..., None]:
    def raising(*_: object) -> None:
        raise error

    return raising


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full; free some space"),
        (errno.EACCES, "Permission to write .* is denied"),
        (errno.EIO, r"could not be written \(broken\)"),
    ],
)
def test_the_older_file_stays_where_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, number: int, words: str
) -> None:
    (tmp_path / "a").write_text("older")
    monkeypatch.setattr(os, function, fail(OSError(number, "Broken")))
    with pytest.raises(OutputError, match=words):
        files.write_text(tmp_path / "a", "newer")
    assert (tmp_path / "a").read_text() == "older"
    assert names(tmp_path) == ["a"]


def test_an_interrupted_block_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with files.replacing(tmp_path / "a") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == []


def test_a_folder_replaces_an_empty_one_only(tmp_path: Path) -> None:
    for name in ("made", "again", "wanted"):
        (tmp_path / name).mkdir()
    (tmp_path / "made" / "0001.png").write_bytes(b"1")
    files.rename(tmp_path / "made", tmp_path / "wanted")
    assert names(tmp_path / "wanted") == ["0001.png"]
    with pytest.raises(OSError, match="not empty"):
        files.rename(tmp_path / "again", tmp_path / "wanted")


def test_files_get_their_names_together_or_not_at_all(tmp_path: Path) -> None:
    contents = {tmp_path / "a": b"1", tmp_path / "b": b"2"}
    (tmp_path / "b").write_bytes(b"older")

    def failing() -> None:
        with files.made_folder(tmp_path / "c" / "d"), files.writing_together({**contents, tmp_path / "c/d/e": b"3"}):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failing()
    assert names(tmp_path) == ["b"]
    assert (tmp_path / "b").read_bytes() == b"older"
    with pytest.raises(OutputError, match="nowhere"), files.writing_together({**contents, tmp_path / "nowhere/c": b""}):
        pass
    assert names(tmp_path) == ["b"]
    with files.writing_together(contents):
        assert (tmp_path / "b").read_bytes() == b"older"
    assert [(tmp_path / name).read_bytes() for name in names(tmp_path)] == [b"1", b"2"]


def test_a_folder_that_was_there_or_that_holds_something_stays(tmp_path: Path) -> None:
    def failing(folder: Path, name: str | None) -> None:
        with files.made_folder(folder):
            if name is not None:
                (folder / name).touch()
            raise KeyboardInterrupt

    (tmp_path / "old").mkdir()
    for folder, name in (("old", None), ("new/deep", "kept"), ("gone/deep", None)):
        with pytest.raises(KeyboardInterrupt):
            failing(tmp_path / folder, name)
    assert names(tmp_path) == ["new", "old"]
    with pytest.raises(OutputError, match="file exists"), files.made_folder(tmp_path / "new/deep/kept"):
        pass


def test_names_are_asked_for_without_an_error() -> None:
    """``Path.exists`` and its like raise for names that are too long or lie in a closed folder; ``os.path`` does not.

    Files named here catch that, or ask only for names of their own.
    """
    own = ("files.py", "claims.py", "video/inputs.py", "web/", "comfy/", "cluster/")
    root = Path(files.__file__).parent
    sources = {str(path.relative_to(root)): path.read_text(encoding="utf-8") for path in root.rglob("*.py")}
    asking = re.compile(r"\.(exists|is_file|is_dir|is_symlink)\(\)")
    assert [name for name, text in sources.items() if asking.search(text) and not name.startswith(own)] == []


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushing needs a descriptor for writing, and a folder cannot be opened."""
    fsync, opened = os.fsync, os.open

    def flush(descriptor: int) -> None:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        fsync(descriptor)

    def open_file(path: Path, flags: int, *more: int) -> int:
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, flags, *more)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "open", open_file)


@pytest.mark.usefixtures("windows")
def test_windows(tmp_path: Path) -> None:
    files.write_bytes(tmp_path / "a", b"1")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "b").write_bytes(b"2")
    files.rename(tmp_path / "folder", tmp_path / "wanted")
    assert names(tmp_path) == ["a", "wanted"]


def test_hidden_names_fit_any_file_system() -> None:
    hidden = files.hidden_name(Path("n" * 240 + ".mp4"))
    assert len(hidden.name) < 255
    assert hidden.name.startswith(".n")
    assert hidden.suffix == ".mp4"
    assert files.hidden_name(Path("a")) != files.hidden_name(Path("a"))


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    real, link = tmp_path / "disk" / "real.json", tmp_path / "link.json"
    real.parent.mkdir()
    link.symlink_to(real)
    for text in ("first", "second"):  # at first it leads to nothing
        files.write_text(link, text)
        assert real.read_text() == text
        assert link.is_symlink()
    assert names(real.parent) == ["real.json"]


def test_a_result_is_kept_where_its_name_is_open_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows lets nobody replace a file that another program has open."""
    path, replace = tmp_path / "out.json", os.replace
    path.write_text("in use")

    def windows(source: Path, target: Path) -> None:
        if target == path:
            raise PermissionError(errno.EACCES, "Access is denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", windows)
    with pytest.raises(OutputError, match=r"another program has it open; the result is kept as .*out-\w{8}\.json\."):
        files.write_text(path, "hours of work")
    assert sorted(one.read_text() for one in tmp_path.iterdir()) == ["hours of work", "in use"]


def test_the_home_of_nobody_is_a_name_like_others() -> None:
    assert files.expanded("~nobody-of-that-name/a.mp4") == Path("~nobody-of-that-name/a.mp4")
    assert files.expanded("~/a.mp4") == Path.home() / "a.mp4"
