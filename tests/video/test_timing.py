"""Positions of frames as players show them; timestamps are tested with the sinks that write them."""

from fractions import Fraction

from redetail.video.timing import timecode


def test_timecodes() -> None:
    assert [timecode(frame, Fraction(24)) for frame in (0, 36, 1500)] == ["0:00.00", "0:01.50", "1:02.50"]
