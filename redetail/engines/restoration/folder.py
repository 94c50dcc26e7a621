"""A restoration model as a folder: config.json, model.safetensors, card.json.

A model that takes drafts also has draft.safetensors: a network of the same shape, but without the part that looks at
drafts. A model that can invent has inventive.safetensors: a network of the same shape that was trained from the first
one's weights.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save as to_bytes

from redetail.engines.architectures.restoration import CARD, CONFIG, DRAFT, INVENTIVE, WEIGHTS
from redetail.engines.config import read_text
from redetail.engines.restoration.codec import ResidualCodec
from redetail.engines.restoration.config import ModelCard, NetworkConfig, read_card
from redetail.engines.restoration.network import RestorationUNet
from redetail.engines.state_dict import skeleton
from redetail.engines.weightfile import WeightFile, open_weights
from redetail.errors import ModelError
from redetail.files import write_bytes, write_text


class Loaded(NamedTuple):
    """What a model folder holds.

    ``draft``: the network that makes the drafts, if ``network`` takes any; ``inventive``: the network at the inventive
    end of the dial, if there is one.
    """

    network: RestorationUNet
    draft: RestorationUNet | None
    codec: ResidualCodec
    card: ModelCard
    inventive: RestorationUNet | None = None


def load(folder: Path | str, device: torch.device | str = "cpu") -> Loaded:
    """Read a model folder; the networks are in float32, in evaluation mode, on ``device``.

    Raises :class:`~redetail.errors.ModelError` for a folder in which something is missing or does not fit together.
    """
    folder = Path(folder)
    config = NetworkConfig.from_json(read_text(folder / CONFIG), str(folder / CONFIG))
    network = _network(folder / WEIGHTS, config, device)
    draft = _network(folder / DRAFT, dataclasses.replace(config, drafted=False), device) if config.drafted else None
    path = folder / INVENTIVE
    inventive = _network(path, config, device) if os.path.isfile(path) else None
    return Loaded(network, draft, ResidualCodec(config, device), read_card(folder / CARD), inventive)


def save(
    folder: Path | str,
    network: RestorationUNet,
    card: ModelCard,
    draft: RestorationUNet | None = None,
    inventive: RestorationUNet | None = None,
) -> None:
    """Write a model folder that :func:`load` reads; the weights are stored in half precision."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in ((WEIGHTS, network), (DRAFT, draft), (INVENTIVE, inventive)):
        if part is None:
            (folder / name).unlink(missing_ok=True)  # from an earlier model in this folder
            continue
        weights = {key: value.detach().cpu().half().contiguous() for key, value in part.state_dict().items()}
        # Not save_file, which makes a file that only its owner can read.
        write_bytes(folder / name, to_bytes(weights, metadata={"format": "pt"}))
    write_text(folder / CONFIG, network.config.to_json() + "\n")
    write_text(folder / CARD, card.to_json())


def _network(path: Path, config: NetworkConfig, device: torch.device | str) -> RestorationUNet:
    file = open_weights(path)
    _check_shapes(file, config)
    network = RestorationUNet(config)
    network.load_state_dict({name: value.float() for name, value in file.read().items()})
    network = network.eval().requires_grad_(False).to(torch.device(device))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def _check_shapes(file: WeightFile, config: NetworkConfig) -> None:
    """Refuse a config that does not match the weights before its network is built, which could take any amount of
    memory."""
    given = {name: facts.shape for name, facts in file.tensors.items()}
    for block in _last_blocks(config):  # this takes no memory but time, so it builds no more blocks than the file has
        if not any(name.startswith(block) for name in given):
            raise ModelError(
                f"{file.path} does not contain the weights that {CONFIG} describes: no tensor name starts with "
                f"{block}; copy both files again."
            )
    try:
        network = skeleton(lambda: RestorationUNet(config))
        wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"{CONFIG} beside {file.path} describes an impossible network: {error}.") from error
    wrong = sorted(name for name in wanted.keys() | given.keys() if wanted.get(name) != given.get(name))
    if wrong:
        raise ModelError(
            f"{file.path} does not contain the weights that {CONFIG} describes: tensors such as "
            f"{' and '.join(wrong[:2])} are missing, are left over or have the wrong shape ({len(wrong)} in all); "
            "copy both files again."
        )


def _last_blocks(config: NetworkConfig) -> Iterator[str]:
    """What the names of the last block of each level begin with."""
    for side, blocks in (("down", config.down_blocks), ("up", config.up_blocks)):
        yield from (f"{side}.{level}.{blocks[level] - 1}." for level in range(len(config.channels)))
