"""``--progress json``: all of standard error is lines of JSON."""

import json
from pathlib import Path
from typing import Any

from redetail.engines import FakeEngine
from tests.cli.conftest import FRAMES, Run


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_reports_its_passes_between_start_and_end(run: Run, fake_engine: FakeEngine, clip: Path) -> None:
    output = clip.with_name("out.mp4")
    ran = run("detail", clip, "-o", output, "--box", "10,10,60,60", "--progress", "json")
    assert ran.code == 0
    told = events(ran.err)
    assert (told[0]["event"], told[0]["command"]) == ("start", "detail")
    assert told[-1] == {"event": "end", "code": 0}
    written = [event for event in told if event["event"] == "progress" and event["stage"] == "write"]
    assert (written[-1]["done"], written[-1]["total"], written[-1]["unit"]) == (FRAMES, FRAMES, "frames")
    assert "detailed in 6 frames" in ran.out


def test_a_refusal_is_an_event_too(run: Run) -> None:
    ran = run("detail", "--progress=json", "--guide-szie", "3")
    start, message, end = events(ran.err)
    assert (start["event"], end) == ("start", {"event": "end", "code": 2})
    assert message["level"] == "error"
    assert "did you mean --guide-size" in message["text"]


def test_a_batch_reports_every_clip(run: Run, fake_engine: FakeEngine, clip: Path) -> None:
    ran = run("batch", clip, "missing.mp4", "-o", clip.with_name("out"), "--box=10,10,60,60", "--progress", "json")
    assert ran.code == 3
    clips = [(event["number"], event["of"], event["state"]) for event in events(ran.err) if event["event"] == "clip"]
    assert clips == [(1, 2, "started"), (1, 2, "done"), (2, 2, "started"), (2, 2, "failed")]
