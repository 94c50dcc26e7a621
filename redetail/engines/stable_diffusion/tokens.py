"""Splits prompts into chunks of weighted tokens for a CLIP text model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from redetail.engines.prompt import Piece
from redetail.engines.stable_diffusion.embedding import Embedding, EmbeddingNames

# A word with fewer tokens is not split at the end of a chunk; a longer word would leave too much room empty.
_LONG_WORD = 8
_SPACES = re.compile(r"[ \t\r\n\f\v]+")


@dataclass(frozen=True, slots=True)
class Token:
    """A token of the vocabulary, or a ``vector`` (width,) of an embedding in its place."""

    index: int
    weight: float = 1.0
    vector: Tensor | None = None


Chunk = tuple[Token, ...]


class PromptTokenizer:
    """A CLIPTokenizer with embeddings: turns sections of weighted pieces into chunks of at most ``room`` tokens."""

    def __init__(self, tokenizer: Any, embeddings: Sequence[Embedding], room: int) -> None:
        self._tokenizer, self._room = tokenizer, room
        self._names = EmbeddingNames(embeddings)

    def chunks(self, sections: Iterable[Sequence[Piece]]) -> list[Chunk]:
        """One or more chunks; every section that has words starts a new one.

        Raises :class:`~redetail.errors.SettingsError` for an ``embedding:name`` that is not loaded.
        """
        packed = [chunk for section in sections for chunk in _packed(self._words(section), self._room)]
        return packed or [()]

    def row(self, chunk: Chunk) -> list[Token]:
        """A chunk as the text model takes it: start token, tokens, end token, and padding to full length."""
        begin, end, padding = (
            Token(int(getattr(self._tokenizer, f"{name}_token_id"))) for name in ("bos", "eos", "pad")
        )
        return [begin, *chunk, end, *[padding] * (self._room - len(chunk))]

    def _words(self, pieces: Iterable[Piece]) -> Iterator[list[Token]]:
        """Tokens that belong together: those of a word, those of an embedding."""
        for piece in pieces:
            for part in self._names.split(piece.text):
                if isinstance(part, Embedding):
                    # The index is only a placeholder.
                    yield [Token(0, piece.weight, vector) for vector in part.vectors]
                else:
                    yield from self._tokens_of(part, piece.weight)

    def _tokens_of(self, text: str, weight: float) -> Iterator[list[Token]]:
        """CLIP's tokens never span a space, so words can be looked up one by one."""
        words = [word for word in _SPACES.split(text) if word]
        if words:
            for indices in self._tokenizer(words, add_special_tokens=False, verbose=False).input_ids:
                yield [Token(index, weight) for index in indices]


def _packed(words: Iterable[list[Token]], room: int) -> Iterator[Chunk]:
    """Chunks filled with words one after another."""
    chunk: list[Token] = []
    for word in words:
        if len(chunk) + len(word) > room and len(word) < _LONG_WORD:
            yield tuple(chunk)
            chunk = []
        chunk = chunk + word
        while len(chunk) > room:
            yield tuple(chunk[:room])
            chunk = chunk[room:]
    if chunk:
        yield tuple(chunk)
