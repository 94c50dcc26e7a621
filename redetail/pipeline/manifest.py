"""What a workspace is for: the plan, and everything that must be the same when a run continues."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redetail._version import __version__
from redetail.engines.base import Capabilities
from redetail.errors import InputError
from redetail.pipeline.plan import Plan
from redetail.pipeline.plan_document import plan_from_document, plan_to_document
from redetail.video import VideoInfo

VERSION = 1
"""Version of the layout of workspaces; it goes up when a reader of the old layout would misread the new one."""

_FORMAT = "redetail workspace"
_ENDS = 2**20  # bytes at each end of a source that its fingerprint covers
_COMPUTES = ("dtype", "vae_dtype", "text_dtype", "vae_tile", "window")
"""The parts of an engine's placement that can visibly change results; others, such as the GPU's number, only affect
rounding."""


@dataclass(frozen=True)
class Manifest:
    """What the tasks of a workspace belong to.

    ``source`` is the fingerprint of the clip (None: not known), ``engine`` the identity of the engine, ``job`` the
    job's document, if there is one, and ``files`` the fingerprints of the other files that the job reads, by name. All
    are values for JSON. ``version`` is redetail's version. ``limit`` is the most bytes that the workspace may take
    (None: what the disk has); it is set when the workspace is made, and a run that continues may have another one.
    """

    plan: Plan
    source: Mapping[str, Any] | None
    engine: Mapping[str, Any]
    job: Mapping[str, Any] | None = None
    files: Mapping[str, Any] = field(default_factory=dict)
    version: str = __version__
    limit: int | None = None

    def to_document(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        """The manifest, ready for JSON, and the files of masks that it refers to, by name."""
        plan, files = plan_to_document(self.plan)
        document = {
            "format": _FORMAT,
            "version": VERSION,
            "redetail": self.version,
            "source": self.source,
            "engine": self.engine,
            "job": self.job,
            "files": self.files,
            "limit": self.limit,
            "plan": plan,
        }
        return document, files

    @classmethod
    def from_document(cls, document: Any, files: Mapping[str, bytes], folder: Path) -> Manifest:
        """The manifest of the workspace in ``folder``; raises :class:`~redetail.errors.InputError`."""
        if not isinstance(document, dict) or document.get("format") != _FORMAT:
            raise InputError(f"{folder} is not a redetail workspace; choose another folder.")
        if document.get("version") != VERSION:
            raise InputError(
                f"The workspace {folder} has version {document.get('version')!r} (written by redetail "
                f"{document.get('redetail')}), but this version of redetail reads version {VERSION}; continue with the "
                "version that wrote it, or delete the workspace."
            )
        try:
            plan = plan_from_document(document["plan"], files)
            values = [document[name] for name in ("source", "engine", "job", "files", "redetail", "limit")]
            return cls(plan, *values)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"The manifest of the workspace {folder} is damaged ({error}); delete the workspace."
            ) from error

    def check(self, asked: Manifest, folder: Path) -> None:
        """Raise :class:`~redetail.errors.InputError` unless ``asked`` has the same version, source, files, engine, job
        and plan."""
        self.check_values(
            folder,
            version=asked.version,
            source=asked.source,
            files=asked.files,
            engine=asked.engine,
            job=asked.job,
        )
        if plan_to_document(self.plan) != plan_to_document(asked.plan):
            raise _other("plan", folder)

    def check_values(self, folder: Path, **asked: Any) -> None:
        """Like :meth:`check` for single fields, before the rest of a manifest is known."""
        for name, value in asked.items():
            # Compared as JSON, since lists that were read from a file can be tuples in ``asked``.
            if json.dumps(getattr(self, name), sort_keys=True) != json.dumps(value, sort_keys=True):
                raise _other("version of redetail" if name == "version" else name, folder)


def _other(name: str, folder: Path) -> InputError:
    what = "other input files" if name == "files" else f"another {name}"
    return InputError(
        f"The workspace {folder} was created with {what}, so its results cannot be used; choose another folder, or "
        f"remove the workspace with: redetail clean {folder}"
    )


def source_fingerprint(info: VideoInfo) -> dict[str, Any] | None:
    """Values that distinguish sources without reading them completely; None for frames in memory."""
    return None if info.path is None else fingerprint(info.path)


def file_fingerprints(files: Iterable[Path]) -> dict[str, Any]:
    """Fingerprints by name; anything that cannot be read, such as a name on the hub, is identified only by its name."""
    return {str(path): _fingerprint_or_none(path) for path in files}


def _fingerprint_or_none(path: Path) -> dict[str, Any] | None:
    try:
        return (
            fingerprint(path) if os.path.isfile(path) or os.path.isdir(path) else None
        )  # reading a pipe would wait for its writer
    except OSError:  # the code that reads the file will report the error
        return None


def fingerprint(path: Path) -> dict[str, Any]:
    """A file's size, modification time and digest of both ends; for a folder, the digest of its files' names, sizes and
    times."""
    if os.path.isdir(path):
        return {"folder": _folder_digest(path)}
    status = path.stat()
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(_ENDS))
        file.seek(max(0, status.st_size - _ENDS))
        digest.update(file.read(_ENDS))
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256_of_ends": digest.hexdigest()}


def engine_identity(capabilities: Capabilities) -> dict[str, Any]:
    """Everything about an engine that affects its results, as far as the engine states it.

    Attention, offloading, batches and the GPU's number are left out: they can depend on the memory that is free at the
    moment, and a run that continues with other values gives the same pictures.
    """
    placement = capabilities.placement
    return {
        "name": capabilities.name,
        "computes": {name: placement[name] for name in _COMPUTES if placement.get(name) is not None},
        "size_multiple": capabilities.size_multiple,
        "hints": list(capabilities.hints),
    }


def _folder_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        status = path.stat() if os.path.exists(path) else path.lstat()  # a link can be broken
        digest.update(f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
