"""One plan gives the same pixels in any order of tasks, after any interruption, in any process, with every engine."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redetail.engines import FakeEngine, load_engine
from redetail.errors import Cancelled
from redetail.pipeline.executor import SerialExecutor
from redetail.pipeline.manifest import Manifest, engine_identity
from redetail.pipeline.run import Run
from redetail.pipeline.workspace import Workspace
from redetail.progress import CancelToken
from redetail.region import Size
from redetail.settings import resolve
from redetail.video import array_source
from tests.engines.conftest import write_model_folder, write_restoration_folder
from tests.pipeline.plans import PoolExecutor, ShuffledExecutor, clip, crop_plan, pixels, plan_of

pytestmark = pytest.mark.slow

QUICK = {"steps": 1, "cfg": 2.0, "prompt": "a face", "denoise": 0.6, "mask_feather": 2, "seed": 3}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Thin networks are quicker on one thread; and equal pixels are promised at an equal number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=["fake", "restoration", "stable diffusion"])
def engine(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "tiny"
    match request.param:
        case "fake":
            return FakeEngine(noise=0.2)
        case "restoration":
            return load_engine(write_restoration_folder(folder), device="cpu")
        case _:
            return load_engine(write_model_folder(folder), device="cpu")


@pytest.fixture(scope="module")
def plan(engine):
    """Two subjects at once, one of them in three stretches, and one who comes later."""
    asked = resolve(QUICK, engine.capabilities.defaults)
    where = {"settings": asked, "working": Size(32, 32), "most": 17}
    crops = [crop_plan(26, **where), crop_plan(5, start=4, x=20, **where), crop_plan(4, start=20, x=9, **where)]
    multiple = engine.capabilities.size_multiple
    assert all(32 % multiple == 0 and crop.padding == (0, 0, 0, 0) for crop in crops)
    return plan_of(*crops)


@pytest.fixture(scope="module")
def expected(engine, plan):
    """What tasks in order give."""
    return pixels(engine, plan)


def assert_equal(result, expected):
    for ours, theirs in zip(result, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@given(seed=st.integers(0, 99), in_flight=st.integers(1, 5))
@settings(deadline=None, max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_of_tasks_gives_the_same_pixels(engine, plan, expected, seed, in_flight):
    assert_equal(pixels(engine, plan, executor=ShuffledExecutor(engine, seed, in_flight)), expected)


@given(seed=st.integers(0, 99), stops=st.lists(st.integers(1, 12), min_size=1, max_size=3))
@settings(deadline=None, max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_interruption_gives_the_same_pixels(engine, plan, expected, tmp_path_factory, seed, stops):
    """Cancelled after some reports of progress, again and again, each time with another order of tasks."""
    folder = tmp_path_factory.mktemp("stopped") / "work"
    Workspace.create(folder, Manifest(plan, None, engine_identity(engine.capabilities)))
    for number, stop in enumerate(stops):
        cancel, left = CancelToken(), stop

        def count(report, cancel=cancel):
            nonlocal left
            left -= report.stage == "detail"
            if left <= 0:
                cancel.cancel()

        try:
            executor = ShuffledExecutor(engine, seed + number, 2)
            pixels(engine, plan, workspace=Workspace.open(folder), executor=executor, progress=count, cancel=cancel)
        except Cancelled:
            assert list((folder / "results").glob("*.part.crops")) == []
    assert_equal(pixels(engine, plan, workspace=Workspace.open(folder)), expected)


def test_other_processes_give_the_same_pixels():
    plan = plan_of(crop_plan(41, most=18), crop_plan(12, start=20))
    assert_equal(pixels(FakeEngine(), plan, executor=PoolExecutor(FakeEngine)), pixels(FakeEngine(), plan))


KILLED = """
import os, signal, sys
from pathlib import Path
from redetail.engines import FakeEngine
from redetail.pipeline.workspace import Workspace
from tests.pipeline.plans import pixels

class Killed(FakeEngine):
    left = int(sys.argv[2])

    def run(self, request):
        Killed.left -= 1
        if Killed.left == 0:
            request.write(0, request.crops.read(0, 2))
            os.kill(os.getpid(), signal.SIGKILL)
        super().run(request)

space = Workspace.open(Path(sys.argv[1]))
pixels(Killed(), space.manifest.plan, workspace=space)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_process_leaves_what_can_be_continued(tmp_path):
    plan = plan_of(crop_plan(41, most=18), crop_plan(12, start=20))
    Workspace.create(tmp_path / "work", Manifest(plan, None, engine_identity(FakeEngine().capabilities)))
    command = [sys.executable, "-c", KILLED, str(tmp_path / "work"), "3"]
    done = subprocess.run(command, cwd=os.getcwd(), check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = {path.name for path in (tmp_path / "work" / "results").iterdir()}
    assert left == {"1-00001.crops", "1-00002.crops", "2-00001.part.crops"}
    assert list((tmp_path / "work" / "sources").iterdir())
    result = pixels(FakeEngine(), plan, workspace=Workspace.open(tmp_path / "work"))
    assert_equal(result, pixels(FakeEngine(), plan))


def test_a_serial_executor_holds_one_task():
    assert SerialExecutor(FakeEngine()).in_flight == 1


def test_two_plans_differ_at_their_joints_alone():
    """A formula that sees one frame at a time differs nowhere; one that sees all frames together differs, and fades."""
    whole, cut = plan_of(crop_plan(26)), plan_of(crop_plan(26, most=17))
    assert_equal(pixels(FakeEngine(), cut), pixels(FakeEngine(), whole))
    mean = FakeEngine(lambda crops: np.broadcast_to(crops.mean((0, 1, 2)), crops.shape), noise=0, context_length=None)
    (ours,), (theirs,) = pixels(mean, cut), pixels(mean, whole)
    assert np.abs(ours - theirs).max() > 0.01
    assert np.abs(np.diff(ours - theirs, axis=0)).max() < 0.02


def test_progress_of_both_passes_rises_to_its_end(engine, plan):
    reports = []
    pixels(engine, plan, progress=reports.append)
    for stage, total in (("crop", 26), ("detail", 26 + 5 + 4)):
        done = [report.done for report in reports if report.stage == stage]
        assert done == sorted(done)
        assert done[-1] == total
    stages = [report.stage for report in reports]
    assert stages.index("detail") < len(stages) - 1 - stages[::-1].index("crop")  # they interleave


def test_crops_and_detailing_are_timed_apart(plan):
    run = Run(array_source(clip()), FakeEngine(), replace(plan.crops[0].settings))
    with run.enhanced(plan):
        assert list(run.watch.seconds) == ["crop", "detail"]
        assert min(run.watch.seconds.values()) > 0
