"""One network of a model folder in the diffusers layout: checked before anything heavy is imported, then loaded."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from redetail.documents import shown
from redetail.engines.config import Config, Schema, check_keys, class_name, read_config
from redetail.errors import ModelError
from redetail.optional import require

# CLIP's vocabulary has 1 MB, those of larger tokenizers about 20 MB; an index names every tensor of a network.
LARGEST_LIST = 32 * 2**20
_VARIANTS = (None, "fp16")


@dataclass(frozen=True, slots=True)
class ComponentFolder:
    """One network of a model folder: where it lies, its config.json and which variant of its weights exists."""

    path: Path
    config: Config
    variant: str | None

    @property
    def kind(self) -> str:
        """The name of its class."""
        return class_name(self.config)


def open_network(path: Path, known: Sequence[str], schema: Schema) -> ComponentFolder:
    """One network of a folder, which must be of one of the ``known`` classes and have a config that matches ``schema``;
    otherwise raises a ModelError that says what it is."""
    config = read_config(path / "config.json")
    check_keys(config, schema, f"{path / 'config.json'}")
    kind = class_name(config)
    if kind not in known:
        stated = f"is of class {kind}" if kind else "does not name its class"
        raise ModelError(f"The part {path} {stated}; its class must be {' or '.join(known)}.")
    return ComponentFolder(path, config, _variant(path))


def check_weights(path: Path) -> None:
    """Raise :class:`~redetail.errors.ModelError` if a .safetensors file is truncated or damaged.

    Only the header is read; it states the length that the file must have.
    """
    try:
        with safe_open(path, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"The weight file {path} is truncated or damaged ({error}); copy or download it again."
        ) from error


def _check_index(path: Path) -> None:
    """A network in several files has an index that says which tensor is in which of them."""
    for index in path.glob("*.safetensors.index.json"):
        names = read_config(index, LARGEST_LIST).get("weight_map")
        if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
            raise ModelError(f"weight_map in {index} is {shown(names)}; it must name a file for every tensor.")
        missing = next((name for name in names.values() if not os.path.isfile(path / name)), None)
        if missing is not None:
            raise ModelError(
                f"The part {path} lacks {shown(missing)}, which {index.name} lists; copy the folder again."
            )


def _variant(path: Path) -> str | None:
    """The variant of the weights to load: full precision if both exist. Every file of the variant is checked."""
    _check_index(path)
    files = sorted(path.glob("*.safetensors"))
    for variant in _VARIANTS:
        chosen = [file for file in files if (".fp16" in file.name) == (variant == "fp16")]
        for file in chosen:
            check_weights(file)
        if chosen:
            return variant
    pickled = sorted(file.name for file in path.glob("*.bin"))
    hint = (
        f"convert {pickled[0]} to .safetensors, because a pickle can contain code"
        if pickled
        else "copy or download the part again"
    )
    raise ModelError(f"The part {path} has no .safetensors weights; {hint}.")


def load_network(part: ComponentFolder, dtype: torch.dtype) -> Any:
    """One network from its folder, with every weight that its config asks for."""
    options: dict[str, Any] = {"local_files_only": True, "output_loading_info": True, "use_safetensors": True}
    if part.variant is not None:
        options["variant"] = part.variant
    if part.path.name.startswith("text_encoder"):
        package, options["dtype"] = "transformers", dtype
    else:
        package, options["torch_dtype"] = "diffusers", dtype
        options["low_cpu_mem_usage"] = importlib.util.find_spec("accelerate") is not None
    network_class = getattr(require(package), part.kind)
    try:
        network, info = network_class.from_pretrained(str(part.path), **options)
    except (OSError, ValueError, RuntimeError, TypeError, LookupError, AttributeError, SafetensorError) as error:
        raise ModelError(f"The part {part.path} cannot be loaded: {first_line(error)}") from error
    _check_complete(part, info)
    return network


def _check_complete(part: ComponentFolder, info: Mapping[str, Any]) -> None:
    """Check for missing weights, which the libraries would fill with random numbers: noise in every frame."""
    wrong = [str(key) for name in ("missing_keys", "mismatched_keys") for key in info.get(name, ())]
    if wrong:
        raise ModelError(
            f"The weights of {part.path} do not fit its config.json: tensors such as {sorted(wrong)[0]} are missing or "
            f"have the wrong shape ({len(wrong)} in all); copy or download the part again."
        )


def first_line(error: BaseException) -> str:
    """The first line of a library's message: the rest is advice about its own options."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
