"""The files next to a restoration model's weights: the shape of its network, and how to run it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redetail.documents import WrongKindError, shown, text, truth
from redetail.engines.config import Schema, between, check_keys, parsed, read_text, several, whole
from redetail.errors import ModelError, SettingsError
from redetail.settings import resolve


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
        tasks: names of the kinds of damage whose residuals the network predicts separately; empty: it predicts only
            their sum.
        reach: number of neighbouring frames on either side whose aligned differences are part of the condition.
        fused_channels: inner width of the layers that combine the neighbours with the crop.
        neighbour_scale: standard deviation of each coefficient of a cell of the neighbours' differences; empty: 1.
        drafted: whether the network also sees what a first network made of the crop and of its neighbours.
        activation_limit: largest magnitude of features at the two coarsest levels; 0: any.
        ranks: ranks of each level's 3x3 convolutions, which pass through this many channels; 0, or no entry: dense.
        neighbour_rank: number of channels to which the neighbours' differences are reduced; 0: all are kept.
        restraint: how large corrections have to be, as a share of the fine detail that a crop already has, for half of
            them to count (see `restraint`); 0: all of them count.
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
    activation_limit: float = 0.0
    ranks: tuple[int, ...] = ()
    neighbour_rank: int = 0
    restraint: float = 0.0

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

    def rank(self, level: int) -> int:
        """The rank of a level's 3x3 convolutions; 0 if they are dense."""
        return self.ranks[level] if self.ranks else 0

    def to_json(self) -> str:
        """The configuration as a JSON object, keys sorted."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, raw: str, where: str = "config.json") -> NetworkConfig:
        """Read what `to_json` wrote, from the file ``where``.

        Raises :class:`~redetail.errors.ModelError`, which names the key, for anything else.
        """
        read = parsed(raw, where)
        unknown = next((key for key in read if key not in _NETWORK), None)
        if unknown is not None:
            raise ModelError(
                f"{where} does not describe a restoration network: it has the unknown key {shown(unknown)}; copy "
                "the file again."
            )
        check_keys(read, _NETWORK, where)
        values: dict[str, Any] = {key: tuple(item) if isinstance(item, list) else item for key, item in read.items()}
        config = cls(**values)
        config.check(where)
        return config

    def check(self, where: str) -> None:
        """Raise :class:`~redetail.errors.ModelError` if the levels or scales do not fit one another."""
        levels, cells = len(self.channels), self.latent_channels
        for name in _PER_LEVEL:
            count = len(getattr(self, name))
            if count < levels and (count or name not in _OPTIONAL):  # values beyond the last level are not used
                raise ModelError(f"{name} in {where} has {count} values; it must have {levels}, one for each level.")
        for name in _PER_CELL:
            count = len(getattr(self, name))
            if count not in (0, cells):
                raise ModelError(f"{name} in {where} has {count} values; it must have {cells}, or none.")
        if any(width % heads for width, heads in zip(self.motion_channels, self.motion_heads, strict=False)):
            raise ModelError(
                f"motion_heads in {where} is {self.motion_heads}; each value must divide the value for the same "
                f"level in motion_channels, which is {self.motion_channels}."
            )


_OPTIONAL = ("ranks",)
_PER_LEVEL = ("down_blocks", "up_blocks", "motion_channels", "motion_heads", *_OPTIONAL)
_PER_CELL = ("latent_scale", "condition_scale", "neighbour_scale")
_LEVELS, _WIDEST, _SCALES = 8, 4096, 3 * 16**2
_NETWORK: Schema = {
    "unshuffle": whole(1, 16),
    "channels": several(whole(1, _WIDEST), _LEVELS, 1),
    "down_blocks": several(whole(1, 64), _LEVELS, 1),
    "up_blocks": several(whole(1, 64), _LEVELS, 1),
    "motion_channels": several(whole(0, _WIDEST), _LEVELS, 1),
    "motion_heads": several(whole(1, 256), _LEVELS, 1),
    "residual_std": between(1e-6, 1e3),
    "latent_scale": several(between(1e-9, 1e6), _SCALES),
    "condition_scale": several(between(1e-9, 1e6), _SCALES),
    "tasks": several(text, 64),
    "reach": whole(0, 16),
    "fused_channels": whole(1, _WIDEST),
    "neighbour_scale": several(between(1e-9, 1e6), _SCALES),
    "drafted": truth,
    "activation_limit": between(0, 1e6),
    "ranks": several(whole(0, _WIDEST), _LEVELS),
    "restraint": between(0, 1e3),
    "neighbour_rank": whole(0, _WIDEST),
}
"""The schema of config.json."""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Defaults that were measured to suit a model, read from the ``card.json`` next to its weights.

    ``defaults``: values by the names of :class:`~redetail.settings.Settings`; ``context_length``: the number of frames
    that the motion layers take at once. The rest describes the model for people.
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
    def from_json(cls, raw: str, where: str = "card.json") -> ModelCard:
        """Read what :meth:`to_json` wrote. Raises :class:`~redetail.errors.ModelError`, which names the key, for
        anything else."""
        read = parsed(raw, where)
        unknown = next((key for key in read if key not in _CARD), None)
        if unknown is not None:
            raise ModelError(
                f"{where} is not the card of a restoration model: it has the unknown key {shown(unknown)}; copy "
                "the file again."
            )
        check_keys(read, _CARD, where)
        card = cls(**read)
        try:
            resolve({}, card.defaults)
        except SettingsError as error:
            raise ModelError(f"The defaults in {where} cannot be used: {error}") from error
        return card


def _mapping(value: Any) -> Any:
    if not isinstance(value, dict):
        raise WrongKindError("an object")
    return value


_CARD: Schema = {
    "name": text,
    "version": text,
    "licence": text,
    "context_length": whole(1, 4096),
    "defaults": _mapping,
    "trained": _mapping,
}


def read_card(path: Path) -> ModelCard:
    """The card in a file; raises :class:`~redetail.errors.ModelError` if there is none."""
    return ModelCard.from_json(read_text(path), str(path))
