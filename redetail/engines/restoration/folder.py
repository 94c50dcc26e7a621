"""A restoration model as a folder: config.json, model.safetensors, card.json."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from redetail.engines.restoration.card import ModelCard
from redetail.engines.restoration.codec import ResidualCodec
from redetail.engines.restoration.network import NetworkConfig, RestorationUNet
from redetail.errors import ModelError

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "card.json"


def load(folder: Path | str, device: torch.device | str = "cpu") -> tuple[RestorationUNet, ResidualCodec, ModelCard]:
    """Read a model folder; the network is in float32, in evaluation mode, on ``device``.

    Raises :class:`~redetail.errors.ModelError` for a folder in which something is missing or does not fit together.
    """
    folder = Path(folder)
    config = _config(_text(folder / CONFIG))
    network = RestorationUNet(config)
    try:
        weights = {name: value.float() for name, value in load_file(folder / WEIGHTS).items()}
        network.load_state_dict(weights)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"{folder / WEIGHTS} does not hold the weights that {CONFIG} describes: {error}") from error
    network = network.eval().requires_grad_(False).to(torch.device(device))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network, ResidualCodec(config, device), ModelCard.from_json(_text(folder / CARD))


def save(folder: Path | str, network: RestorationUNet, card: ModelCard) -> None:
    """Write a model folder that :func:`load` reads; the weights are stored in half precision."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().cpu().half().contiguous() for name, value in network.state_dict().items()}
    # Not save_file: that makes a file which only its owner may read.
    (folder / WEIGHTS).write_bytes(to_bytes(weights, metadata={"format": "pt"}))
    (folder / CONFIG).write_text(network.config.to_json() + "\n", encoding="utf-8")
    (folder / CARD).write_text(card.to_json(), encoding="utf-8")


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
