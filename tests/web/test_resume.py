"""A run whose process is killed, and that the queue resumes."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from redetail.cli.main import main
from redetail.web.queue import Process, RunQueue, launch_worker
from redetail.web.runs import Kind, Run, RunStore, State, status_of, write_exit
from tests.cli.conftest import pictures, write_video

WAIT = 120
ASKED = ("--box=8,8,40,40", "--guide-size=64", "--max-size=64", "--steps=2", "--quiet")


class Done:
    """A process that ended."""

    def poll(self) -> int:
        return 0


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_run_is_resumed_to_the_same_bytes(tmp_path: Path) -> None:
    """The first attempt is a process, which is killed; the second one runs here, where all is imported already."""
    clip, output = write_video(tmp_path / "clip.mp4", pictures(24)), tmp_path / "out.mp4"
    command = ("detail", str(clip), "-o", str(output), *ASKED)
    processes: list[subprocess.Popen[bytes]] = []

    def launch(run: Run) -> Process:
        if processes:
            write_exit(run.folder, run.attempt, main(run.current[0]))
            return Done()
        process = launch_worker(run)
        assert isinstance(process, subprocess.Popen)
        processes.append(process)
        return process

    def make(folder: Path) -> Run:
        again = (*command, "--resume")
        return Run(folder=folder, kind=Kind.DETAIL, title="clip", commands=(command,), again=(again,), source=clip)

    queue = RunQueue(RunStore(tmp_path / "runs"), launch)
    run = queue.add(make)
    while status_of(run).stage != "detail":
        assert processes[0].poll() is None, run.events.read_text()
        time.sleep(0.01)
    processes[0].kill()
    processes[0].wait(WAIT)
    queue.tick()
    assert queue.get(run.name).state is State.STOPPED
    assert not output.exists()

    queue.resume(run.name)
    queue.tick()
    assert queue.get(run.name).state is State.DONE, run.events.read_text()
    assert main([*command[:3], str(tmp_path / "whole.mp4"), *ASKED]) == 0
    assert output.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
