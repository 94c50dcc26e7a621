"""What a workspace is for: the plan, and what it must be continued with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Manifest:
    """What the tasks of a workspace belong to.

    ``source`` is the fingerprint of the clip (None: not known), ``engine`` the identity of the engine, ``job`` the
    job's document, if there is one. All are values for JSON.
    """

    plan: Plan
    source: Mapping[str, Any] | None
    engine: Mapping[str, Any]
    job: Mapping[str, Any] | None = None

    def to_document(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        """The manifest, ready for JSON, and the files of masks that it refers to, by name."""
        plan, files = plan_to_document(self.plan)
        document = {
            "format": _FORMAT,
            "version": VERSION,
            "redetail": __version__,
            "source": self.source,
            "engine": self.engine,
            "job": self.job,
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
                f"The workspace {folder} has the version {document.get('version')!r} (redetail "
                f"{document.get('redetail')}), but this version reads {VERSION}; continue it with that version, or "
                "delete it."
            )
        try:
            plan = plan_from_document(document["plan"], files)
            return cls(plan, document["source"], document["engine"], document["job"])
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"The manifest of the workspace {folder} is damaged ({error}); delete it.") from error

    def check(self, asked: Manifest, folder: Path) -> None:
        """Raise :class:`~redetail.errors.InputError` unless ``asked`` continues the same work: plan, source, engine and
        job."""
        mine, masks = self.to_document()
        theirs, other_masks = asked.to_document()
        for name in ("source", "engine", "job", "plan"):
            # As JSON: what was read has lists where what is asked may have tuples.
            same = json.dumps(mine[name]) == json.dumps(theirs[name])
            if not same or (name == "plan" and masks != other_masks):
                raise InputError(
                    f"The workspace {folder} was started with another {name}, so its results cannot be used; choose "
                    "another folder, or delete it."
                )


def source_fingerprint(info: VideoInfo) -> dict[str, Any] | None:
    """What tells one source from another without reading all of it; None for frames in memory.

    A file's size, time of change and digest of both its ends; for a folder the digest of its files' names, sizes and
    times.
    """
    if info.path is None:
        return None
    if info.path.is_dir():
        return {"folder": _folder_digest(info.path)}
    status = info.path.stat()
    with info.path.open("rb") as file:
        digest = hashlib.sha256(file.read(_ENDS))
        file.seek(max(0, status.st_size - _ENDS))
        digest.update(file.read(_ENDS))
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256_of_ends": digest.hexdigest()}


def engine_identity(capabilities: Capabilities) -> dict[str, Any]:
    """What of an engine decides its results, as far as it says."""
    return {
        "name": capabilities.name,
        "placement": dict(capabilities.placement),
        "size_multiple": capabilities.size_multiple,
        "hints": list(capabilities.hints),
    }


def _folder_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        status = path.stat()
        digest.update(f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
