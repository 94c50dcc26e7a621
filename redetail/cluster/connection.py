"""Connecting to Ray: a separate instance on this machine, or a cluster that is already running."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from redetail.errors import ClusterError, SettingsError
from redetail.optional import require

_LOCAL, _AUTO = "local", "auto"
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:]+\]|[^:/\s]+):(\d{1,5})")
_MOST_CORES = 8  # of one worker: networks on a CPU hardly gain from more
_STORE = 128 * 2**20  # bytes; on one machine everything passes through files
_CONNECT = 5.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Where a run finds its workers.

    ``address``: "local" (Ray is started on this machine for the run), "auto" (the cluster that runs on this machine) or
    "HOST:PORT" of a cluster's head. ``cores``: processor cores for each worker if workers have no GPU (None: as many as
    the smallest machine has, at most 8). Raises :class:`~redetail.errors.SettingsError` for impossible values.
    """

    address: str = _LOCAL
    cores: int | None = None

    def __post_init__(self) -> None:
        if self.address not in (_LOCAL, _AUTO) and not _ADDRESS.fullmatch(self.address):
            raise SettingsError(
                f"{self.address!r} is not the address of a Ray cluster; give 'local', 'auto', or the HOST:PORT of the "
                "head node."
            )
        if self.cores is not None and (type(self.cores) is not int or self.cores < 1):
            raise SettingsError(f"A worker cannot have {self.cores!r} cores; give a whole number of at least 1.")


@dataclass(frozen=True)
class Share:
    """What each worker gets of the cluster, and how many workers there can be."""

    workers: int
    cores: int
    gpus: int

    def options(self) -> dict[str, Any]:
        """The share as options for Ray."""
        return {"num_cpus": self.cores, "num_gpus": self.gpus}


@contextmanager
def connected(cluster: Cluster) -> Iterator[ModuleType]:
    """Ray, connected as requested; an existing connection of this process is kept.

    Raises :class:`~redetail.errors.DependencyError` without Ray, and :class:`~redetail.errors.ClusterError` if the
    cluster cannot be reached or runs another version.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when Ray is imported, and by the processes that it starts
    with _own_signals():
        ray = require("ray", "cluster")
        logging.getLogger("ray").setLevel(logging.ERROR)
        ours = not ray.is_initialized()
        if ours:
            _connect(ray, cluster)
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()


def share_of(ray: ModuleType, cluster: Cluster, device: str | None) -> Share:
    """How the cluster is divided: a GPU for each worker if there are any and ``device`` allows it, else processor
    cores."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cards = 0 if device == "cpu" else sum(int(min(one.get("GPU", 0), one.get("CPU", 0))) for one in machines)
    if cards:
        return Share(cards, 1, 1)
    counts = [int(one["CPU"]) for one in machines if one.get("CPU", 0) >= 1]
    cores = cluster.cores or min(_MOST_CORES, *counts, _MOST_CORES)
    workers = sum(count // cores for count in counts)
    if not workers:
        raise SettingsError(
            f"The number of cores for each worker is {cores}, but the largest machine in the Ray cluster has only "
            f"{max(counts, default=0)}; give a smaller number."
        )
    return Share(workers, cores, 0)


def _connect(ray: ModuleType, cluster: Cluster) -> None:
    address = cluster.address
    if address not in (_LOCAL, _AUTO):
        _check_reachable(address)
    own = {"include_dashboard": False, "object_store_memory": _STORE} if address == _LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False, namespace="redetail", **own)
    except Exception as error:
        ray.shutdown()
        raise ClusterError(_refusal(address, " ".join(str(error).split()))) from error


def _refusal(address: str, words: str) -> str:
    versions = re.findall(r"(Ray|Python): (\d[\w.]*)", words)
    if "ersion mismatch" in words and len(versions) >= 4:
        theirs, ours = (", ".join(map(" ".join, pair)) for pair in (versions[:2], versions[2:4]))
        return f"The Ray cluster runs {theirs}, but this machine has {ours}; install the same versions on all machines."
    if address == _AUTO:
        return "No Ray cluster is running on this machine; start one with 'ray start --head', or use --ray local."
    if address == _LOCAL:
        return f"Ray cannot be started on this machine ({words[:200]}); see Ray's logs."
    return f"The Ray cluster at {address} cannot be used ({words[:200]}); check that this machine is one of its nodes."


def _check_reachable(address: str) -> None:
    """Raise in a few seconds: Ray itself would try for a minute and end the process."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT).close()
    except (OSError, OverflowError, UnicodeError) as error:  # also for an impossible port or host name
        raise ClusterError(
            f"No Ray cluster answers at {address} ({error}); check the address, and that the cluster's head node is "
            "running."
        ) from error


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handler of SIGTERM, which Ray replaces with one that exits."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
