"""Work of a stopped run: kept where it is worth something, resumed on request, never mixed, removed at the end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from redetail import api, claims
from redetail.engines import FakeEngine
from redetail.errors import Cancelled, InputError
from redetail.job import Job
from redetail.pipeline.manifest import engine_identity
from redetail.pipeline.work import Work
from redetail.video import array_source
from tests.cli.conftest import pictures, write_video

BOXES = ("--box", "8,8,40,40", "--box", "50,30,90,70", "--guide-size", "64", "--steps", "2")


class Stopping(FakeEngine):
    """Is stopped in its ``last``-th request (None: never), as by Ctrl-C."""

    def __init__(self) -> None:
        super().__init__()
        self.last: int | None = None
        self.done = 0

    def run(self, request) -> None:
        self.done += 1
        if self.done == self.last:
            raise Cancelled("Stopped on request.")
        super().run(request)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Stopping:
    engine = Stopping()
    monkeypatch.setattr(api, "load_engine", lambda model=None, **options: engine)
    monkeypatch.setattr(claims, "_FRESH", 0.0)
    return engine


@pytest.fixture
def stopped(run, engine: Stopping, clip: Path, tmp_path: Path):
    """A command that was stopped in its second task, and the folder of its output."""
    folder = tmp_path / "out"
    folder.mkdir()
    command = ("detail", clip, "-o", folder / "out.mp4", *BOXES)
    engine.last = 2
    assert run(*command).code == 130
    engine.last, engine.done = None, 0
    return command, folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def work(folder: Path) -> Path:
    (found,) = folder.glob(".out.redetail-*.work")
    return found


def test_a_stopped_run_goes_on_with_resume_only(run, engine: Stopping, stopped, tmp_path: Path) -> None:
    command, folder = stopped
    refused = run(*command)
    assert refused.code == 2
    assert refused.err == (
        f"redetail: An earlier run that was writing {folder / 'out.mp4'} did not finish; continue it with --resume, "
        f"or delete its intermediate files with: redetail clean {work(folder)}\n"
    )
    done = run(*command, "--resume")
    assert (done.code, engine.done, names(folder)) == (0, 1, ["out.mp4"])
    whole = tmp_path / "whole.mp4"
    assert run("detail", command[1], "-o", whole, *BOXES).code == 0
    assert (folder / "out.mp4").read_bytes() == whole.read_bytes()


def test_tiles_of_the_background_that_are_done_are_not_done_again(
    run, engine: Stopping, clip: Path, tmp_path: Path
) -> None:
    options = (*BOXES, "--scale", "2", "--background", "model", "--max-size", "64")
    engine.last = 6
    assert run("detail", clip, "-o", tmp_path / "out.mp4", *options).code == 130
    engine.last, done = None, 5
    assert run("detail", clip, "-o", tmp_path / "out.mp4", *options, "--resume").code == 0
    resumed, engine.done = engine.done - 6, 0
    assert run("detail", clip, "-o", tmp_path / "whole.mp4", *options).code == 0
    assert (resumed, engine.done > 6) == (engine.done - done, True)
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_what_is_kept_is_said_when_a_run_stops(run, engine: Stopping, clip: Path, tmp_path: Path) -> None:
    engine.last = 2
    said = run("detail", clip, "-o", tmp_path / "out.mp4", *BOXES).err
    assert f"with: redetail clean {work(tmp_path)}\n" in said


def test_a_run_that_has_finished_nothing_leaves_nothing(run, engine: Stopping, clip: Path, tmp_path: Path) -> None:
    engine.last = 1
    assert run("detail", clip, "-o", tmp_path / "out.mp4", *BOXES).code == 130
    assert names(tmp_path) == ["clip.mp4"]


def test_resuming_nothing_starts_from_the_beginning(run, engine: Stopping, clip: Path, tmp_path: Path) -> None:
    done = run("detail", clip, "-o", tmp_path / "out.mp4", *BOXES, "--resume")
    assert done.code == 0
    assert "Note: There is no unfinished run that was writing" in done.err
    assert names(tmp_path) == ["clip.mp4", "out.mp4"]


@pytest.mark.parametrize("what", ["source", "job", "version of redetail", "engine"])
def test_what_differs_is_said_and_nothing_is_mixed(run, engine: Stopping, stopped, what: str, monkeypatch) -> None:
    command, folder = stopped
    more: tuple[str, ...] = ()
    if what == "source":
        write_video(command[1], pictures()[::-1])
    elif what == "job":
        more = ("--seed", "5")
    elif what == "engine":
        monkeypatch.setattr(engine, "_capabilities", replace(engine.capabilities, name="other"))
    else:
        file = work(folder) / "manifest.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "redetail": "0.0.1"}))
    before = names(work(folder) / "results")
    refused = run(*command, "--resume", *more)
    assert refused.code == 2
    assert f"was created with another {what}, so its results cannot be used" in refused.err
    assert (names(work(folder) / "results"), engine.done) == (before, 0)


def test_another_input_file_is_another_run(run, engine: Stopping, clip: Path, tmp_path: Path) -> None:
    mask = write_video(tmp_path / "mask.mp4", [np.full((80, 96, 3), 255, np.uint8)] * 6)
    command = ("detail", clip, "-o", tmp_path / "out.mp4", "--mask", mask, "--guide-size", "64", "--keep-work")
    assert run(*command).code == 0
    write_video(mask, [np.full((80, 96, 3), 200, np.uint8)] * 6)
    assert "was created with other input files" in run(*command, "--resume", "--overwrite").err


def test_work_is_kept_on_request_and_cleaned(run, engine: Stopping, clip: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "work"
    elsewhere.mkdir()
    command = ("detail", clip, "-o", tmp_path / "out.mp4", *BOXES, "--keep-work", "--work-dir", elsewhere)
    assert run(*command).code == 0
    assert run(*command, "--resume").code == 2  # the output is complete
    assert run(*command, "--resume", "--overwrite").code == 0  # and can be written again without computing it
    assert engine.done == 2
    kept = work(elsewhere)
    assert run("clean", elsewhere, "--dry-run").out == f"would remove {kept}\n"
    assert run("clean", kept).out == f"removed {kept}\n"
    assert names(elsewhere) == []


def test_an_output_that_was_being_written_is_written_again(run, stopped) -> None:
    command, folder = stopped
    (folder / "out.mp4").write_bytes(b"complete, but the run was stopped before it could say so")
    (work(folder) / "writing").touch()
    assert run(*command, "--resume").code == 0
    assert len((folder / "out.mp4").read_bytes()) > 1000


@pytest.fixture
def written(run, engine: Stopping, clip: Path, tmp_path: Path):
    """A command that was killed after its folders had their names, and before its work was removed."""
    command = ("detail", clip, "-o", tmp_path / "out", *BOXES, "--compare", tmp_path / "both", "--keep-work")
    assert run(*command).code == 0
    (work(tmp_path) / "writing").touch()
    return command[:-1]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_folders_that_were_being_written_are_written_again(run, written, tmp_path: Path) -> None:
    before = contents(tmp_path / "out"), contents(tmp_path / "both")
    assert run(*written, "--resume").code == 0
    assert (contents(tmp_path / "out"), contents(tmp_path / "both")) == before
    assert names(tmp_path) == ["both", "clip.mp4", "out"]


def test_folders_come_back_where_the_run_fails(run, written, tmp_path: Path) -> None:
    before = contents(tmp_path / "out"), contents(tmp_path / "both")
    assert "was created with another job" in run(*written, "--resume", "--seed", "5").err
    assert (contents(tmp_path / "out"), contents(tmp_path / "both")) == before
    assert names(tmp_path) == [work(tmp_path).name, "both", "clip.mp4", "out"]


def test_a_folder_with_other_files_is_not_written_again(run, written, tmp_path: Path) -> None:
    (tmp_path / "out" / "notes.txt").write_text("mine")
    refused = run(*written, "--resume")
    assert refused.code == 2
    assert "is not empty; give a new folder" in refused.err
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def test_pictures_of_a_killed_run_are_removed_by_the_next(run, engine: Stopping, clip: Path, tmp_path: Path) -> None:
    left = tmp_path / ".out.redetail-01234567.part"
    left.mkdir()
    (left / "000001.png").write_bytes(b"half of it")
    assert run("detail", clip, "-o", tmp_path / "out", *BOXES).code == 0
    assert names(tmp_path) == ["clip.mp4", "out"]


def test_an_output_of_somebody_else_is_not_replaced(run, stopped) -> None:
    command, folder = stopped
    (folder / "out.mp4").write_bytes(b"mine")
    refused = run(*command, "--resume")
    assert refused.code == 2
    assert "already exists; give another name" in refused.err
    assert (folder / "out.mp4").read_bytes() == b"mine"


def test_work_of_a_running_run_is_left_alone(run, stopped) -> None:
    _, folder = stopped
    with claims.held(work(folder)):
        assert run("clean", folder).out == "Nothing was left behind.\n"


def test_half_made_work_is_made_again(run, engine: Stopping, clip: Path, tmp_path: Path) -> None:
    half = Work().folder_of(tmp_path / "out.mp4")
    half.mkdir()
    (half / "masks-1").write_bytes(b"half")
    assert run("detail", clip, "-o", tmp_path / "out.mp4", *BOXES).code == 0
    assert names(tmp_path) == ["clip.mp4", "out.mp4"]


def test_a_folder_for_work_must_exist(run, engine: Stopping, clip: Path, tmp_path: Path) -> None:
    refused = run("detail", clip, "-o", tmp_path / "out.mp4", *BOXES, "--work-dir", tmp_path / "nowhere")
    assert refused.code == 2
    assert "There is no folder" in refused.err


def test_too_little_room_is_refused_with_what_would_fit(run, engine: Stopping, clip: Path, tmp_path: Path) -> None:
    command = ("detail", clip, "-o", tmp_path / "out.mp4", *BOXES)
    assert "  work space: up to 3.6 MB\n" in run(*command, "--dry-run").out
    refused = run(*command, "--work-space", "300kB")
    assert refused.code == 2
    assert (
        "need up to 3.6 MB of work space, but the limit is 0.3 MB; raise the limit with --work-space, or" in refused.err
    )
    assert (engine.done, names(tmp_path)) == (0, ["clip.mp4"])
    assert run(*command, "--work-space", "much").err == (
        "redetail: work-space is 'much'; give a size such as 20GB or 500MB.\n"
    )
    assert run(*command, "--work-space", "4.5 MiB").code == 0


def test_outputs_of_one_name_do_not_share_work(tmp_path: Path) -> None:
    where = Work(folder=tmp_path)
    assert where.folder_of(tmp_path / "a" / "out.mp4") != where.folder_of(tmp_path / "b" / "out.mp4")
    assert Work().folder_of(tmp_path / "out.mp4") != Work().folder_of(tmp_path / "out.mkv")


def test_the_library_keeps_work_of_jobs_in_files_only(tmp_path: Path) -> None:
    job = Job(source=array_source(np.zeros((2, 64, 64, 3), np.uint8)), output=tmp_path / "out.mp4")
    with pytest.raises(ValueError, match="its source is an object in memory"):
        api.run(job, engine=FakeEngine(), work=Work())
    with pytest.raises(InputError, match="There is no folder"):
        api.run(job, engine=FakeEngine(), work=Work(folder=tmp_path / "nowhere"))


def test_an_engine_may_use_memory_otherwise_when_it_goes_on() -> None:
    at_first = {"device": "cuda:0", "dtype": "float16", "attention": "sdpa", "vae_pixels": 10**6, "vae_tile": 0}
    plain = replace(FakeEngine().capabilities, placement=at_first)
    for key, value in {"device": "cuda:1", "attention": "sliced", "vae_pixels": 10**5, "offload": True}.items():
        other = replace(plain, placement={**at_first, key: value})
        assert engine_identity(other) == engine_identity(plain)
    for key, value in {"dtype": "float32", "vae_tile": 256, "window": 16}.items():
        assert engine_identity(replace(plain, placement={**at_first, key: value})) != engine_identity(plain)
