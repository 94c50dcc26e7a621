import pytest

from redetail.pipeline import stopwatch as module
from redetail.pipeline.stopwatch import PassTime, Stopwatch


def test_time_counts_for_the_innermost_pass_alone(monkeypatch):
    now = 0.0
    monkeypatch.setattr(module.time, "perf_counter", lambda: now)
    watch = Stopwatch()
    with watch("detail"):
        now += 1
        with watch("crop"):
            now += 10
        now += 2
        with watch("crop"):
            now += 10
    now += 100
    with watch("write"):
        now += 5
    assert watch.seconds == {"detail": 3, "crop": 20, "write": 5}
    assert watch.passes(40)["crop"] == PassTime(20, 40)


def test_a_pass_that_fails_counts(monkeypatch):
    now = 0.0
    monkeypatch.setattr(module.time, "perf_counter", lambda: now)
    watch = Stopwatch()

    def fail():
        nonlocal now
        with watch("crop"):
            now += 3
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert watch.seconds == {"crop": 3}
