"""The job that a command line asks for: typed options override a job file, which overrides the config file."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from redetail.cli.config import config_job, job_over_config
from redetail.cli.options import encoding_of, settings_of
from redetail.cluster import Cluster
from redetail.documents import byte_count
from redetail.engines.memory import Memory
from redetail.engines.spec import ControlFile, WeightedFile
from redetail.errors import SettingsError
from redetail.files import expanded
from redetail.job import Job
from redetail.pipeline.work import Work
from redetail.selection import FILTERS, kinds

_FILES = ("output", "compare", "report", "save_hints")
_PLAIN = ("start", "end", "device", "scale", "background", "strict")


def job_of(options: argparse.Namespace) -> Job:
    """What ``redetail detail`` is to do.

    Raises :class:`~redetail.errors.SettingsError` if no video is named, and what reading a job raises.
    """
    files = {name: getattr(options, name) for name in _FILES}
    job = common_job_of(options).overlay(source=options.input, compare_layout=options.compare_layout, **files)
    if job.source is None:
        raise SettingsError("No video was given; use redetail detail IN -o OUT, or see redetail detail --help")
    return job


def common_job_of(options: argparse.Namespace) -> Job:
    """The job without its source and outputs, as many clips can share it."""
    config = config_job(options)
    if options.checkpoint:  # the other files of the config file's model belong to its own checkpoint
        config = replace(config, model=None)
    job = job_over_config(options, config)
    plain = {name: getattr(options, name, None) for name in _PLAIN}  # a preview has no background
    parts = {"model": _model(options), "memory": _memory(options), "encode": _encoding(options)}
    typed = {name: fields_typed for name, fields_typed in parts.items() if fields_typed}
    return job.overlay(**plain, **selected(options), **typed, **settings_of(options))


def _encoding(options: argparse.Namespace) -> dict[str, Any]:
    """How the output is encoded, if the command has one."""
    return encoding_of(options) if hasattr(options, "codec") else {}


def work_of(options: argparse.Namespace) -> Work:
    """How the run keeps its work."""
    return Work(
        folder=_path(options.work_dir),
        resume=getattr(options, "resume", False),
        keep=options.keep_work,
        limit=None if options.work_space is None else byte_count("work-space", options.work_space),
    )


def cluster_of(options: argparse.Namespace) -> Cluster | None:
    """The cluster that was named; None: this process alone."""
    if options.ray is None:
        if options.ray_cores is not None:
            raise SettingsError("--ray-cores needs a cluster; also give --ray local, --ray auto or --ray HOST:PORT.")
        return None
    return Cluster(address=options.ray, cores=options.ray_cores)


def selected(options: argparse.Namespace) -> dict[str, Any]:
    """What was typed to select subjects, by the kind of selection or the name of the filter."""
    return {name: getattr(options, name) for name in (*kinds(), *FILTERS)}


def _model(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a :class:`~redetail.engines.spec.ModelSpec` that were typed."""
    typed: dict[str, Any] = {
        "checkpoint": options.checkpoint,
        "motion_module": _path(options.motion_module),
        "motion_loras": tuple(map(WeightedFile.parse, options.motion_lora or ())),
        "vae": _path(options.vae),
        "text_encoder": _path(options.text_encoder),
        "embeddings": tuple(expanded(path) for path in options.embedding or ()),
        "controls": _controls(options.controlnet or [], options.control or []),
        "refiner_checkpoint": options.refiner_checkpoint,
        "low_noise_checkpoint": options.low_noise_checkpoint,
        "high_noise_loras": tuple(map(WeightedFile.parse, options.high_noise_lora or ())),
    }
    return {name: value for name, value in typed.items() if value}


def _memory(options: argparse.Namespace) -> dict[str, Any]:
    typed = {item.name: getattr(options, item.name) for item in fields(Memory)}
    return {name: value for name, value in typed.items() if value is not None}


def _controls(networks: list[str], hints: list[str]) -> tuple[ControlFile, ...]:
    if len(networks) != len(hints):
        raise SettingsError(
            f"{len(networks)} --controlnet and {len(hints)} --control options were given; give one --control for each "
            "--controlnet, in the same order."
        )
    return tuple(ControlFile.parse(text, hint) for text, hint in zip(networks, hints, strict=True))


def _path(text: str | None) -> Path | None:
    return None if text is None else expanded(text)
