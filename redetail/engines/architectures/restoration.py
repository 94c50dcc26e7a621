"""The restoration model: the network that comes with redetail, and folders that training wrote."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from redetail.engines.architectures.base import Architecture
from redetail.engines.config import read_config

if TYPE_CHECKING:
    from redetail.engines.base import Engine
    from redetail.engines.device import Placement
    from redetail.engines.files import FileFacts
    from redetail.engines.spec import ModelSpec

CONFIG, CARD = "config.json", "card.json"
WEIGHTS, INVENTIVE, DRAFT = "model.safetensors", "inventive.safetensors", "draft.safetensors"
_PARTS = (WEIGHTS, INVENTIVE, DRAFT)


def _folder_of(path: Path) -> Path | None:
    """The folder of a model, also if the path is that of its weights."""
    if path.name in _PARTS and os.path.isfile(path.parent / CARD):
        return path.parent
    if os.path.isfile(path / CARD):
        return path
    return path if os.path.isfile(path / CONFIG) and "unshuffle" in read_config(path / CONFIG) else None


def _describe(folder: Path) -> FileFacts:
    from redetail.engines.files import FileFacts, identify, with_parts
    from redetail.engines.restoration.config import read_card

    parts = [identify(folder / name) for name in _PARTS if os.path.isfile(folder / name)]
    card, size = read_card(folder / CARD), with_parts(parts[0], parts)
    return FileFacts(
        path=folder,
        kind="checkpoint",
        base=RESTORATION.base,
        what=f"a restoration model, {card.name} {card.version}",
        option="--checkpoint",
        parameters=size.parameters,
        bytes=size.bytes,
        dtype=size.dtype,
        details={"licence": card.licence},
    )


def _load(family: Architecture, spec: ModelSpec, placement: Placement) -> Engine:
    from redetail.engines.restoration.engine import load_restoration_engine

    assert spec.checkpoint is not None, "the loader names the folder"
    return load_restoration_engine(Path(spec.checkpoint), placement)


RESTORATION = Architecture(
    base="restoration",
    name="the restoration model",
    wanted=f"a restoration model ({CONFIG}, {CARD})",
    folder_of=_folder_of,
    describe=_describe,
    load=_load,
    hub_weights=_PARTS,
    mixed_precision=True,
    bundled="restoration",
)
