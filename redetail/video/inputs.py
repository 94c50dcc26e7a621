"""Checks of an input before anything decodes it."""

from __future__ import annotations

import os
from pathlib import Path

from redetail.errors import InputError


def check_input(path: Path) -> None:
    """Raise :class:`~redetail.errors.InputError` if there is nothing readable at ``path``."""
    try:
        exists = path.exists()
    except OSError as error:  # a name that is too long for the file system, a folder without permission
        raise InputError(f"{path} cannot be opened ({error.strerror}); check the name.") from error
    if not exists:
        raise InputError(f"There is no file or folder {path}; check the name.")
    if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        raise InputError(f"Permission to read {path} is denied; change its permissions.")
    if not path.is_file() and not path.is_dir():
        raise InputError(f"{path} is not a file on disk and cannot be read more than once; save it as a file first.")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes); copy or download it again.")
