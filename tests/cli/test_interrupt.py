"""Ctrl-C once stops after the step, twice at once; afterwards signals are as they were."""

import os
import signal
import threading
from pathlib import Path

import pytest

from redetail.cli.interrupt import MESSAGE, SIGNALS, stop_on_signal
from redetail.errors import Cancelled


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
        signal.raise_signal(signal.SIGTERM)  # temporary files are being removed
        assert {signal.getsignal(number) for number in SIGNALS} == {signal.SIG_DFL}


def test_a_signal_does_not_disturb_work_that_cleans_up() -> None:
    with stop_on_signal() as token:
        token.check()
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Cancelled):
            token.check()
        signal.raise_signal(signal.SIGINT)
        assert {signal.getsignal(number) for number in SIGNALS} == {signal.SIG_DFL}


def test_what_was_set_before_is_restored() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with stop_on_signal() as token:
        token.check()
        signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("number", SIGNALS)
def test_before_work_has_started_the_first_signal_stops_at_once(number: signal.Signals) -> None:
    with stop_on_signal():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        signal.raise_signal(signal.SIGINT)  # passed over: what was made so far is being removed


@pytest.mark.parametrize("number", SIGNALS)
def test_a_pipe_that_nobody_writes_to_is_left_at_once(tmp_path: Path, number: signal.Signals) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), number))
    with stop_on_signal():
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            pipe.read_text()
