"""The queue: order, room, stops, and a server that starts again."""

from collections.abc import Callable
from pathlib import Path

import pytest

from redetail.errors import InputError, SettingsError
from redetail.web.locks import FileLock
from redetail.web.queue import MOST_WAITING, RunQueue
from redetail.web.runs import Kind, Run, RunStore, State, write_exit


class Processes:
    """Stands for processes: each lives until a test ends it."""

    def __init__(self) -> None:
        self.started: list[Run] = []
        self.codes: dict[str, int] = {}
        self.locks: dict[str, FileLock] = {}

    def launch(self, run: Run) -> "Handle":
        self.started.append(run)
        self.codes.pop(run.name, None)
        self.locks[run.name] = FileLock(run.lock)
        assert self.locks[run.name].take()
        return Handle(self, run)

    def end(self, run: Run, code: int | None = 0) -> None:
        """The process ends, or is killed (None)."""
        if code is not None:
            write_exit(run.folder, run.attempt, code)
        self.codes[run.name] = -9 if code is None else code
        self.locks[run.name].release()

    @property
    def names(self) -> list[str]:
        return [run.title for run in self.started]


class Handle:
    """One of them."""

    def __init__(self, processes: Processes, run: Run) -> None:
        self._processes, self._run = processes, run

    def poll(self) -> int | None:
        return self._processes.codes.get(self._run.name)


@pytest.fixture
def processes() -> Processes:
    return Processes()


@pytest.fixture
def queue(tmp_path: Path, processes: Processes) -> RunQueue:
    return RunQueue(RunStore(tmp_path / "runs"), processes.launch)


def order(title: str, kind: Kind = Kind.DETAIL) -> Callable[[Path], Run]:
    def make(folder: Path) -> Run:
        return Run(
            folder=folder, kind=kind, title=title, commands=(("models",),), again=(("models",),), source=Path("/a.mp4")
        )

    return make


def states(queue: RunQueue) -> dict[str, State]:
    return {run.title: run.state for run in queue.runs()}


def test_one_run_at_a_time_in_order(queue: RunQueue, processes: Processes) -> None:
    for title in "abc":
        queue.add(order(title))
    assert processes.names == ["a"]
    for expected in (["a", "b"], ["a", "b", "c"]):
        processes.end(processes.started[-1])
        queue.tick()
        assert processes.names == expected
    processes.end(processes.started[-1])
    queue.tick()
    assert set(states(queue).values()) == {State.DONE}


def test_subjects_are_found_while_a_run_runs(queue: RunQueue, processes: Processes) -> None:
    queue.add(order("run"))
    queue.add(order("find", Kind.FIND))
    assert processes.names == ["run", "find"]


def test_a_preview_comes_before_runs_that_wait(queue: RunQueue, processes: Processes) -> None:
    for title, kind in (("a", Kind.DETAIL), ("b", Kind.DETAIL), ("preview", Kind.PREVIEW)):
        queue.add(order(title, kind))
    assert [queue.position(run) for run in queue.runs()] == [0, 1, 0]
    processes.end(processes.started[0])
    queue.tick()
    assert processes.names == ["a", "preview"]


def test_what_waits_is_taken_out_of_the_queue_when_it_is_stopped(queue: RunQueue, processes: Processes) -> None:
    queue.add(order("a"))
    waiting = queue.add(order("b"))
    queue.stop(waiting.name)
    processes.end(processes.started[0])
    queue.tick()
    assert processes.names == ["a"]
    assert states(queue) == {"a": State.DONE, "b": State.STOPPED}


def test_what_runs_gets_a_request_for_each_stop_and_can_be_resumed(queue: RunQueue, processes: Processes) -> None:
    run = queue.add(order("a"))
    queue.stop(run.name)
    queue.stop(run.name)
    assert run.stop_request.stat().st_size == 2
    processes.end(processes.started[0], 130)
    queue.tick()
    assert queue.get(run.name).state is State.STOPPED
    queue.resume(run.name)
    assert processes.started[-1].attempt == 2
    assert not run.stop_request.exists()


def test_only_what_was_stopped_can_be_resumed(queue: RunQueue, processes: Processes) -> None:
    run = queue.add(order("a"))
    with pytest.raises(InputError, match="running"):
        queue.resume(run.name)
    with pytest.raises(InputError, match="stop it first"):
        queue.remove(run.name)
    processes.end(processes.started[0])
    queue.tick()
    queue.remove(run.name)
    assert queue.runs() == []
    assert not run.folder.exists()


def test_runs_go_on_while_no_server_is_there(tmp_path: Path, queue: RunQueue, processes: Processes) -> None:
    alive, waiting = queue.add(order("a")), queue.add(order("b"))
    again = RunQueue(RunStore(tmp_path / "runs"), processes.launch)
    again.tick()
    assert again.get(alive.name).state is State.RUNNING
    assert processes.names == ["a"]
    processes.end(processes.started[0])
    again.tick()
    assert again.get(alive.name).state is State.DONE
    assert again.get(waiting.name).state is State.RUNNING


def test_what_ended_while_no_server_was_there_is_found_out(
    tmp_path: Path, queue: RunQueue, processes: Processes
) -> None:
    run = queue.add(order("a"))
    processes.end(processes.started[0], None)
    again = RunQueue(RunStore(tmp_path / "runs"), processes.launch)
    assert again.get(run.name).state is State.STOPPED


def test_too_many_runs_are_refused_and_leave_nothing(tmp_path: Path, queue: RunQueue) -> None:
    for number in range(MOST_WAITING + 1):
        queue.add(order(str(number)))
    with pytest.raises(SettingsError, match="already waiting"):
        queue.add(order("one more"))
    assert len(list((tmp_path / "runs").iterdir())) == MOST_WAITING + 1


def test_an_order_that_is_refused_leaves_no_folder(tmp_path: Path, queue: RunQueue) -> None:
    def refuse(folder: Path) -> Run:
        raise SettingsError("no")

    with pytest.raises(SettingsError):
        queue.add(refuse)
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_process_that_cannot_be_started_fails(tmp_path: Path) -> None:
    def launch(run: Run) -> Handle:
        raise OSError("no more processes")

    queue = RunQueue(RunStore(tmp_path / "runs"), launch)
    run = queue.add(order("a"))
    assert "no more processes" in queue.get(run.name).message


@pytest.mark.parametrize("name", [None, 3, "", "../runs", "000001-00000000", ["a"]])
def test_names_of_runs_that_do_not_exist_are_refused(queue: RunQueue, name: object) -> None:
    for action in (queue.get, queue.stop, queue.resume, queue.remove):
        with pytest.raises(InputError, match="no such run"):
            action(name)
