"""Fixtures that every folder of tests shares, and how tests are shared out to processes."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.groups import GroupCounts

Snapshot = Callable[[str, str], None]
TOGETHER = "tests/comfy/inside/", "tests/cluster/"
"""Folders whose tests run in one process: they share ComfyUI, or Ray, which take seconds to start."""
SLOW = "tests/web/", "tests/fuzz/"
"""Folders whose tests start a server, a browser or hundreds of processes."""


def pytest_configure(config: pytest.Config) -> None:
    # No test reads the config file of the person who runs it.
    os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="redetail-config-")
    config.add_cleanup(lambda place=os.environ["XDG_CONFIG_HOME"]: shutil.rmtree(place, ignore_errors=True))
    if config.pluginmanager.hasplugin("hypothesispytest"):
        _forget_the_clock()
    if hasattr(config, "workerinput"):
        # One of several processes, each on its share of the cores; libraries read this when they are imported.
        workers = config.workerinput["workercount"]
        os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // workers))
    else:
        config.pluginmanager.register(GroupCounts(), "groups")
        config.option.loadscopereorder = False  # the order of pytest_collection_modifyitems


def _forget_the_clock() -> None:
    """No property fails because the machine is busy."""
    from hypothesis import HealthCheck, settings

    settings.register_profile("tests", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("tests")


def unit_of(nodeid: str) -> str:
    """What one process runs as a whole: a module, whose tests share its fixtures, or a folder."""
    return next((folder for folder in TOGETHER if nodeid.startswith(folder)), nodeid.partition("::")[0])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Several processes do slow units first, then large ones: a long one that came last would leave cores idle."""
    if hasattr(config, "workerinput"):
        slow = {
            unit_of(item.nodeid) for item in items if item.get_closest_marker("slow") or item.nodeid.startswith(SLOW)
        }
        tests = Counter(unit_of(item.nodeid) for item in items)
        items.sort(key=lambda item: (unit_of(item.nodeid) not in slow, -tests[unit_of(item.nodeid)]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests of a unit stay together."""
    from xdist.scheduler import LoadScopeScheduling

    class ByUnit(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(nodeid)

    return ByUnit(config, log)


@pytest.fixture
def snapshot() -> Snapshot:
    """Compare a text with the file of that name under tests/snapshots.

    ``UPDATE_SNAPSHOTS=1 pytest ...`` rewrites the files; review the difference like any other change.
    """

    def compare(name: str, text: str) -> None:
        path = Path(__file__).parent / "snapshots" / name
        if os.environ.get("UPDATE_SNAPSHOTS"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert text == path.read_text(), f"{name} changed; if that is meant: UPDATE_SNAPSHOTS=1 make test"

    return compare
