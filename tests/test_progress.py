"""Progress and cancellation over items."""

import pytest

from redetail.errors import Cancelled
from redetail.progress import CancelToken, duration, with_progress


def test_progress_counts_items_and_ends_complete() -> None:
    reports = []
    assert list(with_progress("abcdef", 4, "detect", reports.append)) == list("abcdef")
    assert [report.done for report in reports] == [0, 1, 2, 3, 4, 5, 6, 6]
    assert (reports[-1].done, reports[-1].total) == (6, 6)


def test_cancelling_is_noticed_at_every_item() -> None:
    token = CancelToken()
    items = with_progress("abcdef", 6, "detect", cancel=token)
    next(items)
    token.cancel()
    with pytest.raises(Cancelled):
        next(items)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (7.04, "7.0 s"),
        (42.4, "42 s"),
        (59.6, "1 min 0 s"),
        (185, "3 min 5 s"),
        (3599.6, "1 h 0 min"),
        (3729, "1 h 2 min"),
        (7199, "2 h 0 min"),
        (360_000, "100 h 0 min"),
    ],
)
def test_a_duration_reads_as_people_say_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text
