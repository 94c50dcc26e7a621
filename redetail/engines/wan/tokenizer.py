"""Tokens of prompts: by a tokenizer of transformers, or by the SentencePiece model that text encoder files carry."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from redetail.engines.config import read_config
from redetail.engines.folder import LARGEST_LIST, first_line
from redetail.errors import ModelError
from redetail.optional import require

TOKENS = 512
"""The length that Wan was trained on: longer prompts are cut."""

Tokenizer = Callable[[str], Sequence[int]]
"""Text -> at most 512 tokens, the last of which is the end token."""

_FILES = ("tokenizer.json", "spiece.model", "tokenizer.model")


def tokenizer_beside(path: Path) -> Path | None:
    """The tokenizer in a folder, in its ``tokenizer``, or next to it; None if there is none."""
    folders = (path, path / "tokenizer", path.parent, path.parent / "tokenizer")
    return next((folder / name for folder in folders for name in _FILES if os.path.isfile(folder / name)), None)


def open_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in a file: a tokenizer.json, whose folder can hold further settings, or a SentencePiece model.

    Raises :class:`~redetail.errors.ModelError` for a file that is neither.
    """
    if path.suffix != ".json":
        return sentencepiece_tokenizer(path.read_bytes(), path)
    read_config(path, LARGEST_LIST)
    try:
        loaded = require("transformers").AutoTokenizer.from_pretrained(str(path.parent), local_files_only=True)
    except (OSError, ValueError, RuntimeError, TypeError, LookupError, AttributeError, ImportError) as error:
        raise ModelError(f"The part {path.parent} is not a tokenizer: {first_line(error)}") from error

    def tokens(text: str) -> Sequence[int]:
        ids: Sequence[int] = loaded(text, max_length=TOKENS, truncation=True).input_ids
        return ids

    return tokens


def sentencepiece_tokenizer(model: bytes, origin: Path) -> Tokenizer:
    """The tokenizer of a SentencePiece model (Kudo and Richardson 2018, arXiv:1808.06226), as T5 uses it: the end token
    follows the text, and no other token is added.

    Raises :class:`~redetail.errors.ModelError` if ``model``, read from ``origin``, is not such a model, and
    :class:`~redetail.errors.DependencyError` without the package sentencepiece.
    """
    processor = require("sentencepiece").SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(model)
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelError(f"The SentencePiece model in {origin} is damaged; copy or download it again.") from error

    def tokens(text: str) -> Sequence[int]:
        return [*processor.EncodeAsIds(text)[: TOKENS - 1], processor.eos_id()]

    return tokens
