"""Runs on disk: what a server that starts again finds."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from redetail.errors import InputError
from redetail.web import worker
from redetail.web.locks import FileLock, is_held
from redetail.web.runs import Kind, Run, RunStore, State, status_from, status_of, write_exit


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


def new_run(store: RunStore, state: State = State.WAITING, *commands: tuple[str, ...]) -> Run:
    folder = store.new_folder()
    return store.write(
        Run(
            folder=folder, kind=Kind.DETAIL, title="a clip", commands=commands or (("models",),),
            again=(("models", "--again"),), source=Path("/a.mp4"), output=Path("/b.mp4"), state=state, attempt=1,
        )
    )  # fmt: skip


def test_a_run_is_read_as_it_was_written(store: RunStore) -> None:
    run = new_run(store)
    assert Run.from_folder(run.folder) == run
    assert store.read_all() == [run]


def test_names_are_in_the_order_in_which_runs_were_made(store: RunStore) -> None:
    runs = [new_run(store) for _ in range(12)]
    assert [run.name for run in store.read_all()] == [run.name for run in runs]


def test_a_second_attempt_takes_the_commands_to_go_on(store: RunStore) -> None:
    run = new_run(store)
    assert run.current == (("models",),)
    assert replace(run, attempt=2).current == (("models", "--again"),)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run_version": 99}', '{"run_version": 1, "kind": "detail"}'])
def test_damaged_records_are_refused_and_left_out_of_the_list(store: RunStore, text: str) -> None:
    run = new_run(store)
    (run.folder / "run.json").write_text(text)
    with pytest.raises(InputError, match="damaged"):
        Run.from_folder(run.folder)
    assert store.read_all() == []


@pytest.mark.parametrize(
    ("code", "state"),
    [(0, State.DONE), (3, State.INCOMPLETE), (2, State.FAILED), (1, State.FAILED), (130, State.STOPPED)],
)
def test_how_a_process_ended_is_found_out(store: RunStore, code: int, state: State) -> None:
    run = new_run(store, State.RUNNING)
    write_exit(run.folder, 1, code)
    assert [one.state for one in store.read_all()] == [state]


def test_a_process_that_was_killed_leaves_a_run_that_can_be_resumed(store: RunStore) -> None:
    run = new_run(store, State.RUNNING)
    write_exit(run.folder, 0, 0)  # of an earlier attempt
    (found,) = store.read_all()
    assert (found.state, "resume" in found.message) == (State.STOPPED, True)


def test_a_process_that_lives_is_still_running(store: RunStore) -> None:
    run = new_run(store, State.RUNNING)
    lock = FileLock(run.lock)
    assert lock.take()
    assert store.refreshed(run).state is State.RUNNING
    lock.release()
    assert store.refreshed(run).state is State.STOPPED


def test_why_a_run_failed_is_what_its_process_said(store: RunStore) -> None:
    run = new_run(store, State.RUNNING)
    write_exit(run.folder, 1, 2)
    run.events.write_text('{"event": "message", "level": "error", "text": "No space."}\n')
    assert store.refreshed(run).message == "No space."


def test_the_status_is_that_of_the_last_start() -> None:
    events = [
        {"event": "start"},
        {"event": "message", "level": "note", "text": "old"},
        {"event": "start"},
        {"event": "clip", "state": "started", "number": 2, "of": 3, "source": "/clips/b.mp4"},
        {"event": "progress", "stage": "detail", "done": 5, "total": 20, "unit": "frames", "left": 30.0},
        {"event": "message", "level": "note", "text": "new"},
        {"event": "news", "of": "later"},
    ]
    status = status_from(events)
    assert (status.stage, status.share, status.left, status.notes) == ("detail", 0.25, 30.0, ("new",))
    assert status.clip == "clip 2 of 3, b.mp4"


def test_progress_is_read_from_the_end_of_long_events(store: RunStore) -> None:
    run = new_run(store)
    line = json.dumps({"event": "progress", "stage": "crop", "done": 1, "total": 2, "unit": "frames", "left": None})
    run.events.write_text("x" * 200_000 + "\n" + line + "\n" + line[:20])
    assert status_of(run).share == 0.5


def test_a_lock_belongs_to_one_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = "import sys, time; from pathlib import Path; from redetail.web.locks import FileLock\n"
    code += "assert FileLock(Path(sys.argv[1])).take(); print('taken', flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "taken\n"
        assert is_held(path)
    finally:
        child.kill()
        child.communicate()
    assert not is_held(path)


def test_a_worker_runs_commands_and_keeps_how_they_ended(store: RunStore) -> None:
    run = new_run(store, State.RUNNING, ("completion", "cobol"))
    command = [sys.executable, "-m", "redetail.web.worker", str(run.folder), str(run.attempt)]
    assert subprocess.run(command, timeout=60, check=False).returncode == 2
    found = store.refreshed(run)
    assert found.state is State.FAILED
    assert "'cobol'" in found.message


def test_a_worker_leaves_alone_what_was_given_up_meanwhile(store: RunStore) -> None:
    run = new_run(store, State.STOPPED)
    assert worker.main([str(run.folder), "1"]) == 0
    assert not run.events.exists()


def test_a_worker_leaves_alone_what_another_one_does(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_TRIES", 1)
    run = new_run(store, State.RUNNING)
    lock = FileLock(run.lock)
    assert lock.take()
    assert worker.main([str(run.folder), "1"]) == 0
    assert not run.events.exists()
    lock.release()


def test_each_stop_request_interrupts_the_work_of_a_worker(store: RunStore) -> None:
    run = new_run(store, State.RUNNING)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
    watch = worker._watch(run)
    try:
        for count in (1, 2):
            with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - the interrupt comes while it waits
                run.stop_request.write_bytes(b"1" * count)
                for _ in range(600):  # the interrupt comes between two calls, not within one
                    time.sleep(0.1)
    finally:
        watch.set()
        signal.signal(signal.SIGINT, before)
