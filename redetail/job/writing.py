"""A job as a document, for reports and job files, and documents as text."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redetail.documents import is_text
from redetail.engines.spec import ModelSpec, WeightedFile, as_spec
from redetail.errors import SettingsError
from redetail.files import expanded, resolved
from redetail.geometry.scale import Scale
from redetail.job.requested import Subject
from redetail.video.options import EncodeOptions

if TYPE_CHECKING:
    from redetail.job.job import Job

VERSION = 1
"""Version of the document's layout; it goes up when a reader of the old layout would misread the new one."""
COMPARE_LAYOUTS = ("crops", "side", "split", "wipe")
"""What a comparison looks like; see :data:`redetail.evaluate.layouts.LAYOUTS`."""

BACKGROUNDS = ("lanczos", "model")
"""What enlarges a frame outside its subjects: a Lanczos filter, or the model, which also enlarges the subjects."""


def document(job: Job) -> dict[str, Any]:
    """The document that :func:`redetail.job.reading.fields_of` reads. Files have absolute paths; anything that was not
    requested is left out."""
    source = job.source if isinstance(job.source, Path) else None
    paths = {"source": source, "output": job.output, "compare": job.compare, "report": job.report}
    return {
        "job_version": VERSION,
        **_filled(
            {
                **{name: _whole(path) for name, path in paths.items()},
                "compare_layout": None if job.compare_layout == COMPARE_LAYOUTS[0] else job.compare_layout,
                "save_hints": _whole(job.save_hints),
                **{selection.name: selection.to_document() for selection in job.selection},
                **{one.name: one.to_document() for one in job.filters},
                **{"start": job.span.start, "end": job.span.end, "device": job.device, "strict": job.strict or None},
                "config": None if job.config else False,
                "scale": None if job.scale == Scale() else job.scale.value,
                "background": None if job.background == BACKGROUNDS[0] else job.background,
                "model": _filled(_model(as_spec(job.model))),
                "memory": job.memory.as_dict() if job.memory else {},
                "settings": _settings(job.settings),
                "encode": _filled(_encoding(job.encode)) if job.encode else {},
                "subject": [_subject(subject) for subject in job.subjects],
            }
        ),
    }


def _model(model: ModelSpec) -> dict[str, Any]:
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
        "text_encoder": _whole(model.text_encoder),
        "loras": [_whole_weighted(file) for file in model.loras],
        "embeddings": [_whole(path) for path in model.embeddings],
        "controls": controls,
        "refiner_checkpoint": _where(model.refiner_checkpoint),
        "low_noise_checkpoint": _where(model.low_noise_checkpoint),
        "high_noise_loras": [_whole_weighted(file) for file in model.high_noise_loras],
    }


def _encoding(encode: EncodeOptions) -> dict[str, Any]:
    return {item.name: getattr(encode, item.name) for item in fields(EncodeOptions)}


def _subject(subject: Subject) -> dict[str, Any]:
    meant = {"who": _whole(subject.who)} if subject.track is None else {"track": subject.track}
    return {**meant, **({"skip": True} if subject.skip else {}), **_settings(subject.settings)}


def _settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    loras = [_whole_weighted(WeightedFile.parse(text)) for text in settings.get("loras", ())]
    return {**settings, **({"loras": loras} if "loras" in settings else {})}


def _whole(path: str | Path | None) -> str | None:
    return None if path is None else str(resolved(path))


def _whole_weighted(file: WeightedFile) -> str:
    return str(WeightedFile(resolved(file.path), file.strength))


def _where(given: str | Path | None) -> str | None:
    """The absolute path of a file on this machine; the name of a model on the hub or of a hint stays as it is."""
    there = given is not None and os.path.exists(expanded(given))
    return _whole(given) if there or given is None else str(given)


def _filled(table: Mapping[str, Any]) -> dict[str, Any]:
    """The table without values that were not given."""
    return {name: value for name, value in table.items() if value is not None and value not in ({}, [])}


def text_of(document: Mapping[str, Any], path: Path) -> str:
    """A job as the text of a file with the name ``path``: JSON for .json, else TOML.

    Names of files may hold bytes that are not UTF-8 (in Python: lone surrogates). JSON keeps them as escapes; TOML has
    no escapes for them. Raises :class:`~redetail.errors.SettingsError` for a name that TOML cannot hold.
    """
    if path.suffix.lower() == ".json":
        return json.dumps(document, indent=1) + "\n"
    text = to_toml(document)
    if not is_text(text):
        broken = next(line for line in text.splitlines() if not is_text(line))
        raise SettingsError(
            f"The job cannot be written to {path}: {broken.partition(' =')[0]} is not valid UTF-8, which TOML "
            f"requires; save the job as {path.with_suffix('.json').name} instead."
        )
    return text


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
    # Strings, numbers and booleans look the same in JSON and TOML, except that TOML requires DEL to be escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
