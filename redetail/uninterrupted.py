"""Steps that Ctrl-C must not divide: taking a name, making a temporary file, removing one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread, current_thread, main_thread
from typing import TypeVar

_Result = TypeVar("_Result")


def uninterrupted(action: Callable[[], _Result]) -> _Result:
    """What ``action`` returns or raises; a KeyboardInterrupt meanwhile comes after it, or it is not done at all.

    Signals interrupt the main thread alone, so the action is done in another one. Where there can be none (the
    interpreter is about to end), it is done in this one.
    """
    if current_thread() is not main_thread():
        return action()
    done: Future[_Result] = Future()

    def run() -> None:
        if not done.set_running_or_notify_cancel():
            return
        try:
            result = action()
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
            done.set_exception(error)
        else:
            done.set_result(result)

    try:
        try:
            Thread(target=run, name="redetail-uninterrupted").start()
        except RuntimeError:
            run()
        return done.result()
    finally:
        if not done.cancel():  # it has started, even if starting the thread was interrupted
            wait([done])
