"""What a workspace is for: the plan, and what it must be continued with."""

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
"""Of the layout of workspaces; raised when a reader of the older one would misread the new one."""

_FORMAT = "redetail workspace"
_ENDS = 2**20  # bytes at each end of a source that its fingerprint holds
_COMPUTES = ("dtype", "vae_dtype", "text_dtype", "vae_tile", "window")
"""What of an engine's placement a viewer could see; the rest, such as the card's number, changes rounding at most."""


@dataclass(frozen=True)
class Manifest:
    """What the tasks of a workspace belong to.

    ``source`` is the fingerprint of the clip (None: not known), ``engine`` the identity of the engine, ``job`` the
    job's document, if there is one, ``files`` fingerprints of what else it reads, by name. All are values for JSON.
    ``version`` is that of redetail; ``limit`` are the bytes that the workspace may take (None: what the disk has),
    chosen when it was made, and no condition of going on.
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
            raise InputError(f"{folder} is not a workspace of redetail; choose another folder.")
        if document.get("version") != VERSION:
            raise InputError(
                f"The workspace {folder} has version {document.get('version')!r} (redetail "
                f"{document.get('redetail')}), but this version reads {VERSION}; continue with that version, or "
                "delete the workspace."
            )
        try:
            plan = plan_from_document(document["plan"], files)
            values = [document[name] for name in ("source", "engine", "job", "files", "redetail", "limit")]
            return cls(plan, *values)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"The manifest of the workspace {folder} is damaged ({error}); delete it.") from error

    def check(self, asked: Manifest, folder: Path) -> None:
        """Raise :class:`~redetail.errors.InputError` unless ``asked`` continues the same work: version, source, files,
        engine, job and plan."""
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
        """The same for single fields, before the rest of a manifest is known."""
        for name, value in asked.items():
            # As JSON: what was read has lists where what is asked may have tuples.
            if json.dumps(getattr(self, name), sort_keys=True) != json.dumps(value, sort_keys=True):
                raise _other("version of redetail" if name == "version" else name, folder)


def _other(name: str, folder: Path) -> InputError:
    what = "other input files" if name == "files" else f"another {name}"
    return InputError(
        f"The workspace {folder} was started with {what}, so its results cannot be used; choose another folder, or "
        f"remove it with: redetail clean {folder}"
    )


def source_fingerprint(info: VideoInfo) -> dict[str, Any] | None:
    """What tells one source from another without reading all of it; None for frames in memory."""
    return None if info.path is None else fingerprint(info.path)


def file_fingerprints(files: Iterable[Path]) -> dict[str, Any]:
    """Fingerprints by name; what cannot be read, such as a name on the hub, is identified by its name alone."""
    return {str(path): _fingerprint_or_none(path) for path in files}


def _fingerprint_or_none(path: Path) -> dict[str, Any] | None:
    try:
        return (
            fingerprint(path) if os.path.isfile(path) or os.path.isdir(path) else None
        )  # a pipe would wait for its writer
    except OSError:  # whoever reads it says what is wrong
        return None


def fingerprint(path: Path) -> dict[str, Any]:
    """A file's size, time of change and digest of both its ends; for a folder the digest of its files' names, sizes and
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
    """What of an engine decides its results, as far as it says.

    Attention, offloading, batches and the number of a card are left out: they may depend on the memory of the moment,
    and a run that continues with others gives the same pictures.
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
        status = path.stat() if os.path.exists(path) else path.lstat()  # a link may lead nowhere
        digest.update(f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
