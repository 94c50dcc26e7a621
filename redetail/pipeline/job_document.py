"""A run as a job: what :mod:`redetail.pipeline.job` reads again, for the report and for job files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from redetail.engines.spec import ModelSpec, WeightedFile
from redetail.pipeline.chosen import Subject
from redetail.settings import Settings
from redetail.video.options import EncodeOptions


def job_document(
    arguments: Mapping[str, Any], settings: Settings, model: ModelSpec, subjects: Iterable[Subject]
) -> dict[str, Any] | None:
    """A job, ready for JSON and TOML, that does the same again: ``arguments`` are those of ``detail``, the rest what
    became of them. None where something is no file and so cannot be named. Files have their whole paths. What is
    written beside the output is left out: another run would only find it there."""
    files = {name: arguments.get(name) for name in ("source", "output", "mask", "segs")}
    detector = arguments.get("detect", "face")
    plain = all(value is None or isinstance(value, str | Path) for value in files.values())
    if not plain or files["source"] is None or not isinstance(detector, str):
        return None
    memory, encode = arguments.get("memory"), arguments.get("encode")
    document: dict[str, Any] = {
        **{name: _whole(value) for name, value in files.items()},
        "detect": detector,
        **{name: arguments.get(name) for name in ("start", "end", "device")},
        "box": [list(box.as_tuple()) for box in arguments.get("box") or ()],
        "model": _filled(_model_document(model)),
        "memory": memory.as_dict() if memory else {},
        "settings": _with_whole_paths(settings.as_dict()),
        "encode": _filled({item.name: getattr(encode, item.name) for item in fields(EncodeOptions)}) if encode else {},
        "subject": [_subject_document(subject) for subject in subjects],
    }
    return _filled(document)


def _model_document(model: ModelSpec) -> dict[str, Any]:
    controls = [
        {"file": _whole(one.path), "strength": one.strength, "start": one.start, "end": one.end,
         "hint": _where(one.hint)}
        for one in model.controls
    ]  # fmt: skip
    return {
        "checkpoint": _where(model.checkpoint),
        "motion_module": _whole(model.motion_module),
        "motion_loras": [_whole_weighted(file) for file in model.motion_loras],
        "vae": _whole(model.vae),
        "loras": [_whole_weighted(file) for file in model.loras],
        "embeddings": [_whole(path) for path in model.embeddings],
        "controls": controls,
        "refiner_checkpoint": _where(model.refiner_checkpoint),
    }


def _subject_document(subject: Subject) -> dict[str, Any]:
    given = {name: value for name, value in subject.settings.items() if value is not None}
    return {"track": subject.track, **({"skip": True} if subject.skip else {}), **_with_whole_paths(given)}


def _with_whole_paths(settings: Mapping[str, Any]) -> dict[str, Any]:
    loras = [_whole_weighted(WeightedFile.parse(text)) for text in settings.get("loras", ())]
    return {**settings, **({"loras": loras} if "loras" in settings else {})}


def _whole(path: str | Path | None) -> str | None:
    return None if path is None else str(Path(path).expanduser().resolve())


def _whole_weighted(file: WeightedFile) -> str:
    return str(WeightedFile(file.path.expanduser().resolve(), file.strength))


def _where(given: str | Path | None) -> str | None:
    """The whole path of what is on this machine; the name of a model on the hub or of a hint stays as it is."""
    there = given is not None and Path(given).expanduser().exists()
    return _whole(given) if there or given is None else str(given)


def _filled(table: Mapping[str, Any]) -> dict[str, Any]:
    """The table without what was not given."""
    return {name: value for name, value in table.items() if value is not None and value not in ({}, [])}


def to_toml(document: Mapping[str, Any]) -> str:
    """A job as TOML: values first, then tables, then lists of tables."""
    return "\n".join(_toml(document, ())).lstrip("\n") + "\n"


def _toml(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    nested = {name: value for name, value in table.items() if isinstance(value, Mapping)}
    rows = {name: value for name, value in table.items() if _is_tables(value)}
    for name, value in table.items():
        if name not in nested and name not in rows:
            yield f"{name} = {_toml_value(value)}"
    for name, value in nested.items():
        yield f"\n[{'.'.join((*path, name))}]"
        yield from _toml(value, (*path, name))
    for name, values in rows.items():
        for value in values:
            yield f"\n[[{'.'.join((*path, name))}]]"
            yield from _toml(value, (*path, name))


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, Mapping) for one in value)


def _toml_value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml_value, value))}]"
    # Texts, numbers and truth values are written alike in JSON and TOML, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
