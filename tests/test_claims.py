"""Names are claimed by locks that die with their process; what killed runs left is found, what runs is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import pytest

from redetail import claims, files, locks, uninterrupted
from redetail.errors import OutputError
from redetail.video import target

OLD = time.time() - 60


class Windows:
    """``os`` with files as Windows has them: an open temporary file keeps its name, a closed one is gone."""

    O_CREAT, O_EXCL, O_RDWR = os.O_CREAT, os.O_EXCL, os.O_RDWR

    def __init__(self) -> None:
        self._open: dict[int, Path] = {}

    def open(self, path: Path, flags: int) -> int:
        if path in self._open.values():
            raise PermissionError(13, "the file is about to be deleted", str(path))
        descriptor = os.open(path, flags & ~WINDOWS_TEMPORARY)
        self._open[descriptor] = path
        return descriptor

    def close(self, descriptor: int) -> None:
        os.close(descriptor)
        if path := self._open.pop(descriptor, None):
            path.unlink(missing_ok=True)


WINDOWS_TEMPORARY = 0x40000000


@pytest.fixture(params=["this system", "windows"], autouse=True)
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both kinds of locks; what a kill does to them is tested where the system itself does it."""
    if request.param == "windows":
        monkeypatch.setattr(locks, "os", Windows())
        monkeypatch.setattr(locks, "TEMPORARY", WINDOWS_TEMPORARY)
        monkeypatch.setattr(locks, "lock", locks.companion)
    return str(request.param)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_claimed_name_is_refused_until_it_is_given_back(tmp_path: Path) -> None:
    path, link = tmp_path / "out.mp4", tmp_path / "link.mp4"
    link.symlink_to(path)
    with claims.claimed([path]):
        for name in (path, link, tmp_path / "." / "out.mp4"):
            with pytest.raises(OutputError, match="Another run is writing"), claims.claimed([name]):
                pass
        with claims.claimed([tmp_path / "other.mp4"]):
            pass
    with claims.claimed([path]):
        pass
    assert names(tmp_path) == ["link.mp4"]


def test_all_names_are_given_back_where_one_is_taken(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    with claims.claimed([b]), pytest.raises(OutputError), claims.claimed([a, b]):
        pass
    assert names(tmp_path) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from redetail import claims
from redetail.video.target import Target
folder = Path(sys.argv[1])
with claims.claimed([folder / "out.mp4"]), claims.temporary_folder(folder) as crops:
    (crops / "results").mkdir()
    Target(folder / "out.mp4").create()
    Target(folder / "pictures", folder=True).create()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_left_is_found_and_removed_by_the_next(tmp_path: Path) -> None:
    mine = ["redetail-training", "out.mp4", ".hidden.part", ".notes.redetail-12345678.txt"]
    for name in mine:
        (tmp_path / name).touch()
    subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
    left = [path for path in tmp_path.iterdir() if path.name not in mine]
    assert len(left) == 4
    for path in left:
        os.utime(path, (OLD, OLD))
    with claims.claimed([tmp_path / "out.mp4"]):  # the lock of the dead process is free
        pass
    found = claims.leftovers(tmp_path)
    assert {path.name for path in found} == {path.name for path in left if path.exists()}
    claims.remove(found)
    assert names(tmp_path) == sorted(mine)


def test_what_is_in_use_is_no_leftover(tmp_path: Path) -> None:
    with claims.temporary_folder(tmp_path) as folder, files.replacing(tmp_path / "a.json") as temporary:
        for path in (folder, temporary):
            os.utime(path, (OLD, OLD))
        assert claims.leftovers(tmp_path) == []
        temporary.write_text("x")
    assert names(tmp_path) == ["a.json"]


def interrupt_at(moment: int, folder: Path) -> bool:
    """Take a claim and a folder and probe an output, with a signal at the n-th line of ours until all is done.

    Whether there were as many lines.
    """
    lines = 0
    reached = False
    traced = {module.__file__ for module in (claims, locks, target, uninterrupted)}

    def trace(frame: FrameType, event: str, _: object) -> object:
        nonlocal lines
        if frame.f_code.co_filename not in traced or reached:
            return None
        lines += event == "line"
        if lines == moment and event == "line":
            sys.settrace(None)
            signal.raise_signal(signal.SIGINT)
        return trace

    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # test processes may ignore it
    sys.settrace(trace)
    try:
        with claims.claimed([folder / "out.mp4"]), claims.temporary_folder(folder):
            target.check_target(folder / "out", None, folder=True)
            reached = True
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
        signal.signal(signal.SIGINT, handler)
    return False


def test_a_signal_at_any_moment_leaves_nothing(tmp_path: Path) -> None:
    moments = 1
    while interrupt_at(moments, tmp_path):
        left = [name for name in names(tmp_path) if not name.endswith(".lock")]  # Windows removes it with the process
        assert left == [], f"at line {moments}"
        moments += 1
    assert moments > 150
    with claims.claimed([tmp_path / "out.mp4"]):  # and the name is free
        pass


@pytest.mark.parametrize("stem", ["n" * 250, "字" * 80, "😀" * 60, os.fsdecode(b"\xff" * 200), "a"])
def test_hidden_names_fit_every_file_system(tmp_path: Path, stem: str) -> None:
    hidden = files.hidden_name(tmp_path / f"{stem}.mp4")
    assert len(os.fsencode(hidden.name)) < 200
    hidden.touch()
    assert claims.leftovers(tmp_path) == []  # it was made just now
