"""Ctrl-C once stops after the step, twice at once; afterwards signals are as they were."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from redetail.cli.interrupt import MESSAGE, SIGNALS, stop_on_signal

CLIP = Path(__file__).parents[1] / "data" / "clips" / "guitarist.mp4"
BLOCKED = "import sys; from redetail.cli import commands, main; print('ready', file=sys.stderr); sys.exit(main.main())"


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_only_asks(number: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    with stop_on_signal() as token:
        token.check()  # work has started
        assert not token.cancelled
        signal.raise_signal(number)
        assert token.cancelled
    assert capsys.readouterr().err == MESSAGE


def test_the_second_signal_interrupts() -> None:
    with stop_on_signal() as token:
        token.check()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL


def test_what_was_set_before_is_restored() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with stop_on_signal() as token:
        token.check()
        signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("number", SIGNALS)
def test_before_work_has_started_the_first_signal_stops_at_once(number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt), stop_on_signal():
        signal.raise_signal(number)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("option", ["--job", "--segs"])
def test_a_pipe_that_nobody_writes_to_is_left_at_once(tmp_path: Path, number: signal.Signals, option: str) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    command = [sys.executable, "-c", BLOCKED, "detail", CLIP, "-o", tmp_path / "out.mp4", option, pipe]
    with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        time.sleep(0.5)  # until it blocks; a signal that comes earlier stops it as well
        process.send_signal(number)
        said = process.stderr.read()
        assert process.wait(timeout=20) == 130
    assert said == "redetail: Stopped; nothing was written.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["pipe.json"]
