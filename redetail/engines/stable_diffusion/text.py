"""Encodes prompts for cross-attention with CLIP (Radford et al. 2021, arXiv:2103.00020)."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from redetail.engines.prompt import KeyFrame, blend, key_frames, read_prompt
from redetail.engines.stable_diffusion.embedding import Embedding
from redetail.engines.stable_diffusion.tokens import Chunk, PromptTokenizer, Token
from redetail.errors import SettingsError

_LOG = logging.getLogger(__name__)
# States are repeated to a common length, up to this many times the longest.
_MOST_REPEATS = 4


class TextConditioner:
    """A CLIPTokenizer, a CLIPTextModel and embeddings; reads the grammar of :mod:`redetail.engines.prompt`.

    A prompt of any length is encoded in chunks of 75 tokens, each between a start and an end token, and their states
    are joined. A token's weight acts on its state, as in ComfyUI (``ClipTokenWeightEncoder``)::

        state = empty + weight * (state - empty)

    where ``empty`` is the state of the empty prompt at the same position; a weight of 1 changes no bit. ``normed``:
    whether the encoder's final norm is applied to the states of whichever layer is read.
    """

    def __init__(
        self, tokenizer: Any, encoder: Any, embeddings: Sequence[Embedding] = (), *, normed: bool = True
    ) -> None:
        self._encoder, self._normed = encoder, normed
        self._tokens = PromptTokenizer(tokenizer, embeddings, int(encoder.config.max_position_embeddings) - 2)
        self._said: set[str] = set()

    def __call__(self, prompt: str, frames: Sequence[int] = (0,), *, clip_skip: int = 1) -> Tensor:
        """States (1 or F, tokens, width), float32 on the encoder's device, of ``prompt`` at these frames.

        There is one row for all frames if the prompt does not change; between key frames, states are blended linearly.
        ``clip_skip``: which of the text model's layers is read, counted from its end; 1 is the last.

        Raises :class:`~redetail.errors.SettingsError` for a frame that is given twice, an embedding that is not loaded
        and a layer that does not exist.
        """
        keys = key_frames(prompt)
        states = matched([self._encode(key.text, clip_skip) for key in keys], self._states((), clip_skip))
        return _over_time(keys, states, frames)

    def pooled(self, prompt: str, frames: Sequence[int] = (0,)) -> Tensor:
        """(1 or F, width): the pooled text from an encoder with a projection. Of each key frame's text, only the first
        chunk is used, without its weights."""
        keys = key_frames(prompt)
        chunks = [self._tokens.chunks(read_prompt(key.text).sections)[0] for key in keys]
        return _over_time(keys, [self._output(chunk).text_embeds.float() for chunk in chunks], frames)

    def check(self, prompt: str, *, clip_skip: int = 1) -> None:
        """Raise what encoding ``prompt`` would raise."""
        _check_layer(self._encoder, clip_skip)
        for key in key_frames(prompt):
            self._tokens.chunks(read_prompt(key.text).sections)

    def pair(
        self, positive: str, negative: str, frames: Sequence[int] = (0,), *, clip_skip: int = 1
    ) -> tuple[Tensor, Tensor]:
        """The states of two prompts, of the same number of tokens."""
        states = [self(prompt, frames, clip_skip=clip_skip) for prompt in (positive, negative)]
        first, second = matched(states, self._states((), clip_skip))
        return first, second

    def _encode(self, text: str, clip_skip: int) -> Tensor:
        """(1, tokens, width) of a text without key frames."""
        read = read_prompt(text)
        for note in read.notes:
            self._say(note)
        return torch.cat([self._weighted(chunk, clip_skip) for chunk in self._tokens.chunks(read.sections)], dim=1)

    def _weighted(self, chunk: Chunk, clip_skip: int) -> Tensor:
        """(1, length, width) of a chunk."""
        states = self._states(chunk, clip_skip)
        if all(token.weight == 1 for token in chunk):
            return states
        empty = self._states((), clip_skip)
        weights = torch.tensor([token.weight for token in self._tokens.row(chunk)], device=states.device)[:, None]
        return torch.where(weights == 1, states, empty + weights * (states - empty))

    def _states(self, chunk: Chunk, clip_skip: int) -> Tensor:
        """(1, length, width) of a chunk without its weights; one chunk at a time, so that none depends on another."""
        _check_layer(self._encoder, clip_skip)
        output = self._output(chunk)
        if self._normed and clip_skip == 1:
            last: Tensor = output.last_hidden_state
            return last.float()
        hidden: Tensor = output.hidden_states[-clip_skip]
        # Some encoders have their layers in a separate module.
        norm = getattr(self._encoder, "text_model", self._encoder).final_layer_norm
        return (norm(hidden) if self._normed else hidden).float()

    def _output(self, chunk: Chunk) -> Any:
        """Everything that the encoder makes of a chunk."""
        row = self._tokens.row(chunk)
        indices = torch.tensor([[token.index for token in row]], device=self._encoder.device)
        with _vectors_in_place(self._encoder, row):
            return self._encoder(indices, output_hidden_states=True)

    def _say(self, note: str) -> None:
        """Show a note only once, since a prompt is encoded for every part of a region."""
        if note not in self._said:
            self._said.add(note)
            _LOG.warning("%s", note)


def _over_time(keys: Sequence[KeyFrame], rows: Sequence[Tensor], frames: Sequence[int]) -> Tensor:
    """Values (1, ...) of key frames at these frames: (1 or F, ...), blended linearly between key frames."""
    places = [blend([key.frame for key in keys], frame) for frame in frames]
    if len(set(places)) == 1:
        places = places[:1]
    return torch.cat(
        [rows[one] if share == 0 else torch.lerp(rows[one], rows[two], share) for one, two, share in places]
    )


def matched(states: Sequence[Tensor], empty: Tensor) -> list[Tensor]:
    """States of the same number of tokens.

    Each is repeated as a whole, which does not change attention: if all keys are repeated equally often, the weights of
    their copies sum to the original weight. If the least common multiple of the lengths is too large, they are filled
    up with ``empty`` chunks instead.
    """
    longest = max(one.shape[1] for one in states)
    common = math.lcm(*(one.shape[1] for one in states))
    if common <= _MOST_REPEATS * longest:
        return [one.repeat(1, common // one.shape[1], 1) for one in states]
    fill = [(longest - one.shape[1]) // empty.shape[1] for one in states]
    return [torch.cat([one, empty.repeat(len(one), n, 1)], dim=1) for one, n in zip(states, fill, strict=True)]


@contextmanager
def _vectors_in_place(encoder: Any, row: Sequence[Token]) -> Iterator[None]:
    """While the context lasts, the encoder's token table returns the vectors of embeddings at their positions in
    ``row``."""
    vectors = {place: token.vector for place, token in enumerate(row) if token.vector is not None}
    if not vectors:
        yield
        return

    def replaced(_module: Any, _arguments: Any, output: Tensor) -> Tensor:
        output = output.clone()
        for place, vector in vectors.items():
            output[:, place] = vector.to(output)
        return output

    hook = encoder.get_input_embeddings().register_forward_hook(replaced)
    try:
        yield
    finally:
        hook.remove()


def _check_layer(encoder: Any, clip_skip: int) -> None:
    layers = int(encoder.config.num_hidden_layers)
    if not 1 <= clip_skip <= layers:
        raise SettingsError(
            f"clip-skip is {clip_skip}; this model's text encoder has {layers} layers, so use 1 to {layers}."
        )
