"""A step that Ctrl-C must not divide is done as a whole or not at all, at whatever moment the signal comes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from redetail import claims
from redetail.errors import OutputError
from redetail.uninterrupted import uninterrupted
from redetail.video.target import Target, check_target

START = threading.Thread.start


def stopped_start(after: bool) -> Callable[[threading.Thread], None]:
    """Starting a thread, interrupted before the system has made it, or after."""

    def start(thread: threading.Thread) -> None:
        if after:
            START(thread)
        raise KeyboardInterrupt

    return start


def test_it_gives_what_the_action_gives() -> None:
    assert uninterrupted(lambda: 3) == 3
    with pytest.raises(OutputError, match="no"):
        uninterrupted(lambda: (_ for _ in ()).throw(OutputError("no")))


def test_it_is_done_by_another_thread() -> None:
    assert uninterrupted(threading.get_ident) != threading.get_ident()


def test_it_is_done_here_where_no_thread_can_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert uninterrupted(threading.get_ident) == threading.get_ident()


@pytest.mark.parametrize("after", [False, True])
def test_an_interrupt_while_the_thread_starts(monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    done: list[int] = []
    monkeypatch.setattr(threading.Thread, "start", stopped_start(after))
    with pytest.raises(KeyboardInterrupt):
        uninterrupted(lambda: done.append(1))
    monkeypatch.undo()
    assert done in ([[1], []] if after else [[]])
    before = list(done)
    for thread in threading.enumerate():
        if thread.name == "redetail-uninterrupted":
            thread.join()
    assert done == before  # it never starts later


@pytest.mark.skipif(sys.platform == "win32", reason="needs pthread_kill")
def test_a_signal_in_the_middle_comes_at_the_end() -> None:
    steps: list[str] = []

    def action() -> None:
        steps.append("begun")
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        threading.Event().wait(0.05)
        steps.append("ended")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            uninterrupted(action)
    finally:
        signal.signal(signal.SIGINT, before)
    assert steps == ["begun", "ended"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("folder", [False, True])
def test_nothing_is_left_of_a_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: bool, after: bool
) -> None:
    starts = [stopped_start(after), START, START]  # what removes it is not interrupted again

    def start(thread: threading.Thread) -> None:
        starts.pop(0)(thread)

    for make in (Target(tmp_path / "out", folder=folder).create, lambda: check_target(tmp_path / "out", None)):
        starts[:] = [stopped_start(after), START, START]
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", start)
            with pytest.raises(KeyboardInterrupt):
                make()
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("after", [False, True])
def test_nothing_is_left_of_a_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    starts = [stopped_start(after), START]

    def start(thread: threading.Thread) -> None:
        starts.pop(0)(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(KeyboardInterrupt), claims.claimed([tmp_path / "out.mp4"]):
        pass
    assert os.listdir(tmp_path) == []
