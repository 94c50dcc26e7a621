"""``load_engine``: which engine a model is for, told from its files."""

from __future__ import annotations

from dataclasses import fields, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal

import torch

from redetail.engines.base import Engine
from redetail.engines.device import Placement, place
from redetail.engines.hub import checkpoint_path
from redetail.engines.memory import Memory
from redetail.engines.spec import ModelSpec, as_spec
from redetail.engines.stable_diffusion.folder import PARTS, class_name, read_config
from redetail.errors import ModelError


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
    tokenizer/, scheduler/, of Stable Diffusion XL text_encoder_2/ and tokenizer_2/ too, and motion_adapter/ unless a
    motion module is given) or a hub name such as "owner/name", which is the only thing that is ever fetched. A folder
    with config.json, model.safetensors and card.json is a restoration model. ``device`` and ``dtype`` as in
    :func:`redetail.engines.device.place`; ``memory``: precision of single parts and use of the machine.

    Raises :class:`~redetail.errors.ModelError` that says what is wrong with a file,
    :class:`~redetail.errors.DependencyError` where a package is missing, and
    :class:`~redetail.errors.SettingsError` for a device or precision that this machine does not have.
    """
    spec = as_spec(model)
    if spec.checkpoint is None:
        _check_alone(spec, "the bundled model")
        with as_file(files("redetail.bundled") / "restoration") as folder:
            return _restoration(folder, place(device, dtype, memory, mixed=True))
    path = checkpoint_path(spec.checkpoint)
    if path.is_dir() and _kind(path) == "restoration":
        _check_alone(spec, f"the restoration model {path}")
        return _restoration(path, place(device, dtype, memory, mixed=True))

    from redetail.engines.stable_diffusion.engine import load_diffusers_engine

    refiner = None if spec.refiner_checkpoint is None else checkpoint_path(spec.refiner_checkpoint)
    return load_diffusers_engine(
        replace(spec, checkpoint=path, refiner_checkpoint=refiner), place(device, dtype, memory)
    )


def _restoration(folder: Path, placement: Placement) -> Engine:
    from redetail.engines.restoration.engine import load_restoration_engine

    return load_restoration_engine(folder, placement)


def _check_alone(spec: ModelSpec, what: str) -> None:
    """Raise :class:`~redetail.errors.ModelError` where something is to be added to a model that takes nothing."""
    added = [item.name for item in fields(spec) if item.name != "checkpoint" and getattr(spec, item.name)]
    if added:
        words = added[0].replace("_", " ").removesuffix("s")
        raise ModelError(f"A {words} was given, but {what} takes none; give a Stable Diffusion checkpoint too.")


def _kind(folder: Path) -> Literal["diffusers", "restoration"]:
    """Which kind of model a folder holds; raises :class:`~redetail.errors.ModelError` where it is neither."""
    if (folder / "model_index.json").is_file() or any((folder / part).is_dir() for part in PARTS):
        return "diffusers"
    config = read_config(folder / "config.json") if (folder / "config.json").is_file() else {}
    if "unshuffle" in config or (folder / "card.json").is_file():
        return "restoration"
    wanted = f"a model in the diffusers layout ({', '.join(PARTS)}) or a restoration model (config.json, card.json)"
    if class_name(config):
        raise ModelError(f"{folder} holds a single part, a {class_name(config)}; what can be loaded is {wanted}.")
    raise ModelError(f"{folder} holds no model; what can be loaded is {wanted}.")
