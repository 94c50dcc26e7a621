"""Work in threads comes out in order, with a bounded number of results waiting."""

import threading
import time
from collections.abc import Iterator

import pytest

from redetail.imaging.parallel import ahead, behind, in_order

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


def numbers(count: int, closed: list[bool]) -> Iterator[int]:
    try:
        yield from range(count)
    finally:
        closed.append(True)


def test_items_made_ahead_are_the_same_and_few_wait() -> None:
    made: list[int] = []
    for place, item in enumerate(ahead((made.append(n) or n for n in range(50)), 3)):
        assert item == place
        assert len(made) <= place + 1 + 3
    assert made == list(range(50))


def test_items_are_made_in_another_thread() -> None:
    assert threading.current_thread() not in set(ahead(threading.current_thread() for _ in range(3)))


def test_what_making_an_item_raises_comes_in_its_place() -> None:
    items = ahead(6 // n for n in (3, 2, 0, 1))
    assert [next(items), next(items)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(items)


def test_closing_closes_what_items_come_from_and_leaves_no_thread() -> None:
    closed: list[bool] = []
    before = threading.active_count()
    items = ahead(numbers(1000, closed))
    next(items)
    items.close()  # type: ignore[attr-defined]
    assert closed == [True]
    assert threading.active_count() == before


def test_calls_behind_are_made_in_order_in_another_thread() -> None:
    done: list[tuple[int, bool]] = []
    main = threading.current_thread()
    with behind(lambda n: done.append((n, threading.current_thread() is main))) as later:
        for number in range(50):
            later(number)
            assert len(done) >= number - 2
    assert done == [(number, False) for number in range(50)]


@pytest.mark.parametrize("failing", [0, 5, 9])
def test_what_a_call_behind_raises_is_raised_and_no_other_is_made(failing: int) -> None:
    done: list[int] = []

    def call(number: int) -> None:
        if number == failing:
            raise OSError("full")
        done.append(number)

    def run() -> None:
        with behind(call) as later:
            for number in range(10):
                later(number)

    with pytest.raises(OSError, match="full"):
        run()
    assert done == list(range(failing))


def test_after_an_error_of_the_caller_calls_that_wait_are_given_up() -> None:
    gate, done = threading.Event(), list[int]()

    def call(number: int) -> None:
        gate.wait(30)
        done.append(number)

    def run() -> None:
        with behind(call) as later:
            later(0)
            later(1)
            threading.Timer(0.05, gate.set).start()
            raise KeyError

    before = threading.active_count()
    with pytest.raises(KeyError):
        run()
    assert done in ([0], [0, 1])
    gate.set()
    assert threading.active_count() <= before + 1  # the timer's own may be ending


@pytest.fixture
def interrupted_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C at the moment at which a thread runs and the pool has not noted it yet."""
    start = threading.Thread.start

    def interrupted(self: threading.Thread) -> None:
        start(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)


@pytest.mark.usefixtures("interrupted_start")
def test_items_are_not_closed_while_one_is_made_by_a_thread_that_the_pool_does_not_know() -> None:
    closed: list[str] = []

    def items() -> Iterator[int]:
        try:
            time.sleep(0.2)  # long enough for the other thread to be here
            yield 1
        finally:
            closed.append(threading.current_thread().name)

    with pytest.raises(KeyboardInterrupt):
        next(ahead(items()))
    assert closed in (["MainThread"], [])  # [] where the thread had not started: then there is nothing to close


@pytest.mark.usefixtures("interrupted_start")
def test_nothing_is_called_after_the_end_by_a_thread_that_the_pool_does_not_know() -> None:
    calls: list[int] = []

    def slow(item: int) -> None:
        time.sleep(0.2)
        calls.append(item)

    with pytest.raises(KeyboardInterrupt), behind(slow) as later:
        later(1)
    done = list(calls)
    time.sleep(0.3)
    assert calls == done
