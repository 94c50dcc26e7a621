"""The config file: the defaults of every run from the command line (see docs/configuration.md).

It is a job without anything that belongs to a single clip, and is read by the same schema.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from redetail.documents import load
from redetail.errors import RedetailError, SettingsError
from redetail.files import resolved
from redetail.job.job import Job
from redetail.job.reading import check_config


def read_config(path: Path) -> Job:
    """The job whose values apply where another gives none; file names in it are relative to the config file's folder.

    Raises :class:`~redetail.errors.InputError` if the file cannot be read, and :class:`~redetail.errors.SettingsError`
    for a key that a config file must not have or a value that cannot be used.
    """
    document = load(path, "TOML", "config file", "docs/configuration.md shows one")
    try:
        check_config(document)
        job = Job.from_document(document, resolved(path).parent)
        job.check()
    except (RedetailError, TypeError) as error:
        raise SettingsError(f"{path}: {error}") from error
    return replace(job, config_file=path)
