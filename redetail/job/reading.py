"""The fields of a job from its document: tables whose keys and values are checked (see docs/jobs.md)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redetail import documents
from redetail.documents import WrongKindError, each, named, number, shown, text, truth
from redetail.engines.memory import Memory
from redetail.engines.spec import ControlFile, ModelSpec, WeightedFile
from redetail.errors import SettingsError
from redetail.files import expanded
from redetail.job.requested import RequestedSettings, Subject
from redetail.job.writing import VERSION
from redetail.selection import FILTERS, filters_from_document, kinds, selections_from_document
from redetail.selection.filters import laid_over
from redetail.settings import display_name
from redetail.video.options import EncodeOptions
from redetail.video.span import Span

if TYPE_CHECKING:
    from redetail.job.job import Job

_SETTINGS = RequestedSettings.NAMES
_ALIASES = {display_name(name).replace("-", "_"): name for name in _SETTINGS}
_CONTROL = ("file", "strength", "start", "end", "hint")
_FILES = ("source", "output", "compare", "report", "save_hints")
_SPAN = ("start", "end")
_TABLES = ("model", "memory", "settings", "encode", "subject")
_SWITCHES = ("channels_last", "compile", "offload", "block_offload", "fp8_weights", "lossless")
_PLAIN = ("device", "scale", "background", "compare_layout", "strict")
_OF_EVERY_CLIP = ("job_version", *_PLAIN, "model", "memory", "settings", "encode")
"""Keys that a config file may have."""


def fields_of(document: Mapping[str, Any], folder: Path, base: Job) -> dict[str, Any]:
    """The fields of :class:`redetail.Job` that a document holds; they override those of ``base``. File names are
    relative to ``folder``.

    Raises :class:`~redetail.errors.SettingsError` for a key that does not exist, a value of the wrong kind, and a
    document of another version.
    """
    _check_version(document.get("job_version", VERSION))
    reader = _Reader(folder)
    readers: dict[str, Callable[[Any], Any]] = {
        **dict.fromkeys(_FILES, reader.path),
        "device": text,
        "scale": number,
        "background": text,
        "compare_layout": text,
        "strict": truth,
        "config": truth,
        "model": lambda table: reader.model(table, base.model),
        "memory": lambda table: replace(base.memory or Memory(), **_switched(table, _names(Memory), "[memory]")),
        "encode": lambda table: replace(
            base.encode or EncodeOptions(), **_switched(table, _names(EncodeOptions), "[encode]")
        ),
        "settings": lambda table: RequestedSettings(base.settings).overlay(reader.settings(table)),
        "subject": reader.subjects,
    }
    taken = _known(document, (*_top(), *_TABLES), "the job")
    values = {name: named(name, readers[name], taken[name]) for name in taken if name in readers}
    if "subject" in values:
        values["subjects"] = values.pop("subject")
    positions = {name: named(name, _position, taken[name]) for name in _SPAN if name in taken}
    return {
        **values,
        "span": Span(**{"start": base.span.start, "end": base.span.end, **positions}),
        "selection": selections_from_document(taken, folder) or base.selection,
        "filters": laid_over(base.filters, filters_from_document(taken, folder)),
    }


def check_config(document: Mapping[str, Any]) -> None:
    """Raise :class:`~redetail.errors.SettingsError` for a key that is not for a config file."""
    for key in document:
        name = key.replace("-", "_")
        if name in (*_top(), *_TABLES) and name not in _OF_EVERY_CLIP:
            raise SettingsError(
                f"{key} is specific to one clip and cannot be in a config file; use an option or a job file."
            )
    documents.known(document, _OF_EVERY_CLIP, "a config file", elsewhere={"[settings]": (*_SETTINGS, *_ALIASES)})


def _check_version(version: Any) -> None:
    if version != VERSION:
        raise SettingsError(
            f"the job has version {shown(version)}, but this version of redetail reads version {VERSION}."
        )


@dataclass(frozen=True)
class _Reader:
    """Reads the values that name files; the names are relative to ``folder``."""

    folder: Path

    def path(self, value: Any) -> Path:
        return self.folder / expanded(text(value))

    def model(self, table: Any, base: ModelSpec | None) -> ModelSpec:
        """The files of a table and, unless the table names another checkpoint, also those of ``base``: a model's files
        belong to its checkpoint."""
        readers: dict[str, Callable[[Any], Any]] = {
            **dict.fromkeys(("checkpoint", "refiner_checkpoint", "low_noise_checkpoint"), self._checkpoint),
            **dict.fromkeys(("motion_module", "vae", "text_encoder"), self.path),
            **dict.fromkeys(("motion_loras", "loras", "high_noise_loras"), each(self._weighted)),
            "embeddings": each(self.path),
            "controls": each(self._control),
        }
        taken = _known(table, readers, "[model]")
        kept = ModelSpec() if base is None or "checkpoint" in taken else base
        return replace(kept, **{name: named(name, readers[name], value) for name, value in taken.items()})

    def settings(self, table: Any) -> RequestedSettings:
        return self._settings(_known(table, _SETTINGS, "[settings]", _ALIASES))

    def subjects(self, tables: Any) -> tuple[Subject, ...]:
        if isinstance(tables, Mapping):
            raise SettingsError("each subject is a separate table; write [[subject]], not [subject].")
        return each(self._subject)(tables)

    def _settings(self, settings: dict[str, Any]) -> RequestedSettings:
        if "loras" in settings:
            settings["loras"] = [str(file) for file in named("loras", each(self._weighted), settings["loras"])]
        return RequestedSettings(settings)

    def _subject(self, table: Any) -> Subject:
        taken = _known(table, ("track", "who", "skip", *_SETTINGS), "[[subject]]", _ALIASES)
        track, who, skip = taken.pop("track", None), taken.pop("who", None), taken.pop("skip", False)
        if who is None and (not isinstance(track, int | str) or isinstance(track, bool)):
            raise SettingsError(f"track in [[subject]] must be a number or a label, not {shown(track)}.")
        if not isinstance(skip, bool):
            raise SettingsError(
                f"the value of skip for subject {shown(track)} must be true or false, not {shown(skip)}."
            )
        return Subject(track, skip, self._settings(taken), None if who is None else named("who", self.path, who))

    def _checkpoint(self, value: Any) -> str | Path:
        """A file or folder if one exists under that name, else a name on the hub."""
        path = self.path(value)
        return path if os.path.exists(path) or value.count("/") != 1 or value.startswith((".", "~")) else str(value)

    def _weighted(self, value: Any) -> WeightedFile:
        file = WeightedFile.parse(text(value))
        return WeightedFile(self.folder / file.path, file.strength)

    def _control(self, table: Any) -> ControlFile:
        taken = _known(table, _CONTROL, "[[model.controls]]")
        numbers = (taken.get("strength", 1.0), taken.get("start", 0.0), taken.get("end", 1.0))
        if "file" not in taken:
            raise SettingsError("each [[model.controls]] table needs the key 'file', the path of a ControlNet.")
        file = named("file", self.path, taken["file"])
        strength, start, end = (named(name, number, value) for name, value in zip(_CONTROL[1:4], numbers, strict=True))
        hint = named("hint", text, taken.get("hint", "tile"))
        there = self.path(hint)  # a video or a folder of hints; otherwise the name of a hint
        return ControlFile(file, strength, start, end, str(there) if os.path.exists(there) else hint)


def _top() -> tuple[str, ...]:
    """The keys that come before all tables."""
    return "job_version", *_FILES, *kinds(), *FILTERS, *_PLAIN, "config", *_SPAN


def _known(table: Any, names: Iterable[str], where: str, aliases: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Like :func:`redetail.documents.known`, with the job's other tables as the places where a key could belong."""
    elsewhere: Mapping[str, Iterable[str]] = {
        "[settings]": (*_SETTINGS, *_ALIASES),
        "[model]": _names(ModelSpec),
        "[memory]": _names(Memory),
        "[encode]": _names(EncodeOptions),
        "the top level of the job, before all tables": _top(),
    }
    return documents.known(table, names, where, aliases=aliases, elsewhere=elsewhere)


def _switched(table: Any, names: Iterable[str], where: str) -> dict[str, Any]:
    """Like :func:`_known`, for switches: each value must be true or false."""
    taken = _known(table, names, where)
    return {name: named(name, truth, value) if name in _SWITCHES else value for name, value in taken.items()}


def _names(declared: type[Memory | EncodeOptions | ModelSpec]) -> list[str]:
    return [item.name for item in fields(declared)]


def _position(value: Any) -> float | int | str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise WrongKindError("a time in seconds or h:m:s, or a frame as in 120f")
    return value
