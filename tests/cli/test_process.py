"""The command in a separate process, with the bundled model: what a user runs."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import pytest
import torch

from redetail.cli.main import main

ROOT = Path(__file__).parents[2]
CLIP = ROOT / "tests" / "data" / "clips" / "guitarist.mp4"
REDETAIL = (sys.executable, "-m", "redetail")
FRAMES = 5
QUICK = ("--guide-size", "96", "--max-size", "192")
SMALL = ("--guide-size", "48", "--max-size", "64", "--box", "130,60,190,140")


def redetail(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*REDETAIL, *map(str, arguments)], capture_output=True, text=True, check=False, **options)


def times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


def keys(document: object) -> set[str]:
    """All names in a JSON document but those of the settings and of the job, which have pages of their own."""
    if isinstance(document, list):
        return set().union(*map(keys, document))
    if not isinstance(document, dict):
        return set()
    inner = [keys(value) for name, value in document.items() if name not in ("settings", "job")]
    return set(document).union(*inner)


@pytest.mark.slow
def test_faces_are_detailed_and_nothing_else(tmp_path: Path) -> None:
    output, report = tmp_path / "out.mp4", tmp_path / "report.json"
    done = redetail("detail", CLIP, "-o", output, "--report", report, "--end", f"{FRAMES}f", *QUICK)
    assert done.returncode == 0, done.stderr
    assert times(output) == times(CLIP)[:FRAMES]
    told = json.loads(report.read_text())
    assert [region["label"] for region in told["regions"]] == ["face 1"]
    assert told["untouched"]["frames"] == FRAMES
    assert told["untouched"]["changed_pixels_outside_masks"] == 0
    explained = (ROOT / "docs" / "report.md").read_text()
    assert [name for name in keys(told) if f"`{name}`" not in explained and f".{name}`" not in explained] == []
    measured = told["regions"][0]["measured"]
    assert measured["mean_change"] > 0
    assert measured["warped_error"]["ratio"] <= 1.3
    assert f"1 subject detailed in {FRAMES} frames" in done.stdout


@pytest.mark.slow
def test_equal_seeds_give_equal_pictures(tmp_path: Path) -> None:
    """In a separate process with one seed, and in this one, at as many threads, with two."""
    asked = ("detail", CLIP, "--end", "3f", *SMALL, "--cfg", "30")  # less hardly changes a sharp clip
    threads = {"env": {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}}
    done = redetail(*asked, "-o", tmp_path / "alone", "--seed", 5, **threads)
    assert done.returncode == 0, done.stderr
    for name, seed in (("here", 5), ("other", 6)):
        assert main([*map(str, asked), "-o", str(tmp_path / name), "--seed", str(seed), "--quiet"]) == 0
    alone, here, other = (
        [path.read_bytes() for path in sorted((tmp_path / name).iterdir())] for name in ("alone", "here", "other")
    )
    assert len(alone) == len(here) == len(other) == 3
    assert alone == here
    assert here != other


@pytest.mark.slow
def test_ctrl_c_ends_the_process_within_a_step(tmp_path: Path) -> None:
    command = [*REDETAIL, "detail", CLIP, "-o", tmp_path / "out.mp4", "--end", "4f", "--steps", "1000", *SMALL]
    with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("Detailing"):
                process.send_signal(signal.SIGINT)
                break
        said = process.stderr.read()
        assert process.wait(timeout=60) == 130
    assert said.endswith("redetail: Stopped; nothing was written.\n")
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = redetail("detail", tmp_path / "nowhere.mp4", "-o", tmp_path / "out.mp4")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"redetail: There is no file or folder {tmp_path / 'nowhere.mp4'}; check the name.\n"
