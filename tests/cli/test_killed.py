"""A run that is killed at any moment continues with --resume, and gives what it would have given otherwise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import pictures, write_video

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("REDETAIL_KILLS", "3"))
"""Of each command; a release is tested with 20."""
TWO_BOXES = ["--box", "8,8,40,40", "--box", "50,30,90,70", "--guide-size", "64", "--max-size", "64", "--steps", "2"]


def killed(tmp_path: Path, name: str, *arguments: str) -> dict[str, Any]:
    clip = write_video(tmp_path / "clip.mp4", pictures(26))
    folder = tmp_path / "runs"
    asked = {"clip": str(clip), "folder": str(folder), "name": name, "arguments": [*TWO_BOXES, *arguments],
             "seed": 17, "kills": KILLS}  # fmt: skip
    command = [sys.executable, "-m", "tests.cli.killing", json.dumps(asked)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["code"] == 0, done.stderr
    return told


@pytest.mark.slow
@pytest.mark.parametrize(("name", "arguments"), [("h264.mp4", ["--work-dir"]), ("ffv1.mkv", ["--codec", "ffv1"])])
def test_a_killed_run_goes_on_and_gives_the_same_bytes(tmp_path: Path, name: str, arguments: list[str]) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    told = killed(tmp_path, name, *arguments, *([str(elsewhere)] if "--work-dir" in arguments else []))
    assert told["moments"] > 100
    for trial in told["trials"]:
        assert -9 in trial["codes"]
        assert trial["codes"][-1] in (0, -9)
        assert trial["same"], trial
        assert not trial["partial"], trial
        assert trial["left"] == [], trial
    assert list(elsewhere.iterdir()) == []
