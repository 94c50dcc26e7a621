"""One case of the campaign: run in a forked process with limits, and judged by what it said and what it left.

The parent imports torch, FFmpeg and the command line once and each case is a copy of it, so that it costs a fraction of
a second. Case and verdict depend on the seed alone, except for signals, which arrive at a moment of the clock.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from redetail.errors import Cancelled, RedetailError

REFUSED, INCOMPLETE, STOPPED = 2, 3, 130
SECONDS = 60.0
"""A case that takes longer hangs; the usual one takes 0.2 s, but the machine may be busy."""
MEMORY = 600 * 2**20
"""Bytes that a case may take beyond what its parent had."""
SAID = 2**20
"""Bytes that a case may write to standard error."""
FAULTS = ("bug", "traceback", "crash", "hang", "memory", "leftover", "changed input", "short", "wordy", "exit code")

_KEPT = re.compile(r"\..*\.redetail-[0-9a-f]{8}\.work")
"""What a stopped run leaves for --resume, and says so."""

Rng = np.random.Generator


@dataclass
class Case:
    """What a case does once its folder is filled.

    ``act`` runs in the child, in that folder, and returns an exit code. ``written``: names it may leave where it ends
    well. ``source``: the clip whose frames the first of them must have. ``at``: seconds after which ``signals`` are
    sent, counted from when the command has its arguments; ``ready`` is called then. ``finish`` is called by the parent
    once the case is judged.
    """

    act: Callable[[], int]
    written: tuple[str, ...] = ()
    source: Path | None = None
    signals: tuple[int, ...] = ()
    at: float = 0.0
    description: str = ""
    ready: Callable[[], None] = field(default=lambda: None)
    finish: Callable[[], object] = field(default=lambda: None)


@dataclass(frozen=True)
class Verdict:
    """How a case ended; ``fault`` is one of FAULTS, or None."""

    code: int
    fault: str | None
    said: str
    seconds: float
    description: str = ""


Make = Callable[[Rng, Path], Case]


def run(make: Make, seed: int, folder: Path) -> Verdict:
    """Make the case of a seed in an empty folder and run it in a separate process."""
    (folder / "tmp").mkdir(parents=True)
    case = make(np.random.default_rng(seed), folder)
    try:
        return _judged(case, folder)
    finally:
        case.finish()


def _judged(case: Case, folder: Path) -> Verdict:
    before = dict(_contents(folder))
    started = time.monotonic()
    errors, said_by_child = os.pipe()
    fcntl.fcntl(said_by_child, fcntl.F_SETPIPE_SZ, SAID)  # so that it is never full
    code, hung, grown = _forked(case, folder, said_by_child)
    os.close(said_by_child)
    with os.fdopen(errors, "rb") as pipe:
        said = pipe.read().decode("utf-8", "replace")
    fault = "hang" if hung else _fault(case, code, said, grown) or _left(case, code, said, folder, before)
    if fault == "leftover":
        said += f"left behind: {_strays(dict(_contents(folder)), before, case.written if code in (0, 3) else (), said)}"
    return Verdict(code, fault, said[-3000:], time.monotonic() - started, case.description)


def library(call: Callable[[], object]) -> int:
    """The exit code that a call of the library stands for: errors of ours are refusals, all others show."""
    try:
        call()
    except (RedetailError, Cancelled) as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    return 0


def _forked(case: Case, folder: Path, errors: int) -> tuple[int, bool, int]:
    """Exit code (negative: the signal that ended it), whether it hung, and bytes that it took beyond its parent's."""
    ready, tell = os.pipe()
    own = _resident()
    child = os.fork()
    if child == 0:
        _child(case, folder, errors, tell)
    os.close(tell)
    if case.signals:
        os.read(ready, 1)  # also ends where the child does
        time.sleep(case.at)
        for number in case.signals:
            os.kill(child, number)
            time.sleep(0.02)
    os.close(ready)
    limit = time.monotonic() + SECONDS
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), False, usage.ru_maxrss * 1024 - own
        if time.monotonic() > limit:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -signal.SIGKILL, True, 0
        time.sleep(0.005)


def _child(case: Case, folder: Path, errors: int, tell: int) -> None:
    code = 1
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.environ["TMPDIR"] = str(folder / "tmp")
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor, target in ((0, nowhere), (1, nowhere), (2, errors)):
            os.dup2(target, descriptor)
        os.close(nowhere)
        os.close(errors)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - until the process ends
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        os.chdir(folder)
        case.ready = lambda: os.write(tell, b"1") and None
        code = case.act()
    except BaseException:  # noqa: BLE001 - it is what the campaign looks for
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


def _fault(case: Case, code: int, said: str, grown: int) -> str | None:
    if "This is a bug in redetail" in said:
        return "bug"
    if "Traceback (most recent call last)" in said:
        return "traceback"
    if code < 0 and -code not in case.signals:
        return "crash"
    if grown > MEMORY:
        return "memory"
    if code not in (0, REFUSED, INCOMPLETE, *((STOPPED,) if case.signals else ())) and -code not in case.signals:
        return "exit code"
    return "wordy" if code == REFUSED and not _one_sentence(said) else None


def _one_sentence(said: str) -> bool:
    """Whether a refusal is one short line, after notes and progress."""
    lines = [line for line in said.splitlines() if line.strip()]
    return bool(lines) and len(lines[-1]) < 1500 and not any("Error" in line.split(" ")[0] for line in lines)


def _left(case: Case, code: int, said: str, folder: Path, before: dict[str, str]) -> str | None:
    after = dict(_contents(folder))
    ended_well = code in (0, INCOMPLETE)
    allowed = case.written if ended_well else ()
    if _strays(after, before, allowed, said):
        return "leftover"
    replaced = set(allowed)
    if any(after.get(name) != digest for name, digest in before.items() if name not in replaced):
        return "changed input"
    if code == 0 and case.source is not None and case.written:
        return _short(case.source, folder / case.written[0])
    return None


def _strays(after: dict[str, str], before: dict[str, str], allowed: tuple[str, ...], said: str) -> list[str]:
    """Names, or the first parts of names, that nobody asked for."""
    new = {name.split("/")[0] for name in after if name not in before} - {*allowed}
    return [name for name in new if not (_KEPT.fullmatch(name) and "The work so far is kept" in said)]


def _short(source: Path, output: Path) -> str | None:
    from tests.fuzz.media import count_frames  # a decoder is not started before the first fork

    return "short" if output.is_file() and count_frames(output) < count_frames(source) else None


def _contents(folder: Path) -> Iterator[tuple[str, str]]:
    """Every name below the folder with a digest of its content; the folder for temporary files counts if not empty."""
    for root, folders, files in os.walk(folder):
        for name in (*files, *(one for one in folders if os.path.islink(os.path.join(root, one)))):
            path = os.path.join(root, name)
            yield os.path.relpath(path, folder), _digest(path)
        for name in folders:
            yield os.path.relpath(os.path.join(root, name), folder), "folder"


def _digest(path: str) -> str:
    if os.path.islink(path):
        return os.readlink(path)
    if not os.path.isfile(path):
        return "special"
    with open(path, "rb") as file:
        return hashlib.blake2b(file.read(), digest_size=16).hexdigest()


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
