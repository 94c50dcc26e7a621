"""Tasks on a cluster give the pixels of one process, through a shared folder or the object store, whatever is lost.

The tests share two workers, since it takes seconds to start one.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from redetail.cluster import EnginePool, RayExecutor
from redetail.cluster import pool as pools
from redetail.cluster.worker import EngineWorker
from redetail.engines import Engine, enhance_arrays
from redetail.errors import Cancelled, ClusterError, SettingsError, UnknownNameError
from redetail.pipeline.manifest import Manifest, engine_identity
from redetail.pipeline.plan import Plan
from redetail.pipeline.workspace import Workspace
from redetail.progress import CancelToken
from redetail.region import Size
from redetail.settings import resolve
from tests.cluster.conftest import Steering
from tests.pipeline.plans import crop_plan, pixels, plan_of
from tests.pipeline.test_executor import QUICK, assert_equal

pytestmark = pytest.mark.slow
TASKS = 4


@pytest.fixture(scope="session")
def plan(engine: Engine) -> Plan:
    """Two subjects, one of them in three stretches."""
    asked = resolve(QUICK, engine.capabilities.defaults)
    where = {"settings": asked, "working": Size(32, 32)}
    return plan_of(crop_plan(41, most=18, **where), crop_plan(12, start=20, **where))


@pytest.fixture(scope="session")
def expected(engine: Engine, plan: Plan) -> list[np.ndarray]:
    """What one process gives, at the number of threads that a worker has."""
    return pixels(engine, plan)


class Unseeing(RayExecutor):
    """As where workers do not see the workspace."""

    def _call(self, task, worker):
        worker.seen[task.folder] = False
        return super()._call(task, worker)


def test_two_workers_give_the_pixels_of_one_process(pool: EnginePool, steering: Steering, plan, expected) -> None:
    steering.order()
    executor, reports = RayExecutor(pool), []
    assert (pool.workers, executor.in_flight) == (2, 4)
    assert_equal(pixels(pool.engine, plan, executor=executor, progress=reports.append), expected)
    done = [report.done for report in reports if report.stage == "detail"]
    assert (done, done[-1]) == (sorted(done), 41 + 12)


def test_what_no_folder_shares_goes_through_the_object_store(pool, steering, plan, expected) -> None:
    steering.order()
    assert_equal(pixels(pool.engine, plan, executor=Unseeing(pool)), expected)


def test_a_worker_is_asked_whether_it_sees_a_folder(pool: EnginePool, tmp_path: Path) -> None:
    worker = next(worker for worker in pool._workers if worker.ready)
    assert pool.sees(worker, tmp_path)
    (token,) = tmp_path.iterdir()
    assert not EngineWorker().sees(str(token), "another secret")
    assert not EngineWorker().sees(str(tmp_path / "nothing"), "")


def test_the_engine_of_a_worker_is_an_engine(pool: EnginePool, steering: Steering, engine: Engine) -> None:
    steering.order()
    assert pool.engine.capabilities == replace(engine.capabilities, cost=pool.engine.capabilities.cost)
    settings = resolve(QUICK, engine.capabilities.defaults)
    crops = np.random.default_rng(0).random((3, 32, 32, 3), np.float32)
    masks = np.ones((3, 32, 32), np.float32)
    ours, theirs = (enhance_arrays(one, crops, masks, settings) for one in (pool.engine, engine))
    np.testing.assert_array_equal(ours, theirs)


def test_a_task_that_fails_says_its_sentence_and_workers_go_on(pool, steering, engine, plan, expected) -> None:
    steering.order()
    failing = replace(plan.crops[1].settings)
    object.__setattr__(failing, "sampler", "dream")
    crops = plan.crops[0], replace(plan.crops[1], settings=failing)
    with pytest.raises(UnknownNameError, match="'dream'"):
        pixels(engine, replace(plan, crops=crops), executor=RayExecutor(pool))
    assert_equal(pixels(engine, plan, executor=RayExecutor(pool)), expected)


def test_a_run_that_is_stopped_ends_soon_and_goes_on(pool, steering, engine, plan, expected, tmp_path: Path) -> None:
    steering.order(wait=0.3)
    folder, cancel = tmp_path / "work", CancelToken()
    Workspace.create(folder, Manifest(plan, None, engine_identity(engine.capabilities)))

    def stop(report) -> None:
        if any(".part" not in path.name for path in (folder / "results").iterdir()):
            cancel.cancel()

    executor = RayExecutor(pool)
    with pytest.raises(Cancelled):
        pixels(engine, plan, workspace=Workspace.open(folder), executor=executor, progress=stop, cancel=cancel)
    assert list((folder / "results").glob("*.part.crops")) == []
    done = {path: path.stat().st_mtime_ns for path in (folder / "results").iterdir()}
    assert 0 < len(done) < TASKS
    steering.order()
    assert_equal(pixels(engine, plan, workspace=Workspace.open(folder), executor=executor), expected)
    assert {path: path.stat().st_mtime_ns for path in done} == done


def test_a_worker_that_is_killed_costs_the_tasks_that_it_held(pool, steering, engine, plan, expected, caplog) -> None:
    steering.order(kill=[1])
    assert_equal(pixels(engine, plan, executor=RayExecutor(pool)), expected)
    assert TASKS < steering.requests <= TASKS + 2
    assert caplog.messages == ["A worker of the cluster was lost; another one will redo its unfinished work."]


def test_a_task_that_takes_down_its_workers_ends_the_run(pool, steering, engine, monkeypatch, caplog) -> None:
    monkeypatch.setattr(pools, "_TRIES", 1)
    caplog.set_level(logging.CRITICAL)
    steering.order(kill=[0])
    asked = resolve(QUICK, engine.capabilities.defaults)
    with pytest.raises(ClusterError, match=r"^1 workers of the cluster died on the same piece of work; see Ray's logs"):
        pixels(engine, plan_of(crop_plan(5, settings=asked, working=Size(32, 32))), executor=RayExecutor(pool))
    assert steering.requests == 1


def test_a_card_cannot_be_chosen_for_all_workers() -> None:
    with pytest.raises(SettingsError, match=r"device is cuda:1, but .* set device to cuda instead"):
        EnginePool(pools.Cluster(), object, "cuda:1")
