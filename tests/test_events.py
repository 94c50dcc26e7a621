"""Progress as lines of JSON."""

import io
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from redetail.events import EVERY, VERSION, EventWriter, MessageStream, read_events
from redetail.progress import Progress


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def written(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_start_names_the_version_of_the_layout() -> None:
    stream = io.StringIO()
    EventWriter(stream).start("detail")
    (event,) = written(stream)
    assert event["event"] == "start"
    assert event["version"] == VERSION
    assert event["command"] == "detail"


def test_the_time_left_of_a_pass_follows_from_its_speed() -> None:
    stream, clock = io.StringIO(), Clock()
    events = EventWriter(stream, clock)
    events.progress(Progress("detail", 0, 10))
    clock.now = 4.0
    events.progress(Progress("detail", 2, 10))
    first, second = written(stream)
    assert first["left"] is None
    assert (second["seconds"], second["left"]) == (4.0, 16.0)


def test_reports_that_come_too_often_are_left_out_but_never_the_first_and_the_last() -> None:
    stream, clock = io.StringIO(), Clock()
    events = EventWriter(stream, clock)
    for done in range(11):
        events.progress(Progress("crop", done, 10))
        clock.now += EVERY * 0.26  # a bit more than a quarter, whatever is rounded
    assert [event["done"] for event in written(stream)] == [0, 4, 8, 10]


def test_a_pass_that_starts_again_has_a_time_of_its_own() -> None:
    stream, clock = io.StringIO(), Clock()
    events = EventWriter(stream, clock)
    events.progress(Progress("detail", 5, 5))
    clock.now = 100.0
    events.progress(Progress("detail", 0, 5))
    clock.now = 101.0
    events.progress(Progress("detail", 1, 5))
    assert written(stream)[-1]["seconds"] == 1.0


def test_text_becomes_messages_with_their_level() -> None:
    stream = io.StringIO()
    messages = MessageStream(EventWriter(stream))
    messages.write("Note: a fr")
    messages.write("ame is missing.\nredetail: no space\n\nStopping\nunfinished")
    assert [(event["level"], event["text"]) for event in written(stream)] == [
        ("note", "a frame is missing."),
        ("error", "no space"),
        ("info", "Stopping"),
    ]


def test_a_reader_leaves_out_what_is_not_an_event() -> None:
    lines = ['{"event": "end", "code": 0}', "[h264 @ 0x1] error", '{"event": 3}', "[1]", '{"event": "pro', ""]
    assert list(read_events(lines)) == [{"event": "end", "code": 0}]


@given(st.text(), st.floats(0, 1e6), st.floats(0, 1e6))
def test_whatever_is_written_is_read_again(text: str, done: float, total: float) -> None:
    stream = io.StringIO()
    events = EventWriter(stream)
    events.write("message", level="info", text=text)
    events.progress(Progress(text, done, total))
    message, progress = read_events(stream.getvalue().splitlines())
    assert message["text"] == text
    assert (progress["stage"], progress["done"], progress["total"]) == (text, done, total)
