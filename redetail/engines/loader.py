"""``load_engine``: which engine a model is for, told from its files."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal

import torch

from redetail.engines.base import Engine
from redetail.engines.device import place
from redetail.engines.diffusers.folder import PARTS, class_name, read_config
from redetail.errors import ModelError

_SINGLE_FILES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".onnx")


def load_engine(
    model: str | Path | None = None,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> Engine:
    """The engine of a model folder, or of the bundled restoration model (None). Nothing is downloaded.

    A folder holds either a Stable Diffusion model with motion layers in the diffusers layout (unet/, motion_adapter/,
    vae/, text_encoder/, tokenizer/, scheduler/) or a restoration model (config.json, model.safetensors, card.json).
    ``device`` and ``dtype`` as in :func:`redetail.engines.device.place`.

    Raises :class:`~redetail.errors.ModelError` that says what is wrong with the folder,
    :class:`~redetail.errors.DependencyError` where a package is missing, and
    :class:`~redetail.errors.SettingsError` for a device or precision that this machine does not have.
    """
    placement = place(device, dtype)
    if model is None:
        from redetail.engines.restoration.engine import load_restoration_engine

        with as_file(files("redetail.bundled") / "restoration") as folder:
            return load_restoration_engine(folder, placement)
    folder = _folder(model)
    match _kind(folder):
        case "diffusers":
            from redetail.engines.diffusers.engine import load_diffusers_engine

            return load_diffusers_engine(folder, placement)
        case "restoration":
            from redetail.engines.restoration.engine import load_restoration_engine

            return load_restoration_engine(folder, placement)


def _folder(model: str | Path) -> Path:
    """The folder meant; raises :class:`~redetail.errors.ModelError` for what is none."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if not folder.exists():
        raise ModelError(f"There is no model folder {folder}; give a folder on this machine (nothing is downloaded).")
    if folder.suffix.lower() in _SINGLE_FILES:
        raise ModelError(
            f"{folder} is a single file; what can be loaded is a model folder in the diffusers layout "
            f"({', '.join(PARTS)}), which diffusers makes of a checkpoint."
        )
    raise ModelError(f"{folder} is a file, not a model folder.")


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
