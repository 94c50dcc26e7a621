"""Jobs in files: people write them as TOML, and every report holds one as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redetail.documents import load, shown
from redetail.errors import InputError, RedetailError, SettingsError
from redetail.files import expanded, resolved
from redetail.job.job import Job

REPORT_VERSION = 1
"""Version of the layout of reports, which hold a job; it goes up when a reader of the old layout would misread the
new."""


def read_job(path: str | Path, base: Job | None = None) -> Job:
    """The job in a job file (.toml) or a report (.json); file names in it are relative to the folder of that file.

    ``base``: the job of a config file, which supplies what the job leaves out, unless the job says ``config = false``.

    Raises :class:`~redetail.errors.InputError` if the file cannot be read, and
    :class:`~redetail.errors.SettingsError` for a key that does not exist or a value of the wrong kind.
    """
    path = expanded(path)
    document, folder = _document(path), resolved(path).parent
    try:
        job = Job.from_document(document, folder)
        return Job.from_document(document, folder, base) if job.config and base is not None else job
    except (RedetailError, TypeError) as error:
        raise SettingsError(f"{path}: {error}") from error


def _document(path: Path) -> Mapping[str, Any]:
    document = load(path, "JSON" if path.suffix.lower() == ".json" else "TOML", "job", "docs/jobs.md shows a job")
    if isinstance(document, dict) and "report_version" in document:
        version, document = document["report_version"], document.get("job")
        if version != REPORT_VERSION:
            raise InputError(
                f"{path} is a version {shown(version)} report, but this version of redetail reads version "
                f"{REPORT_VERSION}; create the report again."
            )
        if document is None:
            raise InputError(
                f"{path} is a report without a job, because the source, mask or engine of the run was an object in "
                "memory; give another report, or a job file."
            )
    if not isinstance(document, dict):
        raise InputError(f"{path} must contain a JSON object, not {shown(document)}; docs/jobs.md shows a job.")
    return document
