"""``load_engine``: loads the engine for a model, which it recognises by its files."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import fields, replace
from importlib.resources import as_file, files
from pathlib import Path

import torch

from redetail.engines.architectures import (
    architecture_of,
    bundled_architecture,
    either,
    families_that_take,
    model_folder,
    wanted,
)
from redetail.engines.architectures.base import Architecture
from redetail.engines.base import Engine
from redetail.engines.config import class_name, read_config
from redetail.engines.device import memory_errors, place
from redetail.engines.files import identify
from redetail.engines.hub import checkpoint_path
from redetail.engines.memory import Memory
from redetail.engines.spec import ModelSpec, as_spec
from redetail.errors import ModelError

_LOG = logging.getLogger(__name__)

_NOUNS: Mapping[str, str] = {
    "motion_module": "A motion module",
    "motion_loras": "A motion LoRA",
    "loras": "A LoRA",
    "vae": "A separate VAE",
    "text_encoder": "A separate text encoder",
    "embeddings": "An embedding",
    "controls": "A ControlNet",
    "refiner_checkpoint": "A refiner",
    "low_noise_checkpoint": "A low-noise checkpoint",
    "high_noise_loras": "A high-noise LoRA",
}
"""Fields of a ModelSpec, worded as the start of a message."""


def load_engine(
    model: str | Path | ModelSpec | None = None,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    memory: Memory | None = None,
) -> Engine:
    """The engine of a checkpoint, of a model folder, of everything that a :class:`ModelSpec` names, or of the bundled
    restoration model (None).

    A checkpoint is a single file in the original layout, a folder in the diffusers layout (unet/, vae/, text_encoder/,
    tokenizer/, scheduler/, for Stable Diffusion XL also text_encoder_2/ and tokenizer_2/, and motion_adapter/ unless a
    motion module is given), or a name on the hub such as "owner/name"; nothing else is ever downloaded. A folder with
    config.json, model.safetensors and card.json is a restoration model. For ``device`` and ``dtype``, see
    :func:`redetail.engines.device.place`; ``memory``: the precision of individual parts and the use of the machine.

    Raises :class:`~redetail.errors.ModelError`, which says what is wrong with a file,
    :class:`~redetail.errors.DependencyError` if a package is missing, and :class:`~redetail.errors.SettingsError` for a
    device or precision that this machine does not have.
    """
    spec = as_spec(model)
    if spec.checkpoint is None:
        family = bundled_architecture()
        _check_takes(family, spec, "the bundled model")
        with as_file(files("redetail.bundled") / family.bundled) as folder:
            return _loaded(family, spec, folder, device, dtype, memory)
    family, path = _recognized(checkpoint_path(spec.checkpoint, whole=spec.low_noise_checkpoint is not None))
    _check_takes(family, spec, f"{family.name} {path}")
    return _loaded(family, spec, path, device, dtype, memory)


def _loaded(
    family: Architecture,
    spec: ModelSpec,
    path: Path,
    device: str | torch.device | None,
    dtype: str | torch.dtype | None,
    memory: Memory | None,
) -> Engine:
    """The engine of a checkpoint at ``path``."""
    placement = place(device, dtype, memory, mixed=family.mixed_precision, footprint=family.footprint)
    _LOG.info("Loading %s %s on %s", family.name, path, placement)
    refiner, low = (
        None if one is None else checkpoint_path(one, whole=True)
        for one in (spec.refiner_checkpoint, spec.low_noise_checkpoint)
    )
    found = replace(spec, checkpoint=path, refiner_checkpoint=refiner, low_noise_checkpoint=low)
    with memory_errors(f"the model {path}", placement, "use device cpu or dtype float16"):
        return family.load(family, found, placement)


def _recognized(path: Path) -> tuple[Architecture, Path]:
    """The family of a file or folder, and the path that its engine is loaded from.

    Raises :class:`~redetail.errors.ModelError`, which says what the path is instead.
    """
    model = model_folder(path)
    if model is not None:
        return model
    if os.path.isdir(path):
        raise ModelError(_no_model(path))
    facts = identify(path)
    family = architecture_of(facts.kind, facts.base)
    if family is None:
        raise ModelError(f"{path} is {facts.what}; give {wanted()} instead.")
    return family, path


def _no_model(folder: Path) -> str:
    """The message about a folder that is not a model."""
    config = read_config(folder / "config.json") if os.path.isfile(folder / "config.json") else {}
    part = f"contains only one part of a model, {class_name(config)}" if class_name(config) else "contains no model"
    return f"{folder} {part}; give {wanted()} instead."


def _check_takes(family: Architecture, spec: ModelSpec, what: str) -> None:
    """Raise :class:`~redetail.errors.ModelError` if something is added to a model that does not take it."""
    names = [item.name for item in fields(spec) if item.name != "checkpoint" and getattr(spec, item.name)]
    refused = next((name for name in names if name not in family.takes), None)
    if refused is not None:
        others = either(families_that_take(refused))
        raise ModelError(
            f"{_NOUNS[refused]} was given, but {what} does not take one; leave it out, or use a checkpoint of {others}."
        )
