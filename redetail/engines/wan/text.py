"""Prompts as Wan's transformer reads them: the states of a UMT5 encoder (Chung et al. 2023, arXiv:2304.09151)."""

from __future__ import annotations

import html
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from redetail.engines.offload import on_device
from redetail.engines.prompt import key_frames, read_prompt
from redetail.engines.wan.tokenizer import TOKENS, Tokenizer
from redetail.errors import SettingsError
from redetail.settings import Settings

_KEPT = 32
"""Number of prompts whose states are kept: 8 MiB each with UMT5-XXL."""


class WanText:
    """A UMT5 encoder with its tokenizer. ``device``: where the encoder is moved while it works (None: it stays in
    place).

    A prompt is encoded once, for all subjects and parts of a clip; the states of the latest prompts are kept.
    """

    def __init__(self, tokenizer: Tokenizer, encoder: Any, device: torch.device | None = None) -> None:
        self._tokenizer, self._encoder, self._device = tokenizer, encoder, device
        self._states: dict[str, Tensor] = {}

    @property
    def encoder(self) -> Any:
        """The network."""
        return self._encoder

    def check(self, settings: Settings) -> None:
        """Raise :class:`~redetail.errors.SettingsError` for prompts with weights, sections or key frames, which this
        encoder has no rule for, and for ``clip_skip``."""
        self._words(settings.prompt, "prompt")
        self._words(settings.negative, "negative prompt")
        if settings.clip_skip != 1:
            raise SettingsError(
                f"clip-skip is {settings.clip_skip}, but Wan reads only the last layer; do not set clip-skip."
            )

    def __call__(self, prompt: str) -> Tensor:
        """States (1, 512, width) float32 on the device where the encoder works, with zeros after the prompt's last
        token."""
        text = " ".join(html.unescape(html.unescape(self._words(prompt, "prompt"))).split())
        states = self._states.pop(text, None)
        self._states[text] = self._encoded(text) if states is None else states  # the latest comes last
        if len(self._states) > _KEPT:
            del self._states[next(iter(self._states))]
        return self._states[text]

    def _encoded(self, text: str) -> Tensor:
        tokens = torch.tensor([list(self._tokenizer(text))])
        with nullcontext() if self._device is None else on_device(self._encoder, self._device):
            states: Tensor = self._encoder(tokens.to(self._encoder.device)).last_hidden_state
        return torch.nn.functional.pad(states.float(), (0, 0, 0, TOKENS - tokens.shape[1]))

    def _words(self, prompt: str, name: str) -> str:
        """The prompt without its grammar; an escaped character stands for itself."""
        if len(key_frames(prompt)) > 1:
            raise SettingsError(f"The {name} changes over time, which Wan cannot follow; give one text for all frames.")
        sections = read_prompt(key_frames(prompt)[0].text).sections
        if len(sections) > 1 or any(piece.weight != 1 for section in sections for piece in section):
            raise SettingsError(
                f"The {name} contains weights or BREAK, which Wan cannot read; write plain words, "
                r"and \( \) for literal parentheses."
            )
        return "".join(piece.text for section in sections for piece in section)
