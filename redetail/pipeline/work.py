"""Work that outlives its run: a hidden folder with which a stopped run can continue."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redetail import claims
from redetail.errors import InputError, SettingsError
from redetail.files import cannot_write, followed
from redetail.job import Job
from redetail.pipeline.manifest import Manifest, engine_identity, file_fingerprints, source_fingerprint
from redetail.pipeline.plan import Plan
from redetail.pipeline.run import Run
from redetail.pipeline.workspace import Workspace, usual_limit
from redetail.video import VideoInfo

_LOG = logging.getLogger(__name__)
_WRITING = "writing"


@dataclass(frozen=True, kw_only=True)
class Work:
    """How the work of a run is kept while it runs.

    ``folder``: an existing folder in which the run makes its own (None: next to the output); ``resume``: continue a
    stopped run of the same output; ``keep``: leave the work in place after a successful run; ``limit``: the most bytes
    that the work may take (None: nine tenths of the space that is free when the folder is made; a resumed run keeps its
    limit).
    """

    folder: Path | None = None
    resume: bool = False
    keep: bool = False
    limit: int | None = None

    def folder_of(self, output: Path) -> Path:
        """The folder in which a run keeps its work; raises :class:`~redetail.errors.InputError` if it cannot be
        made."""
        if self.folder is not None and not os.path.isdir(self.folder):
            raise InputError(f"There is no folder {self.folder} for work files; create it first.")
        return claims.work_name(output, self.folder)

    def may_replace(self, output: Path | None) -> bool:
        """Whether an existing output was written by the stopped run that is now continued."""
        return self.resume and output is not None and os.path.exists(self.folder_of(output) / _WRITING)

    @contextmanager
    def set_aside(self, output: Path | None, folders: Iterable[Path | None]) -> Iterator[None]:
        """Move the stopped run's finished folders of pictures out of the way of the run that continues it.

        After an error they are moved back. A folder that holds anything but PNG images was not written by the run: it
        stays where it is, and is refused as an output.
        """
        with ExitStack() as stack:
            if self.may_replace(output):
                for folder in folders:
                    if folder is not None and _has_pictures_only(folder):
                        stack.enter_context(_aside(folder))
            yield


class KeptWork:
    """The work of one run of a job. The constructor finds what a stopped run left, before an engine is loaded.

    Raises :class:`~redetail.errors.InputError` if there is work that must not be resumed or belongs to another source,
    job or version, and :class:`~redetail.errors.SettingsError` for a job that has no output or cannot be written as a
    document.
    """

    def __init__(self, work: Work, job: Job, info: VideoInfo) -> None:
        if job.output is None:
            raise SettingsError("Unfinished work can be kept only for a job with an output; set an output.")
        self.folder, self._work = work.folder_of(job.output), work
        self._asked: dict[str, Any] = {
            "source": source_fingerprint(info),
            "files": file_fingerprints(job.files),
            "job": job.to_document(),
        }
        self._manifest = self._left(job.output)

    @contextmanager
    def opened(self, run: Run, make_plan: Callable[[], Plan]) -> Iterator[tuple[Plan, Workspace]]:
        """The plan and the workspace of the run, or of the stopped run that it continues.

        The folder is removed at the end. After an error, it stays if it contains a finished task.
        """
        space = self._resumed(run) if self._manifest is not None else self._created(run, make_plan())
        assert space.manifest is not None  # both have one
        with claims.held(self.folder):
            try:
                yield space.manifest.plan, space
            except BaseException:
                if space.has_results:
                    _LOG.warning(
                        "The work so far is kept. Continue with --resume (redetail batch resumes by itself), or "
                        "remove it with: redetail clean %s",
                        self.folder,
                    )
                else:
                    self._drop()
                raise
            if self._work.keep:
                (self.folder / _WRITING).unlink(missing_ok=True)
            else:
                self._drop()

    def mark_writing(self) -> None:
        """Record that from now on an output with the requested name comes from this run."""
        try:
            (self.folder / _WRITING).touch()
        except OSError as error:
            raise cannot_write(self.folder / _WRITING, error) from error

    def _left(self, output: Path) -> Manifest | None:
        """The manifest of a stopped run's work, after checking that it belongs to this job; None if there is no
        work."""
        if not Workspace.exists(self.folder):
            claims.remove([self.folder])  # stopped before there was anything to keep
            if self._work.resume:
                _LOG.warning("There is no unfinished run that was writing %s; starting from the beginning.", output)
            return None
        if not self._work.resume:
            raise InputError(
                f"An earlier run that was writing {output} did not finish; continue it with --resume, or delete its "
                f"intermediate files with: redetail clean {self.folder}"
            )
        manifest = Workspace.read(self.folder)
        manifest.check_values(self.folder, version=Manifest.version, **self._asked)
        return manifest

    def _resumed(self, run: Run) -> Workspace:
        assert self._manifest is not None
        self._manifest.check_values(self.folder, engine=engine_identity(run.engine.capabilities))
        return Workspace.open(self.folder, limit=self._work.limit)

    def _created(self, run: Run, plan: Plan) -> Workspace:
        limit = self._work.limit or usual_limit(self.folder.parent)
        manifest = Manifest(plan, engine=engine_identity(run.engine.capabilities), limit=limit, **self._asked)
        try:
            return Workspace.create(self.folder, manifest)
        except BaseException:
            claims.remove([self.folder])
            raise

    def _drop(self) -> None:
        """Remove the folder. It is first renamed to a leftover, so that a half-removed folder is never taken for
        work."""
        gone = claims.free_name(self.folder)
        with suppress(OSError):
            self.folder.replace(gone)
        claims.remove([gone, self.folder])


def _has_pictures_only(folder: Path) -> bool:
    return os.path.isdir(folder) and all(path.suffix == ".png" and os.path.isfile(path) for path in folder.iterdir())


@contextmanager
def _aside(folder: Path) -> Iterator[None]:
    """Rename a folder to a leftover meanwhile, so that the next run removes it if this one is killed."""
    aside = claims.free_name(followed(folder))
    try:
        followed(folder).replace(aside)
    except OSError as error:
        raise cannot_write(folder, error) from error
    with claims.held(aside):
        try:
            yield
        except BaseException:
            with suppress(OSError):  # unless a complete folder has its name by now
                aside.replace(followed(folder))
            raise
        finally:
            claims.remove([aside])
