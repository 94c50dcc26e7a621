"""Configuration files of model folders, read and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redetail.errors import ModelError

Config = Mapping[str, Any]


def read_text(path: Path) -> str:
    """The text of a file; raises :class:`~redetail.errors.ModelError` where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ModelError(f"The model file {path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"The model file {path} is no text; copy or download it again.") from error


def read_config(path: Path) -> Config:
    """A JSON object from a file; raises :class:`~redetail.errors.ModelError` where there is none."""
    try:
        config = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ModelError(f"The model file {path} is no JSON ({error}); copy or download it again.") from error
    if not isinstance(config, dict):
        raise ModelError(f"The model file {path} should hold a JSON object; copy or download it again.")
    return config


def class_name(config: Config) -> str:
    """The class that wrote a config: diffusers says it in ``_class_name``, transformers in ``architectures``."""
    architectures = config.get("architectures") or [""]
    return str(config.get("_class_name") or architectures[0])
