"""A restoration model as a folder: config.json, model.safetensors, card.json.

A model that takes drafts has draft.safetensors too: a network of the same shape, but for the part that looks at drafts.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from redetail.engines.architectures.restoration import CARD, CONFIG, DRAFT, WEIGHTS
from redetail.engines.restoration.codec import ResidualCodec
from redetail.engines.restoration.config import ModelCard, NetworkConfig
from redetail.engines.restoration.network import RestorationUNet
from redetail.errors import ModelError
from redetail.files import write_bytes, write_text


class Loaded(NamedTuple):
    """What a model folder holds; ``draft``: the network that makes the drafts, if the first one takes any."""

    network: RestorationUNet
    draft: RestorationUNet | None
    codec: ResidualCodec
    card: ModelCard


def load(folder: Path | str, device: torch.device | str = "cpu") -> Loaded:
    """Read a model folder; the networks are in float32, in evaluation mode, on ``device``.

    Raises :class:`~redetail.errors.ModelError` for a folder in which something is missing or does not fit together.
    """
    folder = Path(folder)
    config = _config(_text(folder / CONFIG))
    network = _network(folder / WEIGHTS, config, device)
    draft = _network(folder / DRAFT, dataclasses.replace(config, drafted=False), device) if config.drafted else None
    return Loaded(network, draft, ResidualCodec(config, device), ModelCard.from_json(_text(folder / CARD)))


def save(folder: Path | str, network: RestorationUNet, card: ModelCard, draft: RestorationUNet | None = None) -> None:
    """Write a model folder that :func:`load` reads; the weights are stored in half precision."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in ((WEIGHTS, network), (DRAFT, draft)):
        if part is None:
            (folder / name).unlink(missing_ok=True)  # of a model that was here before
            continue
        weights = {key: value.detach().cpu().half().contiguous() for key, value in part.state_dict().items()}
        # Not save_file: that makes a file which only its owner may read.
        write_bytes(folder / name, to_bytes(weights, metadata={"format": "pt"}))
    write_text(folder / CONFIG, network.config.to_json() + "\n")
    write_text(folder / CARD, card.to_json())


def _network(path: Path, config: NetworkConfig, device: torch.device | str) -> RestorationUNet:
    network = RestorationUNet(config)
    try:
        weights = {name: value.float() for name, value in load_file(path).items()}
        network.load_state_dict(weights)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"{path} does not hold the weights that {CONFIG} describes: {error}") from error
    network = network.eval().requires_grad_(False).to(torch.device(device))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} cannot be read; a model folder has {CONFIG}, {WEIGHTS} and {CARD}.") from error


def _config(text: str) -> NetworkConfig:
    try:
        return NetworkConfig.from_json(text)
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{CONFIG} does not describe a restoration network: {error}.") from error
