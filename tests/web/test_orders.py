"""What the page asks for, as jobs and commands."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from redetail.engines.spec import ModelSpec
from redetail.errors import RedetailError, SettingsError
from redetail.job import Job, to_toml
from redetail.selection.detected import DetectorSelection
from redetail.selection.filters import WhoFilter
from redetail.web.folder import Folder
from redetail.web.marks import Marks
from redetail.web.orders import TRACKS, Desk, Order
from redetail.web.queue import RunQueue
from redetail.web.runs import Run, RunStore, State


class Idle:
    """A process that never ends."""

    def poll(self) -> None:
        return None


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    for name in ("a.mp4", "anna.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    folder = Folder.of(tmp_path)
    return Desk(folder, RunQueue(RunStore(folder.state / "runs"), lambda run: Idle()))


def found(desk: Desk, **asked: Any) -> Run:
    """A search that is done."""
    return replace(desk.find(Order(clip="a.mp4", **asked)), state=State.DONE)


def test_what_is_looked_for_is_in_the_search_and_in_the_job(desk: Desk) -> None:
    order = Order(clip="a.mp4", detect="hands", who=["anna.png"])
    anna = desk.folder.root / "anna.png"
    assert {"--detect=hands", f"--who={anna}"} < set(desk.find(order).commands[0])
    job = desk.job(order)
    assert job.selection == (DetectorSelection("hands"),)
    assert job.filters == (WhoFilter((anna,)),)


def test_marks_alone_are_what_is_detailed(desk: Desk) -> None:
    job = desk.job(Order(clip="a.mp4", detect="face", marks=Marks.parse("1,2,30,40\n5,6,20,30@3f")))
    assert job.to_document()["box"] == [[1, 2, 30, 40]]
    assert job.to_document()["follow"] == ["5,6,20,30@3f"]
    assert "detect" not in job.to_document()


def test_chosen_subjects_are_those_of_this_search(desk: Desk) -> None:
    run = found(desk, detect="hands")
    with pytest.raises(SettingsError, match='press "Find subjects" again'):
        desk.job(Order(clip="a.mp4", detect="people", found=run, chosen=["hand 1"]))
    job = desk.job(Order(clip="a.mp4", detect="hands", found=run, chosen=["hand 1"]))
    assert job.files[0] == run.folder / TRACKS


def test_nobody_chosen_is_refused(desk: Desk) -> None:
    with pytest.raises(SettingsError, match="No subject is selected"):
        desk.job(Order(clip="a.mp4", detect="face", found=found(desk, detect="face"), chosen=[]))


def test_a_person_is_not_searched_for_among_marks(desk: Desk) -> None:
    with pytest.raises(SettingsError, match='press "Find subjects"'):
        desk.job(Order(clip="a.mp4", who=["anna.png"], marks=Marks.parse("1,2,30,40")))


@pytest.mark.parametrize(
    "asked",
    [{"detect": "cats"}, {"detect": 7}, {"who": ["../a.png"]}, {"who": ["a.mp4"]}, {"who": "anna.png"}, {"who": [3]},
     {"who": ["anna.png"] * 17}],
)  # fmt: skip
def test_other_names_are_refused_and_queue_nothing(desk: Desk, asked: dict[str, Any]) -> None:
    for act in (desk.find, desk.detail, desk.preview):
        with pytest.raises(RedetailError):
            act(Order(clip="a.mp4", **asked))
    assert desk.queue.runs() == []


def test_a_batch_looks_for_the_same(desk: Desk) -> None:
    (desk.folder.root / "takes").mkdir()
    run = desk.batch(Order(clip=None, detect="people", who=["anna.png"]), "takes", "")
    text = (run.folder / "job.toml").read_text()
    assert 'detect = "people"' in text
    assert "anna.png" in text


def test_the_mask_of_a_job_file_is_there_for_it(desk: Desk) -> None:
    order = Order(clip="a.mp4", mask=np.eye(4, dtype=np.uint8) * 255)
    jobs = [desk.kept_job(order) for _ in range(2)]
    assert jobs[0] == jobs[1]
    assert [path.name for path in jobs[0].files] == ["mask.png"]
    assert jobs[0].files[0].is_file()


def test_a_config_file_is_in_every_job_and_no_command_reads_one(tmp_path: Path) -> None:
    model = ModelSpec(checkpoint=Path("/weights/sd15.ckpt"), motion_module=Path("/weights/mm.ckpt"))
    config = Job(strict=True, model=model, settings={"steps": 7})
    for name in ("a.mp4", "other.ckpt"):
        (tmp_path / name).write_bytes(b"")
    folder = Folder.of(tmp_path)
    desk = Desk(folder, RunQueue(RunStore(folder.state / "runs"), lambda run: Idle()), config)
    assert desk.defaults("").steps == 7
    job = desk.job(Order(clip="a.mp4"))
    assert (job.model, dict(job.settings), job.strict, job.config) == (model, {"steps": 7}, True, False)
    other = desk.job(Order(clip="a.mp4", model={"checkpoint": "other.ckpt"}))
    assert other.model == ModelSpec(checkpoint=tmp_path / "other.ckpt")
    assert desk.read_text("source = 'a.mp4'\n").settings == job.settings
    assert desk.read_text("source = 'a.mp4'\nconfig = false\n").settings == {}
    assert desk.read_text(to_toml(job.to_document())) == job
    with pytest.raises(RedetailError, match="outside"):
        desk.read_text("[model]\ncheckpoint = '/weights/sdxl.ckpt'\n")
    runs = desk.find(Order(clip="a.mp4")), desk.detail(Order(clip="a.mp4")), desk.preview(Order(clip="a.mp4"))
    assert all("--no-config" in command for run in runs for command in (*run.commands, *run.again))
    assert "--strict" in runs[0].commands[0]
