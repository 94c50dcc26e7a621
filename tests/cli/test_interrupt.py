"""Ctrl-C once stops after the step, twice at once; afterwards signals are as they were."""

import signal

import pytest

from redetail.cli.interrupt import MESSAGE, stop_on_signal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_only_asks(number: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    with stop_on_signal() as token:
        assert not token.cancelled
        signal.raise_signal(number)
        assert token.cancelled
    assert capsys.readouterr().err == MESSAGE


def test_the_second_signal_interrupts() -> None:
    with stop_on_signal():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL


def test_what_was_set_before_is_restored() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with stop_on_signal():
        signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
