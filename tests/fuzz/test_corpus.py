"""A part of the campaign with fixed seeds (``make fuzz`` is the whole), and the judge itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SELF_CHECK = """
import sys, time
from pathlib import Path
from tests.fuzz.harness import Case, run

def left(): Path("new").touch(); return 0
def changed(): Path("given").write_text("x"); return fine()
def failed(): raise KeyError("x")
def bug(): sys.stderr.write("This is a bug in redetail"); return 1
def large(): sys.stdout.kept = bytearray(b"x" * (700 << 20)); return 2
def fine(): sys.stderr.write("redetail: one sentence.\\n"); return 2
def silent(): return 2
def killed(): import os; os.abort()

def make(act):
    def made(rng, folder):
        (folder / "given").write_text("given")
        return Case(act)
    return made

for act in (left, changed, failed, bug, large, fine, silent, killed):
    print(act.__name__, run(make(act), 0, Path(sys.argv[1]) / act.__name__).fault)
"""

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="cases are forked and measured in /proc")


def python(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A separate process: threads of the tests must not be copied into cases."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_faults_are_seen(tmp_path: Path) -> None:
    ran = python("-c", SELF_CHECK, tmp_path)
    assert dict(line.split(" ", 1) for line in ran.stdout.splitlines()) == {
        "left": "leftover",
        "changed": "changed input",
        "failed": "traceback",
        "bug": "bug",
        "large": "memory",
        "fine": "None",
        "silent": "wordy",
        "killed": "crash",
    }, ran.stderr


def test_known_cases_stay_mended() -> None:
    ran = python("-m", "tests.fuzz", "--cases", 2, "--processes", 2)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "50 cases in" in ran.stdout
