"""A finished run never ends as an error because of where its messages go."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SAY = """
import sys
from redetail.cli.streams import make_lenient
make_lenient()
for stream in (sys.stdout, sys.stderr):
    for _ in range(3):
        stream.write("gesagt: \\u5b57 \\udcff\\n")
    stream.flush()
sys.exit(3)
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("redirection", [">/dev/full", "2>/dev/full", ">/dev/full 2>&1", ">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_streams_that_cannot_be_written_to(redirection: str, encoding: str) -> None:
    script = f"{sys.executable} -c '{SAY}' {redirection}"
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(["bash", "-c", script], capture_output=True, env=environment, check=False)
    assert done.returncode == 3
    assert b"Error" not in done.stderr
    assert b"Exception" not in done.stderr


def test_characters_that_an_encoding_lacks_are_escaped() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", SAY], capture_output=True, env=environment, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "gesagt: \\u5b57 \\udcff\n" * 3)


def test_a_reader_that_goes_away_is_no_error() -> None:
    script = f"{sys.executable} -c '{SAY}' 2>&1 | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "g", "")


@pytest.mark.skipif(os.name == "nt", reason="needs a shell that closes descriptors")
def test_no_file_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    script = (
        "import os, sys; from redetail.cli.streams import make_lenient; make_lenient(); "
        f"sys.exit(os.open('{tmp_path / 'made'}', os.O_CREAT | os.O_WRONLY))"
    )
    done = subprocess.run(["bash", "-c", f'{sys.executable} -c "{script}" <&- >&- 2>&-'], check=False)
    assert done.returncode > 2
