"""Prompts to what cross-attention reads, with CLIP (Radford et al. 2021, arXiv:2103.00020)."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor

_LOG = logging.getLogger(__name__)


class TextConditioner:
    """A tokenizer and a CLIP text model; prompts beyond its length are cut, with a warning that names the rest."""

    def __init__(self, tokenizer: Any, encoder: Any) -> None:
        self._tokenizer, self._encoder = tokenizer, encoder
        self._length = int(encoder.config.max_position_embeddings)

    def __call__(self, prompt: str) -> Tensor:
        """(1, tokens, width) last hidden states of ``prompt`` on the encoder's device."""
        tokens = self._tokenizer(prompt, truncation=True, max_length=self._length, padding="max_length")
        self._warn_if_cut(prompt, tokens.input_ids)
        ids = torch.tensor([tokens.input_ids], device=self._encoder.device)
        states: Tensor = self._encoder(ids).last_hidden_state
        return states

    def _warn_if_cut(self, prompt: str, used: list[int]) -> None:
        whole = self._tokenizer(prompt, truncation=False, verbose=False).input_ids
        if len(whole) > len(used):
            rest = self._tokenizer.decode(whole[len(used) - 1 : -1])
            _LOG.warning("The prompt is longer than the %d tokens that the model reads; cut: %r", len(used), rest)
