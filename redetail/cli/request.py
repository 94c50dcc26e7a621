"""What a command line asks of the library: the job's arguments, with what was typed over them."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from redetail.cli.options import encoding_of, settings_of
from redetail.engines.memory import Memory
from redetail.engines.spec import ControlFile, ModelSpec, WeightedFile
from redetail.errors import SettingsError
from redetail.pipeline.chosen import Subject
from redetail.pipeline.job import read_job
from redetail.settings import Settings, with_preset
from redetail.video.options import EncodeOptions

WHERE = ("detect", "box", "mask", "segs")
_PLAIN = ("output", "compare", "report", "start", "end", "device", "save_hints")
_SETTINGS = ("preset", *(item.name for item in fields(Settings)))


def request_of(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments for :func:`redetail.detail`: what was typed, over what the job says, for its subjects too.

    Raises :class:`~redetail.errors.SettingsError` where no video is named, and what reading a job raises.
    """
    job = read_job(options.job) if options.job else {}
    typed: dict[str, Any] = {name: getattr(options, name) for name in _PLAIN if getattr(options, name) is not None}
    if options.input is not None:
        typed["source"] = options.input
    where = {name: getattr(options, name) for name in WHERE if getattr(options, name) is not None}
    if where:
        job = {name: value for name, value in job.items() if name not in WHERE}
    request = {**job, **typed, **where}
    if "source" not in request:
        raise SettingsError("Say which video: redetail detail IN -o OUT; see: redetail detail --help")
    request |= _parts(options, job)
    return _with_settings(request, settings_of(options))


def preset_of(options: argparse.Namespace, request: dict[str, Any]) -> dict[str, Any]:
    """The preset that counts and the settings given beside it, for the summary."""
    typed = settings_of(options)
    if "preset" in typed:
        return typed
    return {name: request[name] for name in _SETTINGS if name in request}


def _with_settings(request: dict[str, Any], typed: dict[str, Any]) -> dict[str, Any]:
    """Typed settings, and those of a typed preset, over the job's and over those of its subjects.

    The preset's name stays beside what it stands for: the library refuses it where the model has no presets.
    """
    over = with_preset(typed)
    if over:
        given = with_preset({name: value for name, value in request.items() if name in _SETTINGS})
        rest = {name: value for name, value in request.items() if name not in _SETTINGS}
        preset = {"preset": typed["preset"]} if "preset" in typed else {}
        request = {**rest, **given, **over, **preset}
    if "subjects" in request:
        request["subjects"] = tuple(_under(subject, over) for subject in request["subjects"])
    return request


def _under(subject: Subject, over: dict[str, Any]) -> Subject:
    own = with_preset(subject.settings)
    return replace(subject, settings={name: value for name, value in own.items() if name not in over})


def _parts(options: argparse.Namespace, job: dict[str, Any]) -> dict[str, Any]:
    """Model, memory and encoding, each field typed over the job's."""
    model = _model(options)
    memory = {
        item.name: getattr(options, item.name) for item in fields(Memory) if getattr(options, item.name) is not None
    }
    encode = encoding_of(options)
    parts: dict[str, Any] = {}
    if model:
        parts["model"] = replace(job.get("model", ModelSpec()), **model)
    if memory:
        parts["memory"] = replace(job.get("memory", Memory()), **memory)
    if encode:
        parts["encode"] = replace(job.get("encode", EncodeOptions()), **encode)
    return parts


def _model(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a :class:`~redetail.engines.spec.ModelSpec` that were typed."""
    typed: dict[str, Any] = {
        "checkpoint": options.checkpoint,
        "motion_module": _path(options.motion_module),
        "motion_loras": tuple(map(WeightedFile.parse, options.motion_lora or ())),
        "vae": _path(options.vae),
        "embeddings": tuple(Path(path).expanduser() for path in options.embedding or ()),
        "controls": _controls(options.controlnet or [], options.control or []),
        "refiner_checkpoint": options.refiner_checkpoint,
    }
    return {name: value for name, value in typed.items() if value}


def _controls(networks: list[str], hints: list[str]) -> tuple[ControlFile, ...]:
    if len(networks) != len(hints):
        raise SettingsError(
            f"There are {len(networks)} --controlnet and {len(hints)} --control; give both for each, in the same order."
        )
    return tuple(ControlFile.parse(text, hint) for text, hint in zip(networks, hints, strict=True))


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text).expanduser()
