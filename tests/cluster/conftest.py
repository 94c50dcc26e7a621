"""A Ray instance of two cores, and two workers on it whose engine does what a file says."""

from __future__ import annotations

import gc
import json
import os
import signal
import time
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import torch

from redetail.cluster import Cluster, EnginePool
from redetail.engines import Engine, load_engine
from tests.engines.conftest import write_restoration_folder

ONE_CORE = Cluster(address="local", cores=1)


class Steered:
    """The engine of a model that notes its requests and follows orders: ``kill``, the numbers of requests (from 0) at
    which its process is killed; ``wait``, the seconds that it waits before each."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._engine = folder, load_engine(folder / "model", device="cpu")

    @property
    def capabilities(self):
        return self._engine.capabilities

    def run(self, request) -> None:
        orders = json.loads((self._folder / "orders.json").read_text())
        number = len(list((self._folder / "requests").iterdir()))
        (self._folder / "requests" / f"{os.getpid()}-{time.monotonic_ns()}").touch()
        if number in orders.get("kill", []):
            os.kill(os.getpid(), signal.SIGKILL)
        end = time.monotonic() + orders.get("wait", 0)
        while time.monotonic() < end:
            request.cancel.check()
            time.sleep(0.01)
        self._engine.run(request)


class Steering:
    """Gives the orders, counts the requests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "requests").mkdir()

    def order(self, **orders: object) -> None:
        for request in (self.folder / "requests").iterdir():
            request.unlink()
        (self.folder / "orders.json").write_text(json.dumps(orders))

    @property
    def requests(self) -> int:
        return len(list((self.folder / "requests").iterdir()))

    @property
    def processes(self) -> int:
        return len({path.name.partition("-")[0] for path in (self.folder / "requests").iterdir()})


@pytest.fixture(scope="session")
def ray() -> Iterator[ModuleType]:
    """Ray with two cores and a small object store, to which all that connects in this process is connected."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's 15 would starve workers on a busy machine
    ray = pytest.importorskip("ray")
    start(ray)
    yield ray
    end(ray)


def start(ray: ModuleType, tries: int = 3) -> None:
    """Start Ray; on a machine that is busy with other things its own limit of 30 seconds may be too short."""
    options = {"log_to_driver": False, "configure_logging": False, "include_dashboard": False}
    try:
        ray.init("local", num_cpus=2, object_store_memory=100 * 2**20, **options)
    except Exception as error:
        end(ray)
        if "timed out during startup" not in str(error) or tries == 1:
            raise
        start(ray, tries - 1)


def end(ray: ModuleType) -> None:
    """End Ray, which ends the processes that it started but does not wait for them."""
    ray.shutdown()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "subprocess .* is still running", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def steered_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("steered")
    write_restoration_folder(folder / "model")
    return folder


@pytest.fixture(scope="session")
def steering(steered_folder: Path) -> Steering:
    return Steering(steered_folder)


@pytest.fixture(scope="module")
def pool(ray: ModuleType, steered_folder: Path) -> Iterator[EnginePool]:
    """Two workers of one core."""
    with EnginePool(ONE_CORE, partial(Steered, steered_folder), "cpu") as pool:
        yield pool


@pytest.fixture(scope="session")
def engine(steered_folder: Path) -> Engine:
    """The same model in this process."""
    return load_engine(steered_folder / "model", device="cpu")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As many as each worker has: equal pixels are promised at an equal number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
