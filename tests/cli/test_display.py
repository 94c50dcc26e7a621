"""Progress: what a log file gets, and what a terminal gets."""

import io
import subprocess
import sys

import pytest

from redetail.cli.display import LINE_EVERY, Lines, progress_display, tell
from redetail.progress import Progress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_say_begin_and_end_once() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = Lines(stream, clock)
    for done in (0, 50, 100, 100):
        lines(Progress("detect", done, 100))
        clock.now += 1
    assert stream.getvalue().splitlines() == [
        "Finding subjects: 100 frames to do",
        "Finding subjects: 100 frames in 2.0 s",
    ]


def test_lines_estimate_the_time_left_of_a_long_pass() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = Lines(stream, clock)
    lines(Progress("detail", 0, 300, "steps"))
    clock.now = LINE_EVERY
    lines(Progress("detail", 100, 300, "steps"))
    clock.now += LINE_EVERY / 2
    lines(Progress("detail", 150, 300, "steps"))
    assert stream.getvalue().splitlines()[1:] == ["Detailing: 100 of 300 steps, about 30 s left"]


def test_lines_announce_every_pass_even_one_of_unknown_length() -> None:
    stream = io.StringIO()
    lines = Lines(stream, Clock())
    lines(Progress("detect", 0, 0))
    lines(Progress("detect", 4, 4))
    lines(Progress("write", 0, 4))
    assert stream.getvalue().splitlines() == [
        "Finding subjects: started",
        "Finding subjects: 4 frames in 0.0 s",
        "Writing: 4 frames to do",
    ]


def test_lines_of_passes_that_run_together_say_begin_and_end_once() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = Lines(stream, clock)
    for done in range(4):
        clock.now = float(done)
        lines(Progress("crop", done, 3))
        lines(Progress("detail", done, 3))
    assert stream.getvalue().splitlines() == [
        "Cropping: 3 frames to do",
        "Detailing: 3 frames to do",
        "Cropping: 3 frames in 3.0 s",
        "Detailing: 3 frames in 3.0 s",
    ]


def test_a_pass_over_several_subjects_is_told_for_each() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = Lines(stream, clock)
    for done in (0, 2.5, 5, 0, 5):
        lines(Progress("detail", done, 5))
        clock.now += 1
    assert stream.getvalue().splitlines() == [
        "Detailing: 5 frames to do",
        "Detailing: 5 frames in 2.0 s",
        "Detailing: 5 frames to do",
        "Detailing: 5 frames in 1.0 s",
    ]


def test_a_terminal_gets_a_bar_for_each_pass() -> None:
    stream = Terminal()
    with progress_display(quiet=False, stream=stream) as report:
        report(Progress("detect", 0, 0))
        report(Progress("detect", 12, 12))
        report(Progress("write", 3, 12))
    drawn = stream.getvalue()
    assert "Finding subjects" in drawn
    assert "12/12" in drawn
    assert "3/12" in drawn


def test_quiet_says_nothing() -> None:
    stream = Terminal()
    with progress_display(quiet=True, stream=stream) as report:
        report(Progress("detect", 12, 12))
    assert stream.getvalue() == ""


@pytest.mark.parametrize("redirection", ["", " 2>&1"])
def test_a_reader_that_leaves_gets_no_traceback(redirection: str) -> None:
    code = "from redetail.cli.display import tell; tell('x' * 100000); tell('y' * 100000)"
    script = f'{sys.executable} -c "{code}"{redirection} | head -c 1; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "x", "")


def test_names_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    tell("\x1b]0;owned\x07face\x9b2J\r 1\tx\n")
    assert capsys.readouterr().out == "\\x1b]0;owned\\x07face\\x9b2J\\x0d 1\tx\n"
