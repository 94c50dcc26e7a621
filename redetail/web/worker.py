"""The process of a run: ``python -m redetail.web.worker FOLDER ATTEMPT`` runs its commands and records how they ended.

It outlives the server that started it. It holds the run's lock while it is running, and stops as after Ctrl-C when the
run's stop request appears: a file reaches it on every system, and can never reach another process that got its number.
"""

from __future__ import annotations

import _thread
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TextIO

from redetail.web.locks import FileLock
from redetail.web.runs import COMPLETE, INCOMPLETE, STOPPED, Run, State, write_exit

_POLL = 0.2
_TRIES = 10
_BUG = 1


def main(arguments: Sequence[str]) -> int:
    """Run the commands of a run, unless another process already does or the run was cancelled in the meantime."""
    folder, attempt = Path(arguments[0]), int(arguments[1])
    lock = FileLock(folder / "lock")
    if not _taken(lock):
        return COMPLETE
    run = Run.from_folder(folder)
    if run.state is not State.RUNNING or run.attempt != attempt:
        return COMPLETE
    watch = _watch(run)
    with run.events.open("a", encoding="utf-8") as events, (folder / "output.txt").open("a", encoding="utf-8") as out:
        try:
            code = _all(run, out, events)
        except KeyboardInterrupt:  # between two commands
            code = STOPPED
    watch.set()
    write_exit(folder, attempt, code)
    lock.release()
    return code


def _taken(lock: FileLock) -> bool:
    """Whether the lock could be taken; a server that checks whether it is free holds it for a moment."""
    for _ in range(_TRIES):
        if lock.take():
            return True
        time.sleep(_POLL)
    return False


def _all(run: Run, out: TextIO, events: TextIO) -> int:
    """Run one command after the other until one fails."""
    worst = COMPLETE
    for command in run.current:
        code = _one(command, out, events)
        if code not in (COMPLETE, INCOMPLETE):
            return code
        worst = max(worst, code)
    return worst


def _one(command: Sequence[str], out: TextIO, events: TextIO) -> int:
    """``redetail`` with these arguments, in this process."""
    sys.argv = ["redetail", *command, "--progress", "json"]
    try:
        with redirect_stdout(out), redirect_stderr(events):
            runpy.run_module("redetail", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else _BUG
    except KeyboardInterrupt:
        return STOPPED
    return COMPLETE


def _watch(run: Run) -> threading.Event:
    """Interrupt the main thread for the first stop request and for the second, which stops at once; setting the event
    ends it."""

    def watch() -> None:
        delivered = 0
        while not end.wait(_POLL):
            with suppress(OSError):
                asked = run.stop_request.stat().st_size
                if asked > delivered and callable(signal.getsignal(signal.SIGINT)):
                    delivered += 1
                    _thread.interrupt_main()

    end = threading.Event()
    threading.Thread(target=watch, name="stop requests", daemon=True).start()
    return end


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main(sys.argv[1:]))
