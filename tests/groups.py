"""Groups of tests that a whole run must contain: each is counted, and a run that left one out does not pass in CI.

A skipped test looks like a passed one in the last line of a run. So after a whole run (``pytest`` without names of
files) every group is listed with the number of its tests that passed and were skipped. Where
``REDETAIL_CI_GROUPS=required`` is set, or ``CI``, as services for continuous integration do, the run fails if a group
is empty or skipped a test.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

VARIABLE = "REDETAIL_CI_GROUPS"


@dataclass(frozen=True)
class Group:
    """Tests under ``paths`` (beginnings of node ids); ``may_skip`` are names of tests that an environment may lack."""

    name: str
    paths: tuple[str, ...]
    may_skip: tuple[str, ...] = ()

    def __contains__(self, test: str) -> bool:
        return test.startswith(self.paths)

    def must_run(self, test: str) -> bool:
        """Whether a skip of this test is an error."""
        return not any(f"::{name}" in test for name in self.may_skip)


GROUPS = (
    Group("sampling vectors", ("tests/sampling/test_recorded.py", "tests/engines/test_latent_golden.py")),
    Group("node contract", ("tests/comfy/test_node_contract.py", "tests/comfy/test_recorded_small_nodes.py")),
    Group("node vectors in ComfyUI", ("tests/comfy/inside/test_recorded_nodes.py",)),
    Group(
        "nodes in ComfyUI",
        ("tests/comfy/inside/",),
        may_skip=("test_context_windows_of_the_core_are_used",),  # the ComfyUI of `make comfy` is older than these
    ),
    Group("page in a browser", ("tests/web/",)),
    Group("engine contract", ("tests/engines/test_contract.py",)),
    Group("command line", ("tests/cli/",)),
    Group("end to end", ("tests/end_to_end/",)),
    Group(
        "video round trips",
        ("tests/video/",),
        may_skip=("test_a_write_protected_folder", "test_no_permission"),  # nothing is forbidden to root
    ),
    Group("report in a browser", ("tests/pipeline/test_page.py::test_a_browser",)),
    Group("public surface", ("tests/test_public.py", "tests/test_layout.py", "tests/test_readme.py")),
    Group("wheel", ("tests/test_wheel.py",)),
)


@dataclass(eq=False)  # plugins are kept in sets
class GroupCounts:
    """Pytest plugin: counts what ran, prints it, and fails a run that must be complete and is not."""

    groups: Sequence[Group] = GROUPS
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    passed: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    wrongly_skipped: list[str] = field(default_factory=list)
    whole: bool = False

    @property
    def required(self) -> bool:
        """Whether an incomplete run fails: where it is asked for, or a whole run in CI."""
        return self.environment.get(VARIABLE) == "required" or (self.whole and bool(self.environment.get("CI")))

    def pytest_configure(self, config: pytest.Config) -> None:
        """A whole run names no files and chooses no tests."""
        chosen = config.option.keyword or config.option.markexpr or config.option.collectonly
        self.whole = config.args_source is not config.ArgsSource.ARGS and not chosen

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test in every group that has it."""
        for group in (group for group in self.groups if report.nodeid in group):
            if report.skipped:
                self.skipped[group.name] += 1
                if group.must_run(report.nodeid):
                    self.wrongly_skipped.append(report.nodeid)
            elif report.passed and report.when == "call":
                self.passed[group.name] += 1

    def problems(self) -> list[str]:
        """A line for everything that a complete run would not have."""
        missing = [f"no test of the group {group.name!r} ran" for group in self.groups if not self.passed[group.name]]
        return missing + [f"{test} was skipped" for test in sorted(set(self.wrongly_skipped))]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A run that passed fails if it had to be complete and was not."""
        if self.required and self.problems() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The table, and what is wrong with it."""
        if not (self.whole or self.required):
            return
        terminalreporter.section("groups")
        for group in self.groups:
            passed, skipped = self.passed[group.name], self.skipped[group.name]
            terminalreporter.line(f"{group.name:24} {passed:5} passed {skipped:3} skipped")
        for problem in self.problems() if self.required else ():
            terminalreporter.line(f"Incomplete: {problem}", red=True)
