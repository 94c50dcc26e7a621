"""Jobs: the arguments of :func:`redetail.detail` in a file.

Written as TOML by people, and as JSON in every report (see docs/jobs.md). Names of files are relative to the job's own
folder. What is misspelt is refused with the name that was probably meant, since a setting that is silently left out
would only be noticed after an hour's work.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from redetail.engines.memory import Memory
from redetail.engines.spec import ControlFile, ModelSpec, WeightedFile
from redetail.errors import InputError, RedetailError, SettingsError
from redetail.pipeline.chosen import Subject
from redetail.pipeline.report import VERSION
from redetail.region import Box
from redetail.settings import Settings, display_name
from redetail.video.options import EncodeOptions

_SETTINGS = ("preset", *(item.name for item in fields(Settings)))
_ALIASES = {display_name(name).replace("-", "_"): name for name in _SETTINGS}
_CONTROL = ("file", "strength", "start", "end", "hint")
_FILES = ("source", "output", "compare", "report", "mask", "segs", "save_hints")
_TOP = (*_FILES, "detect", "device", "start", "end", "box")
_SWITCHES = ("channels_last", "compile", "offload", "lossless")


def read_job(path: str | Path) -> dict[str, Any]:
    """The keyword arguments for :func:`redetail.detail` that a job file (.toml), or a report (.json), holds.

    Raises :class:`~redetail.errors.InputError` where the file cannot be read, and
    :class:`~redetail.errors.SettingsError` for a key that does not exist or a value of another kind.
    """
    path = Path(path).expanduser()
    document = _document(path)
    try:
        return _Reader(path.resolve().parent).arguments(document)
    except (RedetailError, TypeError) as error:
        raise SettingsError(f"{path}: {error}") from error


def _document(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as error:
        raise InputError(f"The job {path} cannot be read ({error.strerror}); check the name.") from error
    except ValueError as error:  # of JSON, of TOML and of text in another coding
        kind = "JSON" if path.suffix.lower() == ".json" else "TOML"
        raise InputError(f"{path} is no {kind} document ({error}); docs/jobs.md shows a job.") from error
    if isinstance(document, dict) and "report_version" in document:
        version, document = document["report_version"], document.get("job")
        if version != VERSION:
            raise InputError(
                f"{path} is a report of version {version!r}; this redetail reads version {VERSION}; write it anew."
            )
        if document is None:
            raise InputError(f"{path} is a report without a job: its source, model or mask was no file, so give them.")
    if not isinstance(document, dict):
        raise InputError(f"{path} must hold an object, not {type(document).__name__}; docs/jobs.md shows a job.")
    return document


@dataclass(frozen=True)
class _Reader:
    """Reads the tables of a job; file names are relative to ``folder``."""

    folder: Path

    def arguments(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The whole job as keyword arguments; settings stand among them, as ``detail`` takes them."""
        tables: dict[str, Callable[[Any], Any]] = {
            "model": self._model,
            "memory": lambda table: Memory(**_switched(table, _names(Memory), "[memory]")),
            "encode": lambda table: EncodeOptions(**_switched(table, _names(EncodeOptions), "[encode]")),
            "settings": self._settings,
            "subject": self._subjects,
        }
        values: dict[str, Callable[[Any], Any]] = {
            **dict.fromkeys(_FILES, self._path),
            **dict.fromkeys(("detect", "device"), _text),
            **dict.fromkeys(("start", "end"), _position),
            "box": _boxes,
        }
        readers = {**values, **tables}
        taken = _known(document, readers, "the job")
        arguments = {name: _named(name, readers[name], value) for name, value in taken.items()}
        settings = arguments.pop("settings", {})
        if "subject" in arguments:
            arguments["subjects"] = arguments.pop("subject")
        return {**arguments, **settings}

    def _path(self, value: Any) -> Path:
        return self.folder / Path(_text(value)).expanduser()

    def _checkpoint(self, value: Any) -> str | Path:
        """A file or folder where there is one, else a name on the hub."""
        path = self._path(value)
        return path if path.exists() or value.count("/") != 1 or value.startswith((".", "~")) else str(value)

    def _weighted(self, value: Any) -> WeightedFile:
        file = WeightedFile.parse(_text(value))
        return WeightedFile(self.folder / file.path, file.strength)

    def _model(self, table: Any) -> ModelSpec:
        readers: dict[str, Callable[[Any], Any]] = {
            **dict.fromkeys(("checkpoint", "refiner_checkpoint"), self._checkpoint),
            **dict.fromkeys(("motion_module", "vae"), self._path),
            **dict.fromkeys(("motion_loras", "loras"), _each(self._weighted)),
            "embeddings": _each(self._path),
            "controls": _each(self._control),
        }
        taken = _known(table, readers, "[model]")
        return ModelSpec(**{name: _named(name, readers[name], value) for name, value in taken.items()})

    def _control(self, table: Any) -> ControlFile:
        taken = _known(table, _CONTROL, "[[model.controls]]")
        numbers = (taken.get("strength", 1.0), taken.get("start", 0.0), taken.get("end", 1.0))
        if "file" not in taken:
            raise SettingsError("a [[model.controls]] needs its file, a ControlNet.")
        file = _named("file", self._path, taken["file"])
        strength, start, end = (
            _named(name, _number, value) for name, value in zip(_CONTROL[1:4], numbers, strict=True)
        )
        hint = _named("hint", _text, taken.get("hint", "tile"))
        there = self._path(hint)  # a video or a folder of hints; else it is the name of a hint
        return ControlFile(file, strength, start, end, str(there) if there.exists() else hint)

    def _settings(self, table: Any) -> dict[str, Any]:
        settings = _known(table, _SETTINGS, "[settings]", _ALIASES)
        if "loras" in settings:
            settings["loras"] = [str(file) for file in _named("loras", _each(self._weighted), settings["loras"])]
        return settings

    def _subjects(self, tables: Any) -> tuple[Subject, ...]:
        if isinstance(tables, Mapping):
            raise SettingsError("each subject is a table of its own; write [[subject]], not [subject].")
        return _each(self._subject)(tables)

    def _subject(self, table: Any) -> Subject:
        taken = _known(table, ("track", "skip", *_SETTINGS), "[[subject]]", _ALIASES)
        track, skip = taken.pop("track", None), taken.pop("skip", False)
        if not isinstance(track, int | str) or isinstance(track, bool):
            raise SettingsError(f"a [[subject]] needs its track: a number or a label, not {track!r}.")
        if not isinstance(skip, bool):
            raise SettingsError(f"skip of subject {track} must be true or false, not {skip!r}.")
        return Subject(track, skip, self._settings(taken))


# --- values


def _known(table: Any, names: Iterable[str], where: str, aliases: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The table with its keys as they are declared; raises SettingsError for one that does not exist."""
    if not isinstance(table, Mapping):
        raise SettingsError(f"{where} must be a table, not {table!r}.")
    known, taken = tuple(names), {}
    for key, value in table.items():
        plain = key.replace("-", "_")
        name = (aliases or {}).get(plain, plain)
        if name not in known:
            raise SettingsError(f"there is no key {key!r} in {where}; {_instead(plain, known)}.")
        if name in taken:
            raise SettingsError(f"{name} stands in {where} twice, once as {key!r}; keep one.")
        taken[name] = value
    return taken


def _instead(name: str, known: Sequence[str]) -> str:
    """What is to be done with a key that does not exist in a table of these."""
    places = [table for table, keys in _TABLES.items() if name in keys and not set(keys) <= set(known)]
    if places:
        return f"it belongs to {places[0]}"
    near = difflib.get_close_matches(name, known, 1)
    return f"the nearest is {near[0]!r}" if near else f"choose one of: {', '.join(known)}"


def _switched(table: Any, names: Iterable[str], where: str) -> dict[str, Any]:
    """As :func:`_known`; what switches something on or off must be true or false, since the text "no" would be on."""
    taken = _known(table, names, where)
    return {name: _named(name, _truth, value) if name in _SWITCHES else value for name, value in taken.items()}


def _named(name: str, read: Callable[[Any], Any], value: Any) -> Any:
    try:
        return read(value)
    except _WrongKindError as error:
        raise SettingsError(f"{name} must be {error}, not {value!r}.") from error


def _names(declared: type[Memory | EncodeOptions | ModelSpec]) -> list[str]:
    return [item.name for item in fields(declared)]


# Where a key belongs that stands in another table.
_TABLES: Mapping[str, Iterable[str]] = {
    "[settings]": (*_SETTINGS, *_ALIASES),
    "[model]": _names(ModelSpec),
    "[memory]": _names(Memory),
    "[encode]": _names(EncodeOptions),
    "the top of the job, before all tables": _TOP,
}


class _WrongKindError(Exception):
    """What a value should have been."""


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise _WrongKindError("text")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _WrongKindError("a number")
    return float(value)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _WrongKindError("true or false")
    return value


def _position(value: Any) -> float | int | str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _WrongKindError("a time: seconds, h:m:s, or a frame as in 120f")
    return value


def _each(read: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def all_of(values: Any) -> tuple[Any, ...]:
        if not isinstance(values, list):
            raise _WrongKindError("a list")
        return tuple(read(value) for value in values)

    return all_of


def _boxes(value: Any) -> tuple[Box, ...]:
    """One box x1, y1, x2, y2, or a list of them."""
    rows = value if isinstance(value, list) and value and isinstance(value[0], list) else [value]
    try:
        return tuple(Box(*map(_number, row)) for row in rows)
    except (_WrongKindError, TypeError) as error:  # of a side, of their number
        raise _WrongKindError("four numbers x1, y1, x2, y2, or a list of such") from error
