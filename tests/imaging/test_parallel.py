"""Work in threads comes out in order, with a bounded number of results waiting."""

import threading
from collections.abc import Iterator

import pytest

from redetail.imaging.parallel import in_order

THREADS = [1, 2, 5]


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("count", [0, 1, 3, 40])
def test_results_come_in_the_order_of_the_items(threads: int, count: int) -> None:
    assert list(in_order(lambda n: n * n, range(count), threads)) == [n * n for n in range(count)]


def test_items_are_worked_on_at_once() -> None:
    """Each call waits for another one to have started: one after the other they would wait forever."""
    meeting = threading.Barrier(3, timeout=30)

    def meet(item: int) -> int:
        meeting.wait()
        return item

    assert list(in_order(meet, range(6), 3)) == list(range(6))


def test_one_thread_is_the_callers_own() -> None:
    assert set(in_order(lambda _: threading.current_thread(), range(3), 1)) == {threading.current_thread()}


@pytest.mark.parametrize("threads", THREADS)
def test_no_more_items_are_taken_than_there_are_threads_beyond_the_results(threads: int) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number

    for place, _ in enumerate(in_order(lambda n: n, items(), threads), start=1):
        assert taken <= place + threads


@pytest.mark.parametrize("threads", THREADS)
def test_what_a_call_raises_comes_in_its_place(threads: int) -> None:
    results = in_order(lambda n: 6 // n, (3, 2, 0, 1), threads)
    assert [next(results), next(results)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


def test_closing_gives_up_what_has_not_begun_and_leaves_no_thread() -> None:
    done: list[int] = []
    before = threading.active_count()
    results = in_order(lambda n: done.append(n), range(1000), 2)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert len(done) <= 4
    assert threading.active_count() == before
