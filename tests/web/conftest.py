"""A live server for tests of the page: one for all of them, since it takes seconds to start."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIPS = ROOT / "tests" / "data" / "clips"


@dataclass
class Server:
    """``redetail web`` in a separate process, with its address."""

    folder: Path
    process: "subprocess.Popen[str]"
    address: str

    @classmethod
    def start(cls, folder: Path, *options: str) -> "Server":
        command = [sys.executable, "-m", "redetail", "web", "--folder", str(folder), "--port", "0", *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=folder
        )
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "The page is at " in line:
                return cls(folder, process, line.split()[4])
        raise AssertionError(f"the server did not start: {said}")

    def restart(self) -> None:
        """Stop it and start another one for the same folder, at another address."""
        self.stop()
        started = Server.start(self.folder)
        self.process, self.address = started.process, started.address

    def stop(self) -> None:
        """As Ctrl-C does."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the page, with a secret beside it."""
    outer = tmp_path_factory.mktemp("web")
    (outer / "secret.mp4").write_bytes(b"do not tell")
    inner = outer / "clips"
    inner.mkdir()
    return inner


@pytest.fixture(scope="session")
def server(folder: Path) -> Iterator[Server]:
    """A server of that folder."""
    started = Server.start(folder)
    yield started
    started.stop()
