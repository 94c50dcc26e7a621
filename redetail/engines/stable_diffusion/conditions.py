"""The conditions of a UNet, and how each family of models makes them from prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from redetail.geometry.context import Frames


@dataclass(frozen=True, slots=True)
class TextCondition:
    """What the UNet reads: ``states`` (1 or F, tokens, width), with one row for all frames or one for each, and
    ``added`` by name, (1 or F, n), which describes a picture as a whole."""

    states: Tensor
    added: Mapping[str, Tensor] = field(default_factory=dict)

    def at(self, frames: Frames) -> TextCondition:
        """The condition of some frames."""
        added = {name: _at(rows, frames) for name, rows in self.added.items()}
        return TextCondition(_at(self.states, frames), added)


def joined(conditions: Sequence[TextCondition], frames: int) -> tuple[Tensor, dict[str, Tensor]]:
    """The inputs of a UNet with motion layers for these conditions: states (B * F, tokens, width), with a row for each
    frame, and the added conditions by name, (B, n), of which there is one for all frames, the mean of theirs."""
    states = torch.cat([condition.states.expand(frames, -1, -1) for condition in conditions])
    names = conditions[0].added
    return states, {name: torch.cat([_mean(condition.added[name]) for condition in conditions]) for name in names}


class PromptEncoder(Protocol):
    """One text encoder: a :class:`~redetail.engines.stable_diffusion.text.TextConditioner` or a stand-in for one."""

    def check(self, prompt: str, *, clip_skip: int) -> None:
        """Raise what encoding ``prompt`` would raise."""
        ...

    def pair(
        self, positive: str, negative: str, frames: Sequence[int], *, clip_skip: int
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """The states of two prompts at these frames, of the same number of tokens."""
        ...

    def pooled(self, prompt: str, frames: Sequence[int]) -> Tensor:
        """(1 or F, width): the prompt as a whole."""
        ...


class Conditioner(Protocol):
    """From prompts to conditions."""

    def check(self, prompt: str, *, clip_skip: int) -> None:
        """Raise :class:`~redetail.errors.SettingsError` for a prompt that cannot be read with this model."""
        ...

    def pair(
        self, positive: str, negative: str, shape: tuple[int, ...], *, clip_skip: int
    ) -> tuple[TextCondition, TextCondition]:
        """The conditions of two prompts for crops of ``shape`` (F, h, w, 3)."""
        ...


class StatesAlone:
    """Stable Diffusion 1.x and 2.x: the states of one text encoder."""

    def __init__(self, encoders: Sequence[PromptEncoder]) -> None:
        (self._encoder,) = encoders

    def check(self, prompt: str, *, clip_skip: int) -> None:
        """See :class:`Conditioner`."""
        self._encoder.check(prompt, clip_skip=clip_skip)

    def pair(
        self, positive: str, negative: str, shape: tuple[int, ...], *, clip_skip: int
    ) -> tuple[TextCondition, TextCondition]:
        """See :class:`Conditioner`."""
        first, second = self._encoder.pair(positive, negative, range(shape[0]), clip_skip=clip_skip)
        return TextCondition(first), TextCondition(second)


class StatesWholeAndSize:
    """Stable Diffusion XL (Podell et al. 2023, arXiv:2307.01952): the states of all text encoders side by side, the
    last one's pooled text, and the origin of the picture: the size of its original, the corner at which it was cut out,
    and the target size.

    A crop counts as a complete, uncut picture of its working size. A larger original would promise detail that is not
    there, and a corner other than (0, 0) asks for a subject that extends beyond the frame. An empty negative prompt is
    encoded as zeros, as in the model's training and published code, not as the text "".
    """

    def __init__(self, encoders: Sequence[PromptEncoder]) -> None:
        self._encoders = tuple(encoders)

    def check(self, prompt: str, *, clip_skip: int) -> None:
        """See :class:`Conditioner`."""
        for encoder in self._encoders:
            encoder.check(prompt, clip_skip=clip_skip)

    def pair(
        self, positive: str, negative: str, shape: tuple[int, ...], *, clip_skip: int
    ) -> tuple[TextCondition, TextCondition]:
        """See :class:`Conditioner`."""
        frames, (height, width) = range(shape[0]), shape[1:3]
        pairs = [encoder.pair(positive, negative, frames, clip_skip=clip_skip) for encoder in self._encoders]
        first, second = (torch.cat([pair[place] for pair in pairs], dim=-1) for place in (0, 1))
        one, two = (self._encoders[-1].pooled(prompt, frames) for prompt in (positive, negative))
        if not negative.strip():
            second, two = torch.zeros_like(second), torch.zeros_like(two)
        sizes = torch.tensor([[height, width, 0, 0, height, width]], device=first.device)
        return (
            TextCondition(first, {"text_embeds": one, "time_ids": sizes}),
            TextCondition(second, {"text_embeds": two, "time_ids": sizes}),
        )


def _at(rows: Tensor, frames: Frames) -> Tensor:
    return rows if len(rows) == 1 else rows[frames]


def _mean(rows: Tensor) -> Tensor:
    return rows if len(rows) == 1 else rows.mean(0, keepdim=True)
