"""Names are claimed by locks that die with their process; what killed runs left is found, what runs is left alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from redetail import claims, files
from redetail.errors import OutputError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")
OLD = time.time() - 60


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


@pytest.mark.parametrize("stem", ["n" * 250, "字" * 80, "😀" * 60, os.fsdecode(b"\xff" * 200), "a"])
def test_hidden_names_fit_every_file_system(tmp_path: Path, stem: str) -> None:
    hidden = files.hidden_name(tmp_path / f"{stem}.mp4")
    assert len(os.fsencode(hidden.name)) < 200
    hidden.touch()
    assert claims.leftovers(tmp_path) == []  # it was made just now
