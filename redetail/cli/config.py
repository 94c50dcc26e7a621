"""The config file of a command: the one in ``--config FILE``, the usual one, or none with ``--no-config``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from redetail.errors import SettingsError
from redetail.files import expanded

if TYPE_CHECKING:
    from redetail.job import Job

_PLACE = "redetail", "config.toml"
_log = logging.getLogger(__name__)


def usual_config(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Where the config file is: in the folder that XDG_CONFIG_HOME names, else in APPDATA on Windows and in ~/.config
    everywhere else."""
    named = environment.get("XDG_CONFIG_HOME", "")
    if os.path.isabs(named):  # the XDG Base Directory Specification has others ignored
        return Path(named, *_PLACE)
    if platform == "win32":
        return Path(environment.get("APPDATA") or expanded("~/AppData/Roaming"), *_PLACE)
    return Path(expanded("~/.config"), *_PLACE)


def config_file(options: argparse.Namespace) -> Path | None:
    """The config file that a command reads; None if it reads none."""
    if options.config is None:
        path = usual_config()
        return path if os.path.lexists(path) else None
    return None if options.config is False else expanded(options.config)


def config_job(options: argparse.Namespace) -> Job:
    """The job in the config file; empty if there is none.

    Raises what :func:`redetail.job.config.read_config` raises.
    """
    from redetail.job import Job
    from redetail.job.config import read_config

    path = config_file(options)
    if path is None:
        return Job()
    job = read_config(path)
    _log.info("Using the defaults from %s.", path)
    return job


def job_over_config(options: argparse.Namespace, config: Job) -> Job:
    """The job file laid over the config file, or only the config file; raises what reading a job raises."""
    from redetail.job import read_job

    if not options.job:
        return config
    job = read_job(options.job, config)
    if options.config and not job.config:
        raise SettingsError(
            f"{options.job} has config = false, so no config file is read; remove that line, or leave out --config."
        )
    return job
