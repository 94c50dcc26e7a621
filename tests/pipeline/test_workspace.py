"""Workspaces: what is done stays done, what does not fit is refused, nothing is mixed."""

import errno
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from redetail.engines.fake import FakeEngine
from redetail.errors import InputError, OutputError
from redetail.pipeline.crop_store import stored_bytes
from redetail.pipeline.manifest import Manifest, engine_identity, source_fingerprint
from redetail.pipeline.tasks import plan_tasks
from redetail.pipeline.workspace import Workspace, estimated_bytes, last_that_fits
from redetail.video import array_source, open_source
from redetail.video.folder_sink import png
from tests.clips import CLIPS
from tests.pipeline.plans import FRAME, crop_plan, pixels, plan_of

PLAN = plan_of(crop_plan(41, most=18), crop_plan(12, start=20, label="face 2"))


def manifest(plan=PLAN, **options):
    values = {"source": None, "engine": engine_identity(FakeEngine().capabilities), "job": {"start": "1s"}, **options}
    return Manifest(plan, **values)


@pytest.fixture(scope="module")
def expected():
    """What a run that is not stopped gives."""
    return pixels(FakeEngine(), PLAN)


class Stopped(Exception):
    """The machine went off."""


class Failing(FakeEngine):
    """Stops in its ``calls``-th call: before its work, between two of its writes, or after it."""

    def __init__(self, calls, moment="before"):
        super().__init__()
        self._left, self._moment, self.made = calls, moment, 0

    def run(self, request):
        self._left -= 1
        if self._left == 0 and self._moment == "before":
            raise Stopped
        super().run(replace(request, write=self._writing(request.write)))
        if self._left == 0:
            raise Stopped
        self.made += 1

    def _writing(self, write):
        def stopped(start, pixels):
            write(start, pixels[:3])
            raise Stopped

        return stopped if self._left == 0 and self._moment == "between" else write


def test_a_plan_comes_back_from_its_workspace(tmp_path):
    masks = list(np.random.default_rng(0).integers(0, 256, (41, 14, 18), np.uint8))
    crop = crop_plan(41, most=18)
    asked = manifest(plan_of(replace(crop, region=replace(crop.region, masks=masks))))
    Workspace.create(tmp_path / "a" / "work", asked)
    opened = Workspace.open(tmp_path / "a" / "work", asked)
    assert opened.manifest.to_document() == asked.to_document()
    assert opened.manifest.plan.crops[0].stretches == crop.stretches


@pytest.mark.parametrize("moment", ["before", "between", "after"])
@pytest.mark.parametrize("calls", [1, 3, 5])
def test_a_stopped_run_goes_on_where_it_stopped(tmp_path, expected, calls, moment):
    space = Workspace.create(tmp_path / "work", manifest())
    with pytest.raises(Stopped):
        pixels(Failing(calls, moment), PLAN, workspace=space)
    opened, engine, reports = Workspace.open(tmp_path / "work"), Failing(0), []
    result = pixels(engine, opened.manifest.plan, workspace=opened, progress=reports.append)
    assert engine.made == 5 - (calls - 1)
    for ours, theirs in zip(result, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    detailed = [report.done for report in reports if report.stage == "detail"]
    assert detailed == sorted(detailed)
    assert detailed[-1] == 41 + 12
    # All is done: another run computes nothing, and gives the same.
    again = Failing(1)
    np.testing.assert_array_equal(pixels(again, PLAN, workspace=Workspace.open(tmp_path / "work"))[1], expected[1])


def test_a_damaged_result_is_made_again(tmp_path, expected):
    space = Workspace.create(tmp_path / "work", manifest())
    pixels(FakeEngine(), PLAN, workspace=space)
    for number, name in enumerate(("1-00002", "2-00001")):
        result = tmp_path / "work" / "results" / f"{name}.crops"
        data = result.read_bytes()
        result.write_bytes(data[:-7] if number else b"\0\0" + data[2:])
    engine = Failing(0)
    result = pixels(engine, PLAN, workspace=Workspace.open(tmp_path / "work"))
    assert engine.made == 2
    np.testing.assert_array_equal(result[0], expected[0])
    np.testing.assert_array_equal(result[1], expected[1])


@pytest.mark.parametrize("writes", [5, 28, 29, 45, 60])
def test_a_full_disk_leaves_a_workspace_that_can_be_continued(tmp_path, expected, monkeypatch, writes):
    space, opened = Workspace.create(tmp_path / "work", manifest()), Path.open
    left = writes

    def until_full(path, mode="r", **options):
        nonlocal left
        left -= mode in ("r+b", "ab")
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(path, mode, **options)

    with monkeypatch.context() as full:
        full.setattr(Path, "open", until_full)
        with pytest.raises(OutputError, match=r"Crops cannot be written to .* \(no space left on device\)"):
            pixels(FakeEngine(), PLAN, workspace=space)
    done = list((tmp_path / "work" / "results").glob("*.crops"))
    assert (len(done) > 0) == (writes > 28)
    engine = Failing(0)
    result = pixels(engine, PLAN, workspace=Workspace.open(tmp_path / "work"))
    assert engine.made == 5 - len(done)
    np.testing.assert_array_equal(result[0], expected[0])


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"source": {"bytes": 1}}, "source"),
        ({"engine": {"name": "other"}}, "engine"),
        ({"job": None}, "job"),
        ({"plan": plan_of(crop_plan(41, most=20))}, "plan"),
    ],
)
def test_what_belongs_to_something_else_is_refused(tmp_path, changed, name):
    Workspace.create(tmp_path / "work", manifest())
    with pytest.raises(InputError, match=f"was created with another {name}, so its results cannot be used; choose"):
        Workspace.open(tmp_path / "work", manifest(**changed))


def test_a_run_checks_its_workspace_itself(tmp_path):
    space = Workspace.create(tmp_path / "work", manifest(engine={"name": "other"}))
    with pytest.raises(InputError, match="was created with another engine"):
        pixels(FakeEngine(), PLAN, workspace=space)


def test_masks_belong_to_the_plan(tmp_path):
    crop = crop_plan(5)
    first, second = (
        manifest(plan_of(replace(crop, region=replace(crop.region, masks=[np.full((14, 18), level, np.uint8)]))))
        for level in (254, 255)
    )
    Workspace.create(tmp_path / "work", first)
    with pytest.raises(InputError, match="another plan"):
        Workspace.open(tmp_path / "work", second)


def test_manifests_that_cannot_be_used_are_named(tmp_path):
    space = Workspace.create(tmp_path / "work", manifest()).folder
    file = space / "manifest.json"
    document = json.loads(file.read_text())

    def refused(text, message):
        file.write_text(text)
        with pytest.raises(InputError, match=message):
            Workspace.open(space)

    refused(
        json.dumps({**document, "version": 99}),
        r"has version 99 \(written by redetail .*\), but this version of redetail reads version 1",
    )
    refused(json.dumps({**document, "format": "x"}), "is not a redetail workspace; choose another folder")
    refused(json.dumps({**document, "plan": {"plan_version": 2}}), "The plan has version 2")
    refused(json.dumps({**document, "plan": 3}), r"The manifest of the workspace .* is damaged")
    refused(json.dumps(document)[:-40], r"The manifest of the workspace .* is damaged")
    refused("[]", "is not a redetail workspace")
    file.unlink()
    with pytest.raises(InputError, match="is not a redetail workspace"):
        Workspace.open(space)


def test_a_folder_with_something_in_it_is_not_touched(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty; choose another folder, or continue the run in it"):
        Workspace.create(tmp_path, manifest())
    with pytest.raises(InputError, match="is not a redetail workspace"):
        Workspace.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_limit_is_checked_before_anything_is_read(tmp_path):
    needed = estimated_bytes(plan_tasks(PLAN, tmp_path))
    space = Workspace.create(tmp_path / "small", manifest(limit=needed - 1))
    with pytest.raises(
        OutputError,
        match=r"but the limit is \d\.\d MB; raise the limit with --work-space, "
        r"or detail only part of the clip \(--end \d+f would fit\)",
    ):
        pixels(FakeEngine(pytest.fail), PLAN, workspace=space)
    pixels(FakeEngine(), PLAN, workspace=Workspace.create(tmp_path / "enough", manifest(limit=needed)))


def test_the_estimate_is_what_is_used_at_most(tmp_path):
    most = 0

    class Measuring(FakeEngine):
        def run(self, request):
            nonlocal most
            super().run(request)
            most = max(most, sum(path.stat().st_size for path in tmp_path.rglob("*.crops")))

    with Workspace.temporary(tmp_path) as space:
        pixels(Measuring(), PLAN, workspace=space)
        needed = estimated_bytes(plan_tasks(PLAN, tmp_path))
        final = sum(path.stat().st_size for path in space.folder.rglob("*.crops"))
        raw = sum(stored_bytes(task.shape) for task in plan_tasks(PLAN, tmp_path))
    assert max(most, final) <= needed
    assert needed < 1.7 * raw  # and not twice the clip's crops, as where all of them are kept


def test_more_tasks_in_flight_need_more(tmp_path):
    tasks = plan_tasks(PLAN, tmp_path)
    assert estimated_bytes(tasks, 2) == estimated_bytes(tasks) + max(task.source_bytes for task in tasks)


def test_what_would_fit_is_the_longest_beginning(tmp_path):
    tasks = plan_tasks(PLAN, tmp_path)
    stops = sorted({task.stop for task in tasks})
    for space in np.linspace(0, estimated_bytes(tasks), 20):
        fits = last_that_fits(tasks, int(space))
        for stop in stops:
            needed = estimated_bytes([task for task in tasks if task.stop <= stop])
            assert (needed <= int(space)) == (fits is not None and stop <= fits)


def test_a_limit_is_recorded_and_may_be_raised(tmp_path):
    needed = estimated_bytes(plan_tasks(PLAN, tmp_path))
    Workspace.create(tmp_path / "work", manifest(limit=needed - 1))
    with pytest.raises(OutputError, match="raise the limit with --work-space"):
        pixels(FakeEngine(), PLAN, workspace=Workspace.open(tmp_path / "work", manifest()))
    pixels(FakeEngine(), PLAN, workspace=Workspace.open(tmp_path / "work", manifest(), limit=needed))


def test_growth_beyond_the_limit_is_stopped(tmp_path):
    (task, *_) = plan_tasks(PLAN, tmp_path)
    space = Workspace.create(tmp_path / "work", manifest(limit=task.source_bytes))
    with pytest.raises(OutputError, match=r"holds 0.0 MB and would grow beyond its limit of 0.\d MB; raise the limit"):
        space.start(task)


def test_too_little_disk_is_said_before_work_starts(tmp_path):
    huge = replace(crop_plan(5), working=replace(FRAME, width=10**7, height=10**7))
    with (
        Workspace.temporary(tmp_path) as space,
        pytest.raises(
            OutputError,
            match=r"of temporary space, but .* has only .* free; use TMPDIR to choose a folder on a larger disk",
        ),
    ):
        space.check_room(plan_tasks(plan_of(huge), space.folder))


def test_a_temporary_workspace_is_gone_after_an_error(tmp_path):
    def fail():
        with Workspace.temporary(tmp_path) as space:
            assert space.folder.parent == tmp_path
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    with (
        pytest.raises(OutputError, match=r"No temporary folder can be created \(no such file or directory\); set"),
        Workspace.temporary(tmp_path / "missing"),
    ):
        pass


def test_the_fingerprint_of_a_file_changes_with_its_size_its_ends_and_its_time(tmp_path):
    data = (CLIPS / "busker.mp4").read_bytes()
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    info = open_source(path).info
    first = source_fingerprint(info)
    assert first == source_fingerprint(info)
    assert first["bytes"] == len(data)
    path.write_bytes(data[:-1] + b"\1")
    assert source_fingerprint(info)["sha256_of_ends"] != first["sha256_of_ends"]
    assert source_fingerprint(array_source(np.zeros((2, 8, 8, 3), np.uint8)).info) is None


def test_the_fingerprint_of_a_folder_changes_with_any_picture(tmp_path):
    for index in range(2):
        (tmp_path / f"{index}.png").write_bytes(png(np.zeros((8, 8, 3), np.uint8)))
    info = open_source(tmp_path).info
    first = source_fingerprint(info)
    assert first == source_fingerprint(info)
    (tmp_path / "1.png").write_bytes(png(np.full((8, 8, 3), 9, np.uint8)) + b"\0")
    assert source_fingerprint(info) != first
