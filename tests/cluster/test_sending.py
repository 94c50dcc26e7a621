"""Files and folders as values."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from redetail.cluster.sending import packed, stamp, unpack
from redetail.errors import OutputError


def test_a_file_and_a_folder_come_back_as_they_were(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(bytes([number]) * number)
    unpack(packed(folder), tmp_path / "again")
    unpack(packed(folder / "2.png"), tmp_path / "one.png")
    assert packed(tmp_path / "again") == packed(folder) == {"0.png": b"", "1.png": b"\1", "2.png": b"\2\2"}
    assert (tmp_path / "one.png").read_bytes() == b"\2\2"


def test_what_does_not_exist_is_nothing(tmp_path: Path) -> None:
    unpack(packed(tmp_path / "nothing"), tmp_path / "new")
    assert (packed(tmp_path / "nothing"), stamp(tmp_path / "nothing"), list(tmp_path.iterdir())) == ({}, (), [])


def test_another_file_of_the_same_name_has_another_stamp(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(b"clip")
    before = stamp(file)
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    assert stamp(file) != before


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        unpack({"a.png": b""}, tmp_path / "file" / "folder")
