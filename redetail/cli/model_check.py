"""``redetail models check``: tests whether files make a model that works on this machine."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from redetail.cli.display import tell
from redetail.engines import load_engine
from redetail.engines.architectures import model_folder
from redetail.engines.files import identify
from redetail.engines.latent import LatentEngine
from redetail.engines.model_check import Measure, check_model
from redetail.engines.spec import ModelSpec, WeightedFile
from redetail.errors import ModelError, SettingsError
from redetail.files import expanded
from redetail.video import open_source

_FIELDS = {"motion-module": "motion_module", "vae": "vae", "text-encoder": "text_encoder"}
_KINDS = {"vae": "VAE"}
_SEVERAL = {"lora": "loras", "motion-lora": "motion_loras"}


def check(named: Sequence[str], device: str | None) -> None:
    """Load the model that these files make, measure it, and print what was measured.

    Raises :class:`~redetail.errors.ModelError`, which says what is wrong with the model.
    """
    spec = spec_of(named)
    engine = load_engine(spec, device=device)
    if not isinstance(engine, LatentEngine) or not engine.capabilities.has_vae:
        raise ModelError(
            f"{spec.checkpoint} has no VAE; 'redetail models check' can test only Stable Diffusion and Wan models."
        )
    tell(f"{engine.capabilities.name} on {engine.placement}\n")
    found = check_model(engine, _clip())
    tell("".join(f"{line}\n" for line in map(_line, found.measures)))
    if found.faults:
        raise ModelError(" ".join(found.faults))
    tell("  the model works: every measurement is within the expected range\n")


def spec_of(named: Sequence[str]) -> ModelSpec:
    """The model that files make together; the contents of each file decide which part it is.

    Raises :class:`~redetail.errors.SettingsError` if two files are the same part or none is a checkpoint, and
    :class:`~redetail.errors.ModelError` for files that are not part of a model.
    """
    given: dict[str, Any] = {}
    for name in named:
        path = expanded(name)
        field, value = _field(path, name), WeightedFile(path)
        if field in _SEVERAL.values():
            given.setdefault(field, []).append(value)
        elif field == "checkpoint" and field in given:
            given.setdefault("low_noise_checkpoint", name)
        elif field in given:
            kind = _KINDS.get(field, field.replace("_", " "))
            raise SettingsError(f"{given[field]} and {name} would both be used as the {kind}; give only one of them.")
        else:
            given[field] = name if field == "checkpoint" else path
    if "checkpoint" not in given:
        raise SettingsError("No checkpoint was given; use: redetail models check CHECKPOINT [FILE ...]")
    return ModelSpec(**given)


def _field(path: Path, name: str) -> str:
    """The field of a ModelSpec that a file is for."""
    if not os.path.exists(path) or model_folder(path) is not None:
        return "checkpoint"  # a name on the hub, or a folder
    alone = sorted(path.glob("*.safetensors")) if os.path.isdir(path) else [path]
    facts = identify(alone[0] if alone else path)
    field = {**_FIELDS, **_SEVERAL, "checkpoint": "checkpoint"}.get(facts.kind)
    if field is None:
        raise ModelError(f"{name} is {facts.what}, which 'redetail models check' cannot test; leave this file out.")
    return field


def _clip() -> np.ndarray[Any, np.dtype[np.float32]]:
    """The bundled clip, (17, 256, 256, 3) 0..1."""
    with as_file(files("redetail.bundled") / "check_clip" / "clip.mp4") as path:
        frames = [frame.pixels for frame in open_source(path).frames()]
    return np.stack(frames).astype(np.float32) / np.float32(np.iinfo(frames[0].dtype).max)


def _line(measure: Measure) -> str:
    ends = [f"{sign} {value:g}" for sign, value in ((">=", measure.low), ("<=", measure.high)) if math.isfinite(value)]
    band = " and ".join(ends)
    verdict = "" if measure.right else "  <- wrong"
    return f"  {measure.name:<26} {measure.value:9.3g} {measure.unit:<2} (expected: {band}){verdict}"
