"""Progress and cancellation over items."""

import pytest

from redetail.errors import Cancelled
from redetail.progress import CancelToken, with_progress


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
