"""Checks that outputs of commands other than videos may be written under their names."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from redetail.errors import OutputError
from redetail.files import expanded
from redetail.video.target import check_name


def path_of(given: str | Path | None) -> Path | None:
    """A name as it was typed, with the home folder in place of ``~``."""
    return None if given is None else expanded(given)


def keep_existing(outputs: Iterable[str | Path | None], overwrite: bool) -> None:
    """Raise OutputError if a file to be written exists and must not be replaced, or if its name is impossible."""
    for path in outputs:
        if path:
            check_name(expanded(path))
        if path and not overwrite and os.path.isfile(expanded(path)):
            raise OutputError(f"{path} already exists; give another name, or use --overwrite to replace it.")
