"""Workspaces: folders in which tasks find their source crops and leave their results."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from redetail import claims
from redetail.errors import InputError, OutputError
from redetail.files import reason, write_bytes
from redetail.pipeline.manifest import Manifest
from redetail.pipeline.tasks import Task

_MANIFEST = "manifest.json"
_FOLDERS = ("sources", "results", "hints")


class Workspace:
    """A folder for the tasks of one plan::

        manifest.json   what the tasks belong to; written last, so that a folder with one is complete
        masks-1 ...     masks of the plan's regions
        sources/        source crops of the stretches in progress
        results/        enhanced crops: a file for each finished task, complete and with a checksum
        hints/          pictures of what ControlNets were shown

    ``limit``: bytes that sources and results may take (None: what the disk has). ``durable``: results are forced to
    disk, so that they can be relied on after a loss of power.
    """

    def __init__(
        self, folder: Path, *, manifest: Manifest | None = None, limit: int | None = None, durable: bool = True
    ) -> None:
        self.folder, self.manifest, self.durable = folder, manifest, durable
        self._limit = limit
        for name in _FOLDERS:
            (folder / name).mkdir(exist_ok=True)
        for leftover in (*(folder / "sources").iterdir(), *(folder / "results").glob("*.part.crops")):
            leftover.unlink()  # of a run that was stopped
        self._used = sum(result.stat().st_size for result in (folder / "results").iterdir())

    @classmethod
    @contextmanager
    def temporary(cls, parent: Path | None = None, limit: int | None = None) -> Iterator[Self]:
        """A workspace without a manifest that is gone when the context ends."""
        parent = parent or usable_temp()
        claims.remove(claims.leftovers(parent))
        with ExitStack() as stack:
            try:
                folder = stack.enter_context(claims.temporary_folder(parent))
            except OSError as error:
                raise OutputError(
                    f"No temporary folder can be created ({reason(error)}); set TMPDIR to a folder with free space."
                ) from error
            yield cls(folder, limit=limit, durable=False)

    @classmethod
    def create(cls, folder: Path, manifest: Manifest) -> Self:
        """A new workspace; ``folder`` must be empty or not exist.

        Raises :class:`~redetail.errors.OutputError`.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise OutputError(
                    f"The workspace {folder} is not empty; choose another folder, or continue the run in it."
                )
            document, masks = manifest.to_document()
            for name, data in masks.items():
                write_bytes(folder / name, data)
            write_bytes(folder / _MANIFEST, json.dumps(document).encode())
            return cls(folder, manifest=manifest, limit=manifest.limit)
        except OSError as error:
            raise OutputError(
                f"The workspace {folder} cannot be written to ({reason(error)}); choose another folder."
            ) from error

    @classmethod
    def open(cls, folder: Path, asked: Manifest | None = None, limit: int | None = None) -> Self:
        """A workspace that a run left, with its finished tasks.

        ``asked``: what it must have been started with (None: whatever it holds); ``limit``: another one than it was
        made with. Raises
        :class:`~redetail.errors.InputError` if there is none, or it belongs to another version, plan, source, engine
        or job.
        """
        manifest = _manifest(folder)
        if asked is not None:
            manifest.check(asked, folder)
        try:
            return cls(folder, manifest=manifest, limit=limit or manifest.limit)
        except OSError as error:
            raise OutputError(
                f"The workspace {folder} cannot be written to ({reason(error)}); make it writable."
            ) from error

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether there is a workspace that was made completely."""
        return os.path.isfile(folder / _MANIFEST)

    @staticmethod
    def read(folder: Path) -> Manifest:
        """What the workspace in ``folder`` belongs to; raises :class:`~redetail.errors.InputError`."""
        return _manifest(folder)

    @property
    def has_results(self) -> bool:
        """Whether a task is done."""
        return any((self.folder / "results").iterdir())

    @property
    def hints(self) -> Path:
        """The folder of hint pictures."""
        return self.folder / "hints"

    def check_room(self, tasks: Sequence[Task], in_flight: int = 1) -> None:
        """Raise :class:`~redetail.errors.OutputError` if the tasks that are left, ``in_flight`` at once, do not fit
        on the disk or into the limit."""
        needed, free = estimated_bytes(tasks, in_flight), shutil.disk_usage(self.folder).free
        left = free if self._limit is None else min(free, self._limit - self._used)
        if needed <= left:
            return
        fits = last_that_fits(tasks, left, in_flight)
        only = "detail only part of the clip"
        part = f"{only} with --start and --end" if fits is None else f"{only} (--end {fits}f would fit)"
        if needed > free:
            larger = "TMPDIR" if self.manifest is None else "--work-dir"
            raise OutputError(
                f"The crops of this clip need up to {readable(needed)} of temporary space, but {self.folder.parent} "
                f"has only {readable(free)} free; use {larger} to choose a folder on a larger disk, or {part}."
            )
        raise OutputError(
            f"The crops of this clip need up to {readable(self._used + needed)} of work space, but the limit is "
            f"{readable(self._limit or 0)}; raise the limit with --work-space, or {part}."
        )

    def done(self, task: Task) -> bool:
        """Whether the task's result is there, complete and undamaged."""
        return task.result.sealed()

    def start(self, task: Task) -> None:
        """Make room for a task and create the stores of its source crops; raises
        :class:`~redetail.errors.OutputError` if the limit is reached."""
        needed = task.source_bytes + task.result.most_bytes
        if self._limit is not None and self._used + needed > self._limit:
            raise OutputError(
                f"The workspace {self.folder} holds {readable(self._used)} and would grow beyond its limit of "
                f"{readable(self._limit)}; raise the limit with --work-space."
            )
        self._used += needed
        for store in (task.source, *task.hint_sources.values()):
            store.create()

    def finish(self, task: Task) -> None:
        """Drop the source crops of a task that is done, and count what its result takes."""
        self._used += task.result.path.stat().st_size - task.result.most_bytes - task.source_bytes
        for store in (task.source, *task.hint_sources.values()):
            store.drop()


def estimated_bytes(tasks: Iterable[Task], in_flight: int = 1) -> int:
    """Disk space for all results, and for the source crops that are there at once at most."""
    tasks = list(tasks)
    results = sum(task.result.most_bytes for task in tasks)
    # A task's source crops grow from its first frame on and are dropped after its last one.
    changes = sorted(
        change for task in tasks for change in ((task.start, 1, task.source_bytes), (task.stop, 0, -task.source_bytes))
    )
    open_now = most = 0
    for _, _, size in changes:
        open_now += size
        most = max(most, open_now)
    waiting = sorted((task.source_bytes for task in tasks), reverse=True)[: in_flight - 1]
    return results + most + sum(waiting)


def last_that_fits(tasks: Iterable[Task], space: int, in_flight: int = 1) -> int | None:
    """The frame before which the clip can end to need no more than ``space`` bytes; None if no task fits."""
    tasks = sorted(tasks, key=lambda task: task.stop)
    low, high = 0, len(tasks)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if estimated_bytes(tasks[:middle], in_flight) <= space else (low, middle - 1)
    return tasks[low - 1].stop if low else None


def usual_limit(folder: Path) -> int:
    """What a workspace in ``folder`` may take where nothing was said: what is free, but for a reserve of a tenth that
    leaves room for the output and for others."""
    return shutil.disk_usage(folder).free * 9 // 10


def _manifest(folder: Path) -> Manifest:
    try:
        document: Any = json.loads((folder / _MANIFEST).read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{folder} is not a redetail workspace; choose another folder.") from error
    except OSError as error:
        raise InputError(f"The workspace {folder} cannot be read ({reason(error)}); check its permissions.") from error
    except ValueError as error:
        raise InputError(f"The manifest of the workspace {folder} is damaged ({error}); delete that folder.") from error
    return Manifest.from_document(document, _masks(folder), folder)


def _masks(folder: Path) -> dict[str, bytes]:
    """Files of masks by name; a device that was put there may have no end."""
    try:
        return {path.name: path.read_bytes() for path in folder.glob("masks-*") if os.path.isfile(path)}
    except OSError as error:
        raise InputError(f"The workspace {folder} cannot be read ({reason(error)}); check its permissions.") from error


def usable_temp() -> Path:
    """The folder of temporary files; OutputError if the one that was named cannot be used.

    Python would silently take another one, which may be a small disk.
    """
    for name in ("TMPDIR", "TEMP", "TMP"):
        named = os.environ.get(name)
        if named:
            if not (os.path.isdir(named) and os.access(named, os.W_OK | os.X_OK)):
                raise OutputError(f"{name} is {named}, which is not a writable folder; set it to a writable one.")
            return Path(named)
    return Path(tempfile.gettempdir())


def readable(count: int) -> str:
    """Bytes as people write them."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
