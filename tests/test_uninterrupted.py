"""A step that Ctrl-C must not divide is done as a whole, whenever the signal comes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from redetail import claims, locks
from redetail.errors import OutputError
from redetail.uninterrupted import SIGNALS, uninterrupted
from redetail.video.target import Target, check_target


@pytest.fixture(autouse=True)
def handlers() -> Iterator[dict[int, object]]:
    """KeyboardInterrupt for every signal; at the end each has its own handler still."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in SIGNALS}
    try:
        yield before
        assert all(signal.getsignal(number) is signal.default_int_handler for number in SIGNALS)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_it_gives_what_the_action_gives() -> None:
    def refuse() -> None:
        raise OutputError("no")

    assert uninterrupted(lambda: 3) == 3
    with pytest.raises(OutputError, match="no"):
        uninterrupted(refuse)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_in_the_middle_comes_at_the_end(number: int) -> None:
    steps: list[str] = []

    def action() -> None:
        steps.append("started")
        signal.raise_signal(number)
        steps.append("ended")

    with pytest.raises(KeyboardInterrupt):
        uninterrupted(action)
    assert steps == ["started", "ended"]


def test_every_signal_is_delivered() -> None:
    came: list[int] = []
    for number in SIGNALS:
        signal.signal(number, lambda number, _: came.append(number))
    uninterrupted(lambda: [signal.raise_signal(number) for number in (*SIGNALS, SIGNALS[0])])
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler)
    assert came == [*SIGNALS, SIGNALS[0]]


@pytest.mark.parametrize("call", range(8))
def test_handlers_are_set_again_if_a_signal_comes_while_they_are_set(
    monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    calls, own = [0], signal.signal

    def interrupted(number: int, handler: object) -> object:
        before = own(number, handler)  # type: ignore[arg-type]
        calls[0] += 1
        if calls[0] == call + 1:
            signal.raise_signal(signal.SIGINT)
        return before

    monkeypatch.setattr(signal, "signal", interrupted)
    try:
        uninterrupted(lambda: None)
    except KeyboardInterrupt:
        assert call < 2 * len(SIGNALS)
    else:
        assert call >= 2 * len(SIGNALS)


def test_in_another_thread_the_action_is_merely_called() -> None:
    threads: list[threading.Thread] = []
    thread = threading.Thread(target=lambda: uninterrupted(lambda: threads.append(threading.current_thread())))
    thread.start()
    thread.join()
    assert threads == [thread]


@pytest.fixture
def stopped_after_locking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C comes when a file was made and locked, before whoever made it is told."""
    own = locks.lock

    def lock(path: Path) -> int | None:
        descriptor = own(path)
        signal.raise_signal(signal.SIGINT)
        return descriptor

    monkeypatch.setattr(locks, "lock", lock)


@pytest.mark.usefixtures("stopped_after_locking")
@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("probed", [False, True])
def test_nothing_is_left_of_a_target(tmp_path: Path, folder: bool, probed: bool) -> None:
    def probe() -> None:
        check_target(tmp_path / "out", None, folder=folder)

    make: Callable[[], None] = probe if probed else Target(tmp_path / "out", folder=folder).create
    with pytest.raises(KeyboardInterrupt):
        make()
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("stopped_after_locking")
def test_nothing_is_left_of_a_claim(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), claims.claimed([tmp_path / "out.mp4"]):
        pass
    assert os.listdir(tmp_path) == []
