"""The tests of this folder run inside ComfyUI: in one separate process in which the package ``comfy`` is real.

This file does both sides of that. Outside, in the process that a person started, it collects the tests as usual, runs
the chosen ones in one second process, and gives each of them the outcome it had there. ComfyUI is under the GPL and
brings globals of its own, so it never enters the first process.

    make test                                                    # .comfy/ is made; a missing one is an error
    pytest tests/comfy/inside                                      # skipped where .comfy/ is missing
    REDETAIL_INSIDE_COMFY=/path/to/ComfyUI pytest tests/comfy/inside   # here and now, on any ComfyUI, by its own python
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
import torch

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
ENVIRONMENT = ROOT / ".comfy"
INSIDE = os.environ.get("REDETAIL_INSIDE_COMFY", "")
OUTCOMES = "REDETAIL_OUTCOMES"
SECONDS = 900

if INSIDE:
    import tests  # ours, before ComfyUI's package of the same name can be found

    assert ROOT / "tests" in {Path(folder) for folder in tests.__path__}
    sys.path.append(INSIDE)
    import comfy.cli_args

    comfy.cli_args.args.cpu = True  # before anything asks for a device
    if find_spec("torchvision") is None:
        # ComfyUI imports it for models that are not used here; its wheel does not fit every build of torch.
        import transformers  # noqa: F401  # looks for torchvision too, and must not find the stand-in

        sys.modules["torchvision"] = ModuleType("torchvision")
        import comfy.sd

        del sys.modules["torchvision"]


# Outside ---------------------------------------------------------------------------------------------------------


class Replay:
    """The chosen tests, run once in a second process when the first of them is due."""

    def __init__(self) -> None:
        self.outcomes: dict[str, dict[str, str]] | None = None
        self.output = ""

    def __call__(self, item: pytest.Item) -> None:
        if self.outcomes is None:
            self.outcomes = self.run([other.nodeid for other in item.session.items if runs_inside(other)])
        outcome = self.outcomes.get(item.nodeid)
        if outcome is None:
            pytest.fail(f"The process with ComfyUI ended before this test:\n{self.output[-4000:]}", pytrace=False)
        if outcome["outcome"] == "skipped":
            pytest.skip(outcome["text"])
        if outcome["outcome"] != "passed":
            pytest.fail(outcome["text"], pytrace=False)

    def run(self, chosen: list[str]) -> dict[str, dict[str, str]]:
        """Outcome and text by test id."""
        with tempfile.TemporaryDirectory() as folder:
            return self.run_into(Path(folder) / "outcomes.jsonl", chosen)

    def run_into(self, written: Path, chosen: list[str]) -> dict[str, dict[str, str]]:
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(ROOT), *chosen]
        # ComfyUI warns of its own affairs; what our own modules warn of stays an error.
        command += ["--override-ini", "filterwarnings=default\nerror:::redetail"]
        environment = {**os.environ, "REDETAIL_INSIDE_COMFY": str(ENVIRONMENT), OUTCOMES: str(written)}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        self.output = done.stdout + done.stderr
        lines = written.read_text().splitlines() if written.exists() else []
        return {line["test"]: line for line in map(json.loads, lines)}


def runs_inside(item: pytest.Item) -> bool:
    return HERE in item.path.parents


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if INSIDE:
        return
    replay = Replay()
    for item in filter(runs_inside, items):
        item.setup = lambda: None  # type: ignore[method-assign]  # fixtures belong to the other process
        item.runtest = partial(replayed, replay, item)  # type: ignore[method-assign]


def replayed(replay: Replay, item: pytest.Item) -> None:
    if not (ENVIRONMENT / "ready").exists():
        missing = "There is no ComfyUI to test with; `make comfy` installs one into .comfy/."
        if os.environ.get("REDETAIL_TEST_COMFY") == "required":
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    replay(item)


# Inside ----------------------------------------------------------------------------------------------------------


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    written = os.environ.get(OUTCOMES)
    if not INSIDE or not written:
        return
    if report.when != "call" and report.passed:
        return
    text = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else report.longreprtext
    line = {"test": report.nodeid, "outcome": report.outcome, "text": text}
    with Path(written).open("a") as file:
        file.write(json.dumps(line) + "\n")


@pytest.fixture(scope="session")
def toys() -> ModuleType:
    """ComfyUI's objects around toys; importing them needs ComfyUI."""
    torch.set_num_threads(1)
    return importlib.import_module("tests.comfy.inside.toys")


@pytest.fixture(scope="session")
def nodes() -> dict[str, type]:
    """Our node classes by the id that saved workflows hold."""
    from redetail.comfy.registry import all_nodes

    return {node.ID: node for node in all_nodes()}
