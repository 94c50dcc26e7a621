"""A whole run that left a group out does not pass where it must be complete."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.groups import GROUPS, VARIABLE, Group

ROOT = Path(__file__).parents[1]
CONFTEST = """
from tests.groups import Group, GroupCounts

GROUPS = (Group("letters", ("test_letters.py",), may_skip=("test_z",)), Group("digits", ("test_digits.py",)))


def pytest_configure(config):
    plugin = GroupCounts(GROUPS)
    config.pluginmanager.register(plugin, "groups")
"""
LETTERS = """
import pytest

def test_a(): pass

def test_z(): pytest.skip("may be missing")
"""
DIGITS = """
import pytest

def test_1(): {}
"""


def run(folder: Path, *arguments: str, **variables: str) -> tuple[int, list[str]]:
    """Exit code and output of pytest in a folder, without plugins that it need not load."""
    inherited = {name: value for name, value in os.environ.items() if name not in (VARIABLE, "CI", "PYTEST_ADDOPTS")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    environment = {**inherited, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **variables}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = .\n")
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_letters.py").write_text(LETTERS)
    (tmp_path / "test_digits.py").write_text(DIGITS.format("pass"))
    return tmp_path


@pytest.mark.parametrize("processes", [(), ("-p", "xdist", "-n", "2", "--dist", "loadscope")])
def test_a_complete_run_passes_and_counts(project: Path, processes: tuple[str, ...]) -> None:
    code, lines = run(project, *processes, REDETAIL_CI_GROUPS="required")
    assert code == 0, lines
    assert [line.split() for line in lines if "passed  " in line] == [
        ["letters", "1", "passed", "1", "skipped"],
        ["digits", "1", "passed", "0", "skipped"],
    ]


@pytest.mark.parametrize("body", ["pytest.skip('no camera')", "assert False"])
def test_a_skipped_group_fails_only_where_it_is_required(project: Path, body: str) -> None:
    (project / "test_digits.py").write_text(DIGITS.format(body))
    assert run(project)[0] == int("assert" in body)
    for variables in ({VARIABLE: "required"}, {"CI": "true"}):
        code, lines = run(project, **variables)
        assert code == 1
        assert "Incomplete: no test of the group 'digits' ran" in lines
    assert ("Incomplete: test_digits.py::test_1 was skipped" in lines) == ("skip" in body)


def test_a_missing_file_is_a_missing_group(project: Path) -> None:
    (project / "test_digits.py").unlink()
    assert run(project, CI="1")[0] == 1


def test_a_part_of_the_tests_is_not_taken_for_all(project: Path) -> None:
    assert run(project, "test_letters.py", CI="1")[0] == 0
    assert run(project, "-k", "a", CI="1")[0] == 0
    assert run(project, "test_letters.py", CI="1", REDETAIL_CI_GROUPS="required")[0] == 1


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_every_group_names_what_exists(group: Group) -> None:
    for path in group.paths:
        file, _, test = path.partition("::")
        assert (ROOT / file).exists()
        assert f"def {test}" in (ROOT / file).read_text() if test else True
