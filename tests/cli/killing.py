"""Runs ``redetail detail``, kills it at chosen moments and lets it continue: ``python -m tests.cli.killing JSON``.

Everything is imported once; each run is a fork. A moment is a file that is opened, renamed or removed in the folder
of the run, or a check of the cancel token, which every pass makes at each frame and each model call. So moments are
counted instead of timed, and the same moment can be met again on any machine.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from redetail import api, claims
from redetail.cli.main import main
from redetail.engines import FakeEngine
from redetail.progress import CancelToken

FILE_EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}
PART_PIXELS = 16 * 64 * 64  # stretches of 16 frames


class Moments:
    """Counts moments, and ends the process at one of them as a loss of power would."""

    def __init__(self, folder: Path, last: int | None) -> None:
        self.count, self._folder, self._last = 0, str(folder), last

    def watch(self) -> None:
        """From now on; there is no way back, so this is called in a fork."""
        check = CancelToken.check

        def checked(token: CancelToken) -> None:
            self._pass()
            check(token)

        CancelToken.check = checked  # type: ignore[method-assign]
        sys.addaudithook(self._audited)

    def _audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in FILE_EVENTS and str(arguments[0]).startswith(self._folder):
            self._pass()

    def _pass(self) -> None:
        self.count += 1
        if self.count == self._last:
            os.kill(os.getpid(), signal.SIGKILL)


def forked(action: Callable[[], int]) -> int:
    """The exit code of an action in a separate process; the negative signal that ended it."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = action()
        finally:  # a fork must never return into the code of its parent
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Trial:
    """One command on one clip, run in a new folder each time."""

    def __init__(self, clip: Path, folder: Path, name: str, arguments: list[str]) -> None:
        self._clip, self.folder, self._name, self._arguments = clip, folder, name, arguments

    def fresh(self) -> None:
        """Forget what was done."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()

    def run(self, *more: str, last: int | None = None) -> tuple[int, int]:
        """Exit code and number of moments (0 where it was killed)."""
        count = self.folder.with_suffix(".count")

        def action() -> int:
            moments = Moments(self.folder.parent, last)
            moments.watch()
            output = str(self.folder / self._name)
            code = main(["detail", str(self._clip), "-o", output, "-q", *self._arguments, *more])
            count.write_text(str(moments.count))
            return code

        count.write_text("0")
        return forked(action), int(count.read_text())

    @property
    def output(self) -> bytes | None:
        """The bytes under the wanted name; of a folder, those of all its pictures."""
        path = self.folder / self._name
        if path.is_dir():
            return b"".join(each.name.encode() + each.read_bytes() for each in sorted(path.iterdir()))
        return path.read_bytes() if path.exists() else None

    def left(self) -> list[str]:
        """What there is beside the output."""
        return sorted(path.name for path in self.folder.iterdir() if path.name != self._name)

    @property
    def places(self) -> list[str]:
        """The folders in which something may be left."""
        work = self._arguments[self._arguments.index("--work-dir") + 1 :][:1] if "--work-dir" in self._arguments else []
        return [str(self.folder), *work]

    def goes_on(self) -> bool:
        """Whether there is something to resume: else a run was killed when all was done."""
        return self.output is None or any(name.endswith(".work") for name in self.left())


def tried(trial: Trial, whole: bytes, moments: list[int]) -> dict[str, Any]:
    """Kill a run at the first moment, the run that goes on at the second, and so on; then let it end."""
    trial.fresh()
    codes, partial = [], False
    for index, moment in enumerate(moments):
        if index and not trial.goes_on():
            break
        codes.append(trial.run(*["--resume"][:index], last=moment)[0])
        partial |= trial.output not in (None, whole)
    if trial.goes_on():
        codes.append(trial.run("--resume")[0])
    else:
        forked(lambda: main(["clean", "-q", *trial.places]))
    return {"moments": moments, "codes": codes, "same": trial.output == whole, "partial": partial, "left": trial.left()}


def report(clip: Path, folder: Path, name: str, arguments: list[str], seed: int, kills: int) -> dict[str, Any]:
    """All kills of one command: a third of them are killed twice."""
    choose, trial = random.Random(seed), Trial(clip, folder, name, arguments)
    trial.fresh()
    code, count = trial.run()
    whole = trial.output or b""
    trials = []
    for index in range(kills):
        # Every part of the run is met: the moments are drawn from equal shares of it.
        first = 1 + int((index + choose.random()) / kills * count)
        more = [1 + choose.randrange(count)] if index % 3 == 2 else []
        trials.append(tried(trial, whole, [first, *more]))
    return {"code": code, "bytes": len(whole), "moments": count, "left": [], "trials": trials}


def _prepare() -> None:
    engine = FakeEngine()
    engine._capabilities = replace(engine.capabilities, part_pixels=PART_PIXELS)
    api.load_engine = lambda *given, **options: engine  # type: ignore[assignment]
    claims._FRESH = 0.0  # a run goes on at once, not seconds later


if __name__ == "__main__":
    _prepare()
    asked = [{**one, **{name: Path(one[name]) for name in ("clip", "folder")}} for one in json.loads(sys.argv[1])]
    sys.stdout.write(json.dumps([report(**one) for one in asked]))
