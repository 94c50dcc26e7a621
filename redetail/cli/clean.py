"""``redetail clean``: remove what runs that were killed have left behind."""

from __future__ import annotations

import argparse

from redetail import claims
from redetail.cli.display import tell
from redetail.errors import InputError
from redetail.files import expanded
from redetail.pipeline.workspace import usable_temp
from redetail.progress import CancelToken


def clean(options: argparse.Namespace, cancel: CancelToken) -> None:
    """Look in the folders that were named (the current one) and in that of temporary files."""
    folders = [expanded(folder) for folder in options.folders or ["."]]
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"There is no folder {folder}; check the name.")
    found = [path for folder in dict.fromkeys((*folders, usable_temp())) for path in claims.leftovers(folder)]
    claims.remove(found)
    if not options.quiet:
        tell("".join(f"removed {path}\n" for path in found) or "Nothing was left behind.\n")
