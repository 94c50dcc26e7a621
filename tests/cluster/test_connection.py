"""Where a cluster may be, how it is shared out, and what is said where it cannot be used."""

from __future__ import annotations

import socket
import sys
from types import SimpleNamespace

import pytest

from redetail.cluster import Cluster
from redetail.cluster.connection import Share, _check_reachable, _refusal, connected, share_of
from redetail.cluster.worker import EngineWorker
from redetail.errors import ClusterError, DependencyError, SettingsError


def nodes(*resources: dict[str, float]) -> SimpleNamespace:
    return SimpleNamespace(nodes=lambda: [{"Alive": True, "Resources": one} for one in resources])


@pytest.mark.parametrize("address", ["", "here", "ray://head:10001", "head", "head:port", "a b:1"])
def test_an_address_is_local_auto_or_a_host_and_a_port(address: str) -> None:
    with pytest.raises(SettingsError, match="give 'local', 'auto', or the HOST:PORT of the head node"):
        Cluster(address=address)
    assert [Cluster(address=one).address for one in ("auto", "10.0.0.1:6379", "[::1]:6379")]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999999", f"{'x' * 300}:6379"])
def test_where_no_cluster_can_be_one_sentence_says_so(address: str) -> None:
    with pytest.raises(ClusterError, match="No Ray cluster answers at"):
        _check_reachable(address)


@pytest.mark.parametrize("cores", [0, -1, 1.5, True])
def test_a_worker_has_cores(cores: object) -> None:
    with pytest.raises(SettingsError, match="A worker cannot have"):
        Cluster(cores=cores)


def test_each_card_gets_a_worker_unless_the_cpu_is_meant() -> None:
    ray = nodes({"CPU": 16, "GPU": 2}, {"CPU": 32, "GPU": 1}, {"CPU": 4})
    assert share_of(ray, Cluster(), None) == Share(3, 1, 1)
    assert share_of(ray, Cluster(), "cuda") == Share(3, 1, 1)
    assert share_of(ray, Cluster(), "cpu") == Share(4 + 8 + 1, 4, 0)


def test_cores_are_shared_out_machine_by_machine() -> None:
    ray = nodes({"CPU": 16}, {"CPU": 12}, {})
    assert share_of(ray, Cluster(), None) == Share(2 + 1, 8, 0)
    assert share_of(ray, Cluster(cores=5), None) == Share(3 + 2, 5, 0)
    with pytest.raises(SettingsError, match="is 17, but the largest machine in the Ray cluster has only 16"):
        share_of(ray, Cluster(cores=17), None)
    with pytest.raises(SettingsError, match="the largest machine in the Ray cluster has only 0"):
        share_of(nodes({}), Cluster(), None)


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    sentence = r"^ray is not installed; .* 'redetail\[cluster\]'$"
    with pytest.raises(DependencyError, match=sentence), connected(Cluster()):
        pass


def test_a_head_that_does_not_answer_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        head = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(ClusterError, match=f"^No Ray cluster answers at {head} "):
        _check_reachable(head)


def test_what_ray_refuses_is_one_sentence() -> None:
    words = (
        "Version mismatch: The cluster was started with: Ray: 2.9.0 Python: 3.10.1 "
        "This process on node 10.0.0.2 was started with: Ray: 2.60.0 Python: 3.11.2"
    )
    assert _refusal("auto", words) == (
        "The Ray cluster runs Ray 2.9.0, Python 3.10.1, but this machine has Ray 2.60.0, Python 3.11.2; install the "
        "same versions on all machines."
    )
    assert _refusal("auto", "Could not find any running Ray instance.") == (
        "No Ray cluster is running on this machine; start one with 'ray start --head', or use --ray local."
    )
    assert "at head:1 cannot be used (no.); check that this" in _refusal("head:1", "no.")
    assert _refusal("local", "no room") == "Ray cannot be started on this machine (no room); see Ray's logs."


def test_a_machine_with_another_version_is_refused() -> None:
    with pytest.raises(
        ClusterError, match=r"has redetail .* on Python .*, but the machine .* has redetail 0\.0 .*; install"
    ):
        EngineWorker().load("redetail 0.0 on Python 3.1", object, None, ".")
