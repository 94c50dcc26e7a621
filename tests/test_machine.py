"""Memory of the machine, and what a container allows of it."""

import mmap
from types import SimpleNamespace

import psutil
import pytest

from redetail import machine


@pytest.fixture
def group(tmp_path, monkeypatch):
    """Write what the kernel says of the group of processes."""
    monkeypatch.setattr(machine, "_LIMITS", (str(tmp_path / "none"), str(tmp_path / "max")))
    monkeypatch.setattr(machine, "_USED", (str(tmp_path / "current"),))

    def write(limit: str, used: str) -> None:
        (tmp_path / "max").write_text(limit + "\n")
        (tmp_path / "current").write_text(used + "\n")

    return write


def test_a_container_limits_what_there_is_and_what_is_free(group) -> None:
    group("100000000", "60000000")
    assert machine.physical_memory() == 100_000_000
    assert machine.available_memory() == 40_000_000
    group("100000000", "120000000")
    assert machine.available_memory() == 0


def test_without_a_limit_the_machine_counts(group) -> None:
    group("max", "60000000")
    assert machine.physical_memory() == psutil.virtual_memory().total
    assert 0 < machine.available_memory() <= machine.physical_memory()


def test_what_this_process_holds_grows_with_what_it_takes() -> None:
    before = machine.resident_memory()
    with mmap.mmap(-1, 50_000_000) as held:  # pages of its own, where the heap might have free ones
        held.write(b"x" * 50_000_000)
        assert machine.resident_memory() - before > 40_000_000


@pytest.mark.parametrize("name", ["linux", "darwin", "win32"])
def test_memory_is_given_back_where_the_c_library_can(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    library = SimpleNamespace(malloc_trim=asked.append)
    monkeypatch.setattr(machine.sys, "platform", name)
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda _: library)
    machine._malloc_trim.cache_clear()
    machine.give_back_memory()
    machine._malloc_trim.cache_clear()
    assert asked == ([0] if name == "linux" else [])


def test_other_c_libraries_keep_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda _: SimpleNamespace())
    machine._malloc_trim.cache_clear()
    machine.give_back_memory()
    machine._malloc_trim.cache_clear()
