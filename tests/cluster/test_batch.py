"""``redetail batch --ray``: the outputs and the summary of one process, whatever is lost."""

# ruff: noqa: F811 - fixtures are imported

from __future__ import annotations

from collections import deque
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from redetail import api
from redetail.batch import BatchClip, State, workers
from redetail.cluster import Cluster, EnginePool
from redetail.cluster.connection import Share
from redetail.cluster.pool import Job, Worker, _Held
from redetail.cluster.sending import stamp
from redetail.cluster.worker import EngineWorker
from redetail.engines import Engine
from redetail.pipeline.work import Work
from tests.cli.conftest import Run, pictures, run, write_video  # noqa: F401 - a fixture
from tests.cli.test_batch import names, rows, states
from tests.cluster.conftest import Steering

pytestmark = pytest.mark.slow
BOX = ("--box", "20,20,60,60", "--guide-size", "64", "--steps", "2")
RAY = ("--ray", "auto", "--ray-cores", "1")
LOST = "A worker of the cluster was lost; another one will redo its unfinished work."


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips, the second of which is broken."""
    folder = tmp_path_factory.mktemp("batch") / "clips"
    folder.mkdir()
    for index in (0, 2):
        write_video(folder / f"{index}.mp4", pictures(4 + index))
    (folder / "1.mp4").write_bytes(b"not a video")
    return folder


@pytest.fixture(autouse=True)
def shared(pool: EnginePool, engine: Engine, steering: Steering, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches run on the two workers of these tests; without Ray they load the same model here."""
    steering.order()
    monkeypatch.setattr(api, "pool_for", lambda job, cluster: nullcontext(pool))
    monkeypatch.setattr(api, "load_engine", lambda model=None, **options: engine)


def outputs(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names(folder) if not name.startswith(".")}


@pytest.mark.parametrize("seen", [True, False])
def test_a_batch_gives_the_outputs_and_the_summary_of_one_process(
    run: Run, steering: Steering, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: bool
) -> None:
    if not seen:
        monkeypatch.setattr(workers, "_seen", lambda *_: False)
    alone = run("batch", clips, "-o", tmp_path / "alone", *BOX)
    shared = run("batch", clips, "-o", tmp_path / "shared", *BOX, *RAY)
    assert (alone.code, shared.code, steering.requests) == (3, 3, 2)
    assert outputs(tmp_path / "shared") == outputs(tmp_path / "alone")
    assert list(outputs(tmp_path / "shared")) == ["0.mp4", "2.mp4"]
    assert states(tmp_path / "shared") == ["done", "failed", "done"]
    expected = rows(tmp_path / "alone")
    for name, row in rows(tmp_path / "shared").items():
        host, _, process = row.pop("worker").rpartition(":")
        assert (host != "", process.isdigit(), expected[name].pop("worker")) == (True, True, "")
        for one in (row, expected[name]):
            del one["seconds"], one["output"]
        assert row == expected[name]
        assert f"{name}: {row['state']}" in shared.err


def test_the_same_command_again_does_the_rest(run: Run, steering: Steering, clips: Path, tmp_path: Path) -> None:
    """The broken clip alone is left, so all workers share it."""
    assert run("batch", clips, "-o", tmp_path / "out", *BOX, *RAY).code == 3
    assert run("batch", clips, "-o", tmp_path / "out", *BOX, *RAY).code == 3
    assert states(tmp_path / "out") == ["done before", "failed", "done before"]
    assert [row["worker"] for row in rows(tmp_path / "out").values()] == ["", "2 workers", ""]
    assert steering.requests == 2


def test_fewer_clips_than_workers_are_split(run: Run, steering: Steering, clips: Path, tmp_path: Path) -> None:
    two = (clips / "2.mp4", "--box", "8,8,40,40", *BOX)
    assert run("batch", *two, "-o", tmp_path / "alone").code == 0
    assert run("batch", *two, "-o", tmp_path / "shared", *RAY).code == 0
    assert outputs(tmp_path / "shared") == outputs(tmp_path / "alone")
    assert (steering.requests, steering.processes) == (2, 2)


def test_a_worker_that_is_killed_costs_the_clip_that_it_had(
    run: Run, steering: Steering, clips: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    steering.order(kill=[1])
    assert run("batch", clips, "-o", tmp_path / "alone", *BOX).code == 3
    assert run("batch", clips, "-o", tmp_path / "shared", *BOX, *RAY).code == 3
    assert outputs(tmp_path / "shared") == outputs(tmp_path / "alone")
    assert states(tmp_path / "shared") == ["done", "failed", "done"]
    assert (steering.requests, caplog.messages) == (3, [LOST])


def test_a_clip_that_took_down_its_workers_is_given_up(tmp_path: Path) -> None:
    clip = BatchClip(tmp_path / "a.mp4", tmp_path / "out" / "a.mp4")
    pool, again = EnginePool(Cluster(), object), deque()
    pool._connected = SimpleNamespace(kill=lambda actor: None), Share(2, 1, 0)
    held = _Held(0, Job(lambda worker: None, give_up=partial(workers._given_up, clip)), tries=2)
    (done,) = pool._lose(Worker(None, None, ready=True, held={"reference": held}), again)
    assert (done.outcome.clip, done.outcome.state, len(again)) == (clip, State.FAILED, 0)
    assert done.outcome.message.startswith("3 workers of the cluster died on the same piece of work; see Ray's logs")


def test_a_worker_knows_the_clips_of_its_machine(pool: EnginePool, clips: Path, tmp_path: Path) -> None:
    worker = next(worker for worker in pool._workers if worker.ready)
    assert workers._seen(pool, worker, Work(), BatchClip(clips / "0.mp4", tmp_path / "0.mp4"))
    assert not EngineWorker().has(clips / "0.mp4", stamp(clips / "2.mp4"))
