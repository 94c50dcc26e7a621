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
KILLS = int(os.environ.get("REDETAIL_KILLS", "0"))
"""Of each command, where it is given: a release is tested with 20."""
TWO_BOXES = ["--box", "8,8,40,40", "--box", "50,30,90,70", "--guide-size", "64", "--max-size", "64", "--steps", "2"]
OUTPUTS = {
    "h264.mp4": (["--work-dir"], KILLS or 3),
    "ffv1.mkv": (["--codec", "ffv1"], KILLS or 3),
    "h265.mp4": (["--codec", "h265"], KILLS or 1),
    "vp9.webm": (["--codec", "vp9"], KILLS or 1),
    "av1.webm": (["--codec", "av1"], KILLS or 1),
    "frames": ([], KILLS or 1),
}
"""Options and number of kills of each output; one has its work in another folder."""


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What became of the runs of each output. All are run by one process: importing takes longer than a run."""
    folder = tmp_path_factory.mktemp("killed")
    clip, elsewhere = write_video(folder / "clip.mp4", pictures(26)), folder / "elsewhere"
    elsewhere.mkdir()
    asked = [
        {
            "clip": str(clip),
            "folder": str(folder / f"runs of {name}"),
            "name": name,
            "arguments": [*TWO_BOXES, *arguments, *([str(elsewhere)] if "--work-dir" in arguments else [])],
            "seed": 17,
            "kills": kills,
        }
        for name, (arguments, kills) in OUTPUTS.items()
    ]
    command = [sys.executable, "-m", "tests.cli.killing", json.dumps(asked)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(elsewhere.iterdir()) == []
    return dict(zip(OUTPUTS, json.loads(done.stdout), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", OUTPUTS)
def test_a_killed_run_goes_on_and_gives_the_same_bytes(reports: dict[str, dict[str, Any]], name: str) -> None:
    told = reports[name]
    assert told["code"] == 0
    assert told["bytes"] > 1000
    assert told["moments"] > 100
    assert len(told["trials"]) == OUTPUTS[name][1]
    for trial in told["trials"]:
        assert -9 in trial["codes"]
        assert trial["codes"][-1] in (0, -9)
        assert trial["same"], trial
        assert not trial["partial"], trial
        assert trial["left"] == [], trial
