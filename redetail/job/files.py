"""Jobs in files: written as TOML by people, and as JSON in every report."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redetail.errors import InputError, RedetailError, SettingsError
from redetail.job.job import Job

REPORT_VERSION = 1
"""Of the layout of reports, which hold a job; raised when a reader of the older one would misread the new one."""


def read_job(path: str | Path) -> Job:
    """The job that a job file (.toml), or a report (.json), holds; file names in it are relative to its own folder.

    Raises :class:`~redetail.errors.InputError` where the file cannot be read, and
    :class:`~redetail.errors.SettingsError` for a key that does not exist or a value of the wrong kind.
    """
    path = Path(path).expanduser()
    document = _document(path)
    try:
        return Job.from_document(document, path.resolve().parent)
    except (RedetailError, TypeError) as error:
        raise SettingsError(f"{path}: {error}") from error


def _document(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as error:
        raise InputError(f"The job {path} cannot be read ({error.strerror}); check the name.") from error
    except ValueError as error:  # of JSON, of TOML and of text in another coding
        kind = "JSON" if path.suffix.lower() == ".json" else "TOML"
        raise InputError(f"{path} is no {kind} document ({error}); docs/jobs.md shows a job.") from error
    if isinstance(document, dict) and "report_version" in document:
        version, document = document["report_version"], document.get("job")
        if version != REPORT_VERSION:
            raise InputError(
                f"{path} is a report of version {version!r}; this redetail reads version {REPORT_VERSION}; write it "
                "anew."
            )
        if document is None:
            raise InputError(f"{path} is a report without a job: its source, model or mask was no file, so give them.")
    if not isinstance(document, dict):
        raise InputError(f"{path} must hold an object, not {type(document).__name__}; docs/jobs.md shows a job.")
    return document
