from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
import pytest

from redetail.errors import InputError, SettingsError
from redetail.region import Size
from redetail.video import Frame, VideoInfo
from redetail.video.span import Span

INFO = VideoInfo(size=Size(4, 4), rate=Fraction(10), time_base=Fraction(1, 100), frames=50, bit_depth=8)
PIXELS = np.zeros((4, 4, 3), np.uint8)


class Timed:
    """A source of frames with these timestamps in hundredths of a second."""

    info = INFO

    def __init__(self, stamps: Sequence[int]) -> None:
        self._stamps = stamps

    @property
    def faults(self) -> tuple[str, ...]:
        """Nothing: x."""
        return ()

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        for index in self.indices(start, stop):
            yield Frame(index, self._stamps[index], PIXELS)

    def indices(self, start: int = 0, stop: int | None = None) -> Iterator[int]:
        yield from range(*slice(start, stop).indices(len(self._stamps)))

    def index_at(self, seconds: Fraction) -> int:
        return sum((stamp - self._stamps[0]) * INFO.time_base < seconds for stamp in self._stamps)


EVEN = Timed([700 + 10 * index for index in range(50)])  # a container may begin at any pts


def chosen(start=None, end=None, source=EVEN):
    return [frame.index for frame in Span(start, end).select(source)]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, range(50)),
        (1, 2, range(10, 20)),
        ("1.05", None, range(11, 50)),
        ("0:01.5", "0:00:03", range(15, 30)),
        ("7f", "9f", range(7, 9)),
        ("4.5", "100", range(45, 50)),
    ],
)
def test_positions_choose_frames(start, end, expected):
    assert chosen(start, end) == list(expected)


def test_time_is_judged_by_time_stamps_and_not_by_the_rate():
    assert chosen(1, None, Timed([0, 10, 300, 310])) == [2, 3]


@pytest.mark.parametrize(
    "text",
    [
        "soon",
        "-1",
        "nan",
        "1:2:3:4",
        "f",
        "",
        True,
        "1e400",
        "9" * 400,
        "9" * 400 + "f",
        10**400,
        "9999999999:00",
        "1e10",
        "\ud800",
    ],
)
def test_what_is_no_position_is_refused(text):
    with pytest.raises(SettingsError, match="start"):
        Span(text, None)


@pytest.mark.parametrize(
    ("start", "end"), [(3, 2), ("5f", "5f"), (2, 2), (None, "0f"), (None, "1e-99999999"), (None, "0e99999999")]
)
def test_the_end_comes_after_the_start(start, end):
    with pytest.raises(SettingsError, match="after"):
        Span(start, end)


def test_a_part_outside_the_clip_is_refused():
    with pytest.raises(InputError, match="no frame between start 9 and the clip's end"):
        chosen(9)


def test_the_estimate_is_what_progress_bars_need():
    assert Span("10f", 2.5).estimated_frames(INFO) == 15
    assert Span(None, 1000).estimated_frames(INFO) == 50
    assert Span(None, None).whole
    assert Span(0, None).whole
    assert not Span(1, None).whole
