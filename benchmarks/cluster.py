"""Two nodes on one machine, one of which is killed midway: do the outputs equal those of one process? Linux only.

    python benchmarks/cluster.py

A batch of six clips, then one clip in short stretches, with the bundled model, a core for each node. At the end come
10,000 tasks that do nothing, to measure the memory of the process that hands them out. Prints Markdown.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.engine_memory import status
from redetail import api
from redetail.batch import batch_clips, run_batch, sources_of
from redetail.cluster import Cluster, EnginePool, RayExecutor
from redetail.cluster.pool import Job as PoolJob
from redetail.cluster.worker import Asked
from redetail.engines import FakeEngine
from redetail.engines.base import Capabilities, Request
from redetail.job import Job
from redetail.progress import Progress
from tests.cli.conftest import write_video
from tests.clips import clip_frames

SIDE = 128
JOB = Job().overlay(detect="face", guide_size=SIDE, max_size=SIDE, device="cpu")
FRAMES = 16
CLIPS = [(name, start) for name in ("busker", "guitarist") for start in (0, 16, 32)]
ONE_CORE = Cluster(address="auto", cores=1)
NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
TASKS = 10_000


class Noting:
    """The bundled model, for stretches of 16 frames; notes its requests in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._engine = folder, api.load_engine(device="cpu")

    @property
    def capabilities(self) -> Capabilities:
        """The capabilities of the model, except for the length of stretches."""
        return replace(self._engine.capabilities, part_pixels=1)

    def run(self, request: Request) -> None:
        """Note the request and run it."""
        (self._folder / f"{os.getpid()}-{time.monotonic_ns()}").touch()
        self._engine.run(request)


@dataclass
class Nodes:
    """A head with one core, and a second node that can be killed and is replaced for the next run."""

    cluster: Any
    second: Any = None

    def refill(self) -> None:
        """Start the second node, if there is none."""
        if self.second is None:
            self.second = self.cluster.add_node(**NODE)
            self.cluster.wait_for_nodes()

    def kill(self) -> None:
        """End the second node with its workers, at once."""
        if self.second is not None:
            self.cluster.remove_node(self.second, allow_graceful=False)
            self.second = None


@contextmanager
def nodes() -> Iterator[Nodes]:
    """Ray with both nodes, to which this process is connected."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's name; with its 15 the two columns do not compare
    import ray
    from ray.cluster_utils import Cluster as RayCluster

    cluster = RayCluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    try:
        both = Nodes(cluster)
        both.refill()
        ray.init(address=cluster.address, log_to_driver=False, configure_logging=False, namespace="redetail")
        yield both
    finally:
        ray.shutdown()
        cluster.shutdown()


def batch(both: Nodes, folder: Path) -> str:
    """Six clips; the node is killed when one is done and both workers have another."""
    sources = folder / "clips"
    sources.mkdir()
    for name, start in CLIPS:
        write_video(sources / f"{name}-{start}.mp4", clip_frames(name)[start : start + FRAMES])
    alone = batch_clips(sources_of([sources]), folder / "alone")
    shared = batch_clips(sources_of([sources]), folder / "shared")
    seconds = timed(lambda: list(run_batch(JOB, alone)))
    starts: list[str] = []
    outcomes = []

    def run() -> None:
        for outcome in run_batch(
            JOB, shared, cluster=ONE_CORE, started=lambda clip, worker: starts.append(worker), progress=kill
        ):
            outcomes.append(outcome)

    def kill(clip: object, report: Progress) -> None:
        if outcomes and len(set(starts)) > 1:
            both.kill()

    took = timed(run)
    same = sum(a.output.read_bytes() == b.output.read_bytes() for a, b in zip(alone, shared, strict=True))
    states = {one.state.value for one in outcomes}
    assert both.second is None, "the node was not killed"
    return (
        f"| batch of {len(CLIPS)} clips ({', '.join(sorted(states))}) | {same} of {len(CLIPS)} | "
        f"{len(starts) - len(CLIPS)} | {seconds:.0f} | {took:.0f} |"
    )


def split(both: Nodes, folder: Path) -> str:
    """One clip in stretches; the node is killed when both workers have had one."""
    clip = write_video(folder / "clip.mp4", clip_frames("guitarist"))
    notes = folder / "notes", folder / "notes-alone"
    for one in notes:
        one.mkdir()
    job = JOB.overlay(source=clip)
    alone = job.overlay(output=folder / "alone.mp4")
    shared = job.overlay(output=folder / "shared.mp4")
    engine = Noting(notes[1])
    seconds = timed(lambda: api.run_loaded(alone, engine))
    tasks = len(list(notes[1].iterdir()))

    def kill(report: Progress) -> None:
        processes = {one.name.partition("-")[0] for one in notes[0].iterdir()}
        if len(processes) > 1 and len(list(notes[0].iterdir())) > 2:
            both.kill()

    with EnginePool(ONE_CORE, partial(Noting, notes[0]), "cpu") as pool:
        took = timed(lambda: api.run_loaded(shared, pool.engine, executor=RayExecutor(pool), progress=kill))
    same = (folder / "alone.mp4").read_bytes() == (folder / "shared.mp4").read_bytes()
    repeated = len(list(notes[0].iterdir())) - tasks
    assert both.second is None, "the node was not killed"
    return f"| one clip in {tasks} stretches | {int(same)} of 1 | {repeated} | {seconds:.0f} | {took:.0f} |"


def trivial() -> str:
    """The resident memory of this process over many tasks."""
    sizes = []
    with EnginePool(ONE_CORE, FakeEngine, "cpu") as pool:
        began = time.monotonic()
        jobs = (PoolJob[None](lambda worker: Asked(_nothing, ())) for _ in range(TASKS))
        for number, _ in enumerate(pool.run(jobs), 1):
            if number in (1_000, 5_000, TASKS):
                sizes.append(f"{status('VmRSS') / 2**20:.1f}")
        took = time.monotonic() - began
    return f"Memory of the driver after 1,000, 5,000 and 10,000 tasks: {', '.join(sizes)} MiB ({took:.0f} s in all)."


def timed(function: Callable[[], object]) -> float:
    """How many seconds it took."""
    began = time.monotonic()
    function()
    return time.monotonic() - began


def _nothing(engine: object) -> None:
    pass


def main() -> None:
    """Measure all and print it."""
    torch.set_num_threads(1)
    lines = ["| run | outputs equal | repeated | one process, s | two nodes, s |", "|---|---|---|---|---|"]
    with nodes() as both, tempfile.TemporaryDirectory() as name:
        for number, run in enumerate((batch, split)):
            both.refill()
            folder = Path(name) / str(number)
            folder.mkdir()
            lines.append(run(both, folder))
        both.refill()
        lines += ["", trivial()]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
