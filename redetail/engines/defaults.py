"""Finds the default settings of a model without loading it."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from redetail.engines.architectures import architecture_of, bundled_architecture, model_folder
from redetail.engines.architectures.restoration import CARD
from redetail.engines.files import identify
from redetail.engines.restoration.config import read_card
from redetail.files import expanded
from redetail.settings import Settings, resolve


def default_settings(checkpoint: str | Path | None = None) -> Settings:
    """The defaults that the engine of a checkpoint on this machine has (None: of the bundled model).

    For the name of a model on the hub, they are those of the detailer node. Raises :class:`~redetail.errors.ModelError`
    for a file that is not a weight file.
    """
    path = _bundled() if checkpoint is None else expanded(checkpoint)
    if not os.path.exists(path):
        return Settings()
    known = model_folder(path)
    if known is not None:
        family, folder = known
        card = folder / CARD
        return resolve({}, read_card(card).defaults if os.path.isfile(card) else family.defaults)
    if os.path.isdir(path):
        return Settings()
    facts = identify(path)
    found = architecture_of(facts.kind, facts.base)
    return Settings() if found is None else resolve({}, found.defaults)


def _bundled() -> Path:
    return Path(str(files("redetail.bundled") / bundled_architecture().bundled))
