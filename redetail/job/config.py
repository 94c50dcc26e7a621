"""The config file: what every run of the command line takes where it is not asked for anything else (see
docs/configuration.md).

It is a job without what belongs to one clip, read by the same schema.
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
    """The job under every other one; file names in it are relative to the file's own folder.

    Raises :class:`~redetail.errors.InputError` if it cannot be read, and
    :class:`~redetail.errors.SettingsError` for a key that is not for a config file or a value that cannot be used.
    """
    document = load(path, "TOML", "config file", "docs/configuration.md shows one")
    try:
        check_config(document)
        job = Job.from_document(document, resolved(path).parent)
        job.check()
    except (RedetailError, TypeError) as error:
        raise SettingsError(f"{path}: {error}") from error
    return replace(job, config_file=path)
