"""The worker: a process of the cluster that holds one engine and runs one call after another on it."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from redetail._version import __version__
from redetail.cluster.sending import Stamp, stamp
from redetail.engines.base import Engine
from redetail.errors import ClusterError
from redetail.progress import CancelToken

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


def version() -> str:
    """What must be the same on all machines, since tasks are sent as Python objects."""
    return f"redetail {__version__} on Python {sys.version_info.major}.{sys.version_info.minor}"


class Call(Protocol[R_co]):
    """Work for an engine, which can be pickled; it can be done twice if its first worker was lost."""

    def __call__(self, engine: Engine, report: Callable[[Any], None], cancel: CancelToken) -> R_co:
        """Do the work; whatever is passed to ``report`` reaches the job's ``progress``."""
        ...


@dataclass(frozen=True)
class Asked(Generic[R]):
    """A call that asks something of the engine."""

    function: Callable[..., R]
    arguments: tuple[Any, ...]

    def __call__(self, engine: Engine, report: Callable[[Any], None], cancel: CancelToken) -> R:
        """Return what the function returns."""
        return self.function(engine, *self.arguments)


class EngineWorker:
    """The object in a worker. ``call`` and ``load`` run one after another; the other methods can run at the same
    time."""

    def __init__(self) -> None:
        self._cancel = CancelToken()
        self._reports: dict[int, Any] = {}
        self._engine: Engine | None = None

    def load(self, expected: str, load: Callable[[], Engine], cores: int | None, folder: str) -> str:
        """Load the engine, which computes on ``cores`` cores (None: as many as PyTorch takes), in the working
        ``folder`` of the machine that asks, if this machine has it. Returns the worker's name, HOST:PROCESS.

        Raises :class:`~redetail.errors.ClusterError` if this machine has another version than ``expected``.
        """
        if version() != expected:
            raise ClusterError(
                f"A machine in the cluster has {version()}, but the machine that started the run has {expected}; "
                "install the same versions on both."
            )
        with suppress(OSError):
            os.chdir(folder)
        if cores is not None:
            import torch

            torch.set_num_threads(cores)
        self._engine = load()
        return f"{socket.gethostname()}:{os.getpid()}"

    def call(self, number: int, call: Call[Any]) -> Any:
        """Do one piece of work; ``number`` identifies its progress."""
        assert self._engine is not None  # it is loaded first
        try:
            self._cancel.check()
            return call(self._engine, partial(self._reports.__setitem__, number), self._cancel)
        finally:
            self._reports.pop(number, None)

    def reports(self) -> dict[int, Any]:
        """The last report of each running piece of work, by number."""
        return dict(self._reports)

    def has(self, path: Path, expected: Stamp) -> bool:
        """Whether the file or folder at a path on this machine has this stamp."""
        return stamp(path) == expected

    def sees(self, path: str, secret: str) -> bool:
        """Whether this machine sees a file with this content."""
        try:
            return Path(path).read_text(encoding="ascii") == secret
        except (OSError, ValueError):
            return False

    def stop(self) -> None:
        """Make running work, and any that arrives, stop at its next step."""
        self._cancel.cancel()

    def go_on(self) -> None:
        """Take work again; runs after the work that was stopped."""
        self._cancel = CancelToken()
