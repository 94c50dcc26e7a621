"""The card of a restoration model: how it wants to be run."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redetail.engines.config import read_text
from redetail.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Defaults that were measured to suit a model, read from the ``card.json`` beside its weights.

    ``defaults``: by the names of :class:`~redetail.settings.Settings`; ``context_length``: frames that its motion
    layers take at once. The rest tells a person what the model is.
    """

    name: str = "restoration"
    version: str = "1"
    licence: str = "Apache-2.0"
    context_length: int = 16
    defaults: dict[str, Any] = dataclasses.field(default_factory=dict)
    trained: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> str:
        """The card as a JSON object, keys sorted."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Read what :meth:`to_json` wrote. Raises :class:`~redetail.errors.ModelError` for anything else."""
        try:
            return cls(**json.loads(text))
        except (json.JSONDecodeError, TypeError) as error:
            raise ModelError(f"card.json is no card of a restoration model: {error}.") from error


def read_card(path: Path) -> ModelCard:
    """The card in a file; raises :class:`~redetail.errors.ModelError` where there is none."""
    return ModelCard.from_json(read_text(path))
