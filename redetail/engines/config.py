"""Configuration files of model folders, read with bounds and checked by schema.

A schema maps keys to readers as in :mod:`redetail.documents`. Sizes have limits far beyond every published model, so
that a file that asks for a million blocks is refused before a network is built.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from redetail.documents import WrongKindError, shown
from redetail.errors import ModelError

Config = Mapping[str, Any]
Reader = Callable[[Any], Any]
Schema = Mapping[str, Reader]

_LARGEST_FILE = 2**20
_AGAIN = "copy or download it again"


def read_text(path: Path, largest: int = _LARGEST_FILE) -> str:
    """The text of a file of at most ``largest`` bytes; raises :class:`~redetail.errors.ModelError`."""
    try:
        with path.open("rb") as file:
            raw = file.read(largest + 1)
        if len(raw) > largest:
            raise ModelError(f"The model file {path} is larger than {largest:,} bytes; {_AGAIN}.")
        return raw.decode("utf-8")
    except OSError as error:
        raise ModelError(f"The model file {path} cannot be read ({error.strerror}); {_AGAIN}.") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"The model file {path} is not text; {_AGAIN}.") from error


def read_config(path: Path, largest: int = _LARGEST_FILE) -> Config:
    """A JSON object from a file; raises :class:`~redetail.errors.ModelError` if there is none."""
    return parsed(read_text(path, largest), f"The model file {path}")


def parsed(text: str | bytes, what: str) -> dict[str, Any]:
    """A JSON object; raises :class:`~redetail.errors.ModelError` that begins with ``what``."""
    try:
        config = json.loads(text)
    except RecursionError as error:
        raise ModelError(f"{what} contains JSON that is nested too deeply; {_AGAIN}.") from error
    except ValueError as error:  # not JSON, not text, or a number of thousands of digits
        raise ModelError(f"{what} is not JSON ({str(error).splitlines()[0]}); {_AGAIN}.") from error
    if not isinstance(config, dict):
        raise ModelError(f"{what} must contain a JSON object; {_AGAIN}.")
    return config


def class_name(config: Config) -> str:
    """The class that wrote a config: diffusers names it in ``_class_name``, transformers in ``architectures``."""
    architectures = config.get("architectures")
    first = architectures[0] if isinstance(architectures, list) and architectures else ""
    name = config.get("_class_name") or first
    return name if isinstance(name, str) else shown(name)


def check_keys(config: Config, schema: Schema, where: str) -> None:
    """Raise :class:`~redetail.errors.ModelError` for a value that does not match the schema of its key.

    Keys can be missing. ``where``: the file, in words.
    """
    for key, read in schema.items():
        if key not in config:
            continue
        try:
            read(config[key])
        except WrongKindError as error:
            raise ModelError(f"{key} in {where} is {shown(config[key])}; it must be {error}.") from error


def whole(low: int, high: int) -> Reader:
    """A reader of whole numbers in a range."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise WrongKindError(f"a whole number from {low} to {high}")
        return value

    return read


def between(low: float, high: float) -> Reader:
    """A reader of numbers in a range."""

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise WrongKindError(f"a number from {low:g} to {high:g}")
        return float(value)

    return read


def several(read: Reader, most: int, least: int = 0) -> Reader:
    """A reader of lists of at most this many values."""

    def all_of(values: Any) -> tuple[Any, ...]:
        if not isinstance(values, list) or not least <= len(values) <= most:
            count = f"{least}" if least == most else f"{least} to {most}"
            raise WrongKindError(f"a list of {count} values")
        try:
            return tuple(read(value) for value in values)
        except WrongKindError as error:
            raise WrongKindError(f"a list in which each item is {error}") from error

    return all_of


def either(*readers: Reader) -> Reader:
    """A reader for anything that one of the readers accepts; null counts as not given."""

    def read(value: Any) -> Any:
        wanted = []
        for one in readers if value is not None else ():
            try:
                return one(value)
            except WrongKindError as error:
                wanted.append(str(error))
        if wanted:
            raise WrongKindError(" or ".join(wanted))
        return None

    return read
