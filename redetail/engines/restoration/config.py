"""What stands beside the weights of a restoration model: the shape of its network, and how it wants to be run."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redetail.engines.config import read_text
from redetail.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Shape of a `RestorationUNet` and the scale of its latents.

    Attributes:
        unshuffle: pixels per grid cell along each axis; 3 * unshuffle**2 latent channels.
        channels: features of each level; level i has 1 / 2**i of the grid's resolution.
        down_blocks, up_blocks: residual blocks of each level on the way down and up.
        motion_channels: inner width of each level's motion layers; 0 leaves them out.
        motion_heads: attention heads of each level's motion layers.
        residual_std: standard deviation of (target - crop) in [-1, 1] pixel units over the training data;
            latents are residuals divided by it.
        latent_scale, condition_scale: standard deviation of each coefficient of a cell (see `cell_basis` in `layers`)
            of clean latents and of the condition over the training data; empty for ones.
        tasks: names of the kinds of damage whose residuals the network tells apart; empty: it predicts only their sum.
        reach: neighbouring frames on either side whose aligned differences are part of the condition; 0: none.
        fused_channels: inner width of what weighs them up.
        neighbour_scale: standard deviation of each coefficient of a cell of their differences; empty for ones.
        drafted: whether the network is also told what a first network made of the crop and of its neighbours.
    """

    unshuffle: int = 4
    channels: tuple[int, ...] = (48, 96, 160)
    down_blocks: tuple[int, ...] = (2, 2, 2)
    up_blocks: tuple[int, ...] = (3, 2, 2)
    motion_channels: tuple[int, ...] = (16, 48, 96)
    motion_heads: tuple[int, ...] = (1, 2, 4)
    residual_std: float = 0.1
    latent_scale: tuple[float, ...] = ()
    condition_scale: tuple[float, ...] = ()
    tasks: tuple[str, ...] = ()
    reach: int = 0
    fused_channels: int = 48
    neighbour_scale: tuple[float, ...] = ()
    drafted: bool = False

    @property
    def latent_channels(self) -> int:
        """Channels of a latent cell: all colour values of an unshuffle x unshuffle square."""
        return 3 * self.unshuffle**2

    @property
    def condition_channels(self) -> int:
        """Channels of a condition cell: those of the crop, then those of each neighbour's difference.

        A cell of a draft has as many: those of its residual, then those of each neighbour's draft's difference.
        """
        return (1 + 2 * self.reach) * self.latent_channels

    @property
    def size_multiple(self) -> int:
        """Crop height and width have to be multiples of this many pixels."""
        return int(self.unshuffle * 2 ** (len(self.channels) - 1))

    def to_json(self) -> str:
        """The configuration as a JSON object, keys sorted."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> NetworkConfig:
        """Read what `to_json` wrote; unknown keys raise TypeError."""
        read: dict[str, Any] = json.loads(text)
        values: dict[str, Any] = {key: tuple(item) if isinstance(item, list) else item for key, item in read.items()}
        return cls(**values)


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
