"""The folder of the page: what is in it, and what is not let in."""

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redetail.errors import InputError
from redetail.web import folder as folder_module
from redetail.web.folder import Folder, check_readable, media_type, safe_name
from tests.cli.conftest import pictures, write_video


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    root = tmp_path / "clips"
    (root / "takes").mkdir(parents=True)
    (root / "a.mp4").write_bytes(b"a")
    (root / "takes" / "b.mov").write_bytes(b"b")
    (root / "notes.txt").write_text("notes")
    (root / ".hidden.mp4").write_bytes(b"h")
    (tmp_path / "secret.mp4").write_bytes(b"s")
    return Folder.of(root)


def accept(path: Path) -> None:
    """The check of an upload that takes everything."""


def test_names_of_its_files_are_read(folder: Folder) -> None:
    assert folder.inside("a.mp4") == folder.root / "a.mp4"
    assert folder.inside("takes/b.mov") == folder.root / "takes" / "b.mov"


@pytest.mark.parametrize(
    "name",
    [
        "../secret.mp4", "takes/../../secret.mp4", "takes\\..\\..\\secret.mp4", "/etc/passwd", "//server/share/a.mp4",
        "\\\\server\\share\\a.mp4", "C:\\a.mp4", "c:a.mp4", "~/a.mp4", "a.mp4\0", "", "..", "\udcff.mp4", ".hidden.mp4",
        ".redetail/runs", "missing.mp4", None, 3, ["a.mp4"], {"path": "a.mp4"}, "a" * 5000,
    ],
)  # fmt: skip
def test_other_names_are_refused(folder: Folder, name: object) -> None:
    with pytest.raises(InputError):
        folder.inside(name)


@given(st.text())
def test_no_text_leads_out(name: str) -> None:
    folder = Folder(Path(os.path.realpath(os.path.dirname(__file__))), Path("/"))
    try:
        found = folder.inside(name)
    except InputError:
        return
    assert found.is_relative_to(folder.root)


def test_links_that_lead_out_are_refused_and_not_listed(folder: Folder) -> None:
    (folder.root / "out.mp4").symlink_to(folder.root.parent / "secret.mp4")
    (folder.root / "up").symlink_to(folder.root.parent)
    for name in ("out.mp4", "up/secret.mp4"):
        with pytest.raises(InputError):
            folder.inside(name)
    assert sorted(folder.clips()) == ["a.mp4", "takes/b.mov"]


def test_a_link_to_a_file_of_the_folder_is_read(folder: Folder) -> None:
    (folder.root / "same.mp4").symlink_to(folder.root / "a.mp4")
    assert folder.inside("same.mp4") == folder.root / "a.mp4"


def test_paths_of_job_files_are_checked(folder: Folder, tmp_path: Path) -> None:
    folder.check(folder.root / "new.mp4")
    for path in (tmp_path / "secret.mp4", folder.root / ".." / "secret.mp4", Path("owner/model")):
        with pytest.raises(InputError, match="outside"):
            folder.check(path)


def test_models_are_read_from_their_own_folder(folder: Folder, tmp_path: Path) -> None:
    models = tmp_path / "models"
    (models / "whole" / "unet").mkdir(parents=True)
    for name in ("a.safetensors", "whole/model_index.json", "whole/unet/b.safetensors", "readme.md"):
        (models / name).write_bytes(b"")
    apart = Folder.of(folder.root, models)
    assert sorted(apart.model_files()) == ["a.safetensors", "whole"]
    assert apart.model("a.safetensors") == models / "a.safetensors"
    with pytest.raises(InputError):
        apart.model("../clips/a.mp4")
    with pytest.raises(InputError):
        apart.inside("a.safetensors")


def test_an_upload_gets_a_free_name(folder: Folder, tmp_path: Path) -> None:
    upload = tmp_path / "upload"
    upload.write_bytes(b"clip")
    places = [folder.admit(upload, "my clip.MP4", 100, accept) for _ in range(2)]
    assert [folder.name(place) for place in places] == ["uploads/my clip.mp4", "uploads/my clip-2.mp4"]
    assert places[1].read_bytes() == b"clip"


@pytest.mark.parametrize("name", ["page.html", "script.py", "clip", "clip.mp4.exe", "weights.safetensors", ".mp4"])
def test_uploads_of_other_kinds_are_refused(folder: Folder, tmp_path: Path, name: str) -> None:
    (tmp_path / "upload").write_bytes(b"x")
    with pytest.raises(InputError):
        folder.admit(tmp_path / "upload", name, 100, accept)


def test_an_upload_that_is_too_large_or_a_link_is_refused(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "upload").write_bytes(bytes(101))
    (tmp_path / "link").symlink_to(tmp_path / "secret.mp4")
    for name, message in (("upload", "copy the file into this page"), ("link", "did not arrive")):
        with pytest.raises(InputError, match=message):
            folder.admit(tmp_path / name, "a.mp4", 100, accept)
    assert not (folder.root / "uploads").exists()


def test_uploads_do_not_follow_a_link_out_of_the_folder(folder: Folder, tmp_path: Path) -> None:
    (folder.root / "uploads").symlink_to(tmp_path)
    (tmp_path / "upload").write_bytes(b"x")
    with pytest.raises(InputError, match="link"):
        folder.admit(tmp_path / "upload", "a.mp4", 100, accept)


def test_an_upload_is_opened_by_the_reader_of_clips_first(tmp_path: Path) -> None:
    check_readable(write_video(tmp_path / "good.mp4", pictures(2)))
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(1000))
    with pytest.raises(InputError, match="The file"):
        check_readable(bad)


def test_an_upload_that_takes_for_ever_to_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(folder_module, "PATIENCE", 0.05)
    monkeypatch.setattr("redetail.video.open_source", lambda path: gate.wait())
    with pytest.raises(InputError, match=r"could not be read within 0\.05 seconds"):
        check_readable(tmp_path / "slow.mp4")
    gate.set()


@pytest.mark.parametrize(
    ("given", "safe"),
    [
        ("a.mp4", "a.mp4"), ("../../etc/passwd", "passwd"), ("C:\\videos\\a.mp4", "a.mp4"),
        ("a<b>|c.mp4", "a_b__c.mp4"), ("con.mp4", "_con.mp4"), ("..", "_"), ("", "_"), ("Übung 1.mp4", "Übung 1.mp4"),
        ("a\0b.mp4", "a_b.mp4"),
    ],
)  # fmt: skip
def test_names_of_uploads_are_made_safe(given: str, safe: str) -> None:
    assert safe_name(given) == safe


def test_names_of_results_avoid_files_and_what_runs_will_write(folder: Folder) -> None:
    first = folder.result("a", ".mp4")
    first.write_bytes(b"")
    second = folder.result("a", ".mp4")
    assert folder.result("a", ".mp4", {second}).name == "a-3.mp4"


def test_only_videos_and_pictures_are_sent(folder: Folder) -> None:
    assert media_type(folder.root / "a.mp4") == "video/mp4"
    with pytest.raises(InputError):
        media_type(folder.root / "notes.txt")
