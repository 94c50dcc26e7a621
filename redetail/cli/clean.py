"""``redetail clean``: list or remove what stopped and killed runs have left behind."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from redetail import claims
from redetail.cli.display import tell
from redetail.errors import InputError
from redetail.files import expanded
from redetail.pipeline.workspace import usable_temp
from redetail.progress import CancelToken


def clean(options: argparse.Namespace, cancel: CancelToken) -> None:
    """Look in the named folders (by default the current one) and in the folder for temporary files."""
    folders = [expanded(folder) for folder in options.folders or ["."]]
    for folder in folders:
        if not os.path.isdir(folder):
            raise InputError(f"There is no folder {folder}; check the name.")
    found = [path for folder in dict.fromkeys((*folders, usable_temp())) for path in _left_in(folder)]
    if not options.dry_run:
        claims.remove(found)
    if not options.quiet:
        done = "would remove" if options.dry_run else "removed"
        tell("".join(f"{done} {path}\n" for path in found) or "Nothing was left behind.\n")


def _left_in(folder: Path) -> list[Path]:
    return [*claims.leftovers(folder), *claims.stopped_work(folder)]
