"""Textual inversion (Gal et al. 2022, arXiv:2208.01618): vectors for words that CLIP does not know."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from redetail.engines.architectures.latent_diffusion import BASE_NAMES
from redetail.engines.files import open_as
from redetail.errors import ModelError, SettingsError, UnknownNameError

_SUFFIX = r"(?:\.(?:safetensors|pt|bin))?"
_PREFIXED = r"\bembedding:\s*(?P<unknown>[^\s,;|()\[\]]+)"


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """A word of a prompt and the ``vectors`` (tokens, width) float32 that it stands for."""

    name: str
    vectors: Tensor


def load_embeddings(paths: Iterable[Path], width: int, part: str = "") -> tuple[Embedding, ...]:
    """Embeddings, named like their files, for a text encoder of this ``width``; ``part``: the name of this encoder's
    vectors in a file for several encoders ("clip_l", "clip_g").

    The layouts of the web UI (``string_to_param``), of kohya's scripts (``emb_params``) and of diffusers (a tensor
    named by its word) are read. Raises :class:`~redetail.errors.ModelError` for a file that is something else, belongs
    to another base model, or has the same name as another embedding.
    """
    loaded: dict[str, Embedding] = {}
    for path in paths:
        if path.stem.lower() in loaded:
            raise ModelError(f"Two embeddings are named {path.stem!r}; rename one, so that a prompt can use both.")
        loaded[path.stem.lower()] = Embedding(path.stem, _vectors(path, width, part))
    return tuple(loaded.values())


class EmbeddingNames:
    """Finds embeddings in text: by name as a separate word, or as ``embedding:name``; case does not matter."""

    def __init__(self, embeddings: Sequence[Embedding]) -> None:
        self._known = {embedding.name.lower(): embedding for embedding in embeddings}
        # The longest first, since one name can be the beginning of another.
        names = "|".join(re.escape(name) for name in sorted(self._known, key=len, reverse=True))
        known = rf"(?<![\w-])(?:embedding:\s*)?(?P<known>{names}){_SUFFIX}(?![\w-])|" if names else ""
        self._pattern = re.compile(known + _PREFIXED, re.IGNORECASE)

    def split(self, text: str) -> Iterator[str | Embedding]:
        """The text in order, embeddings in their places.

        Raises :class:`~redetail.errors.SettingsError` for an ``embedding:name`` that is not loaded.
        """
        start = 0
        for match in self._pattern.finditer(text):
            if match["unknown"]:
                raise self._unknown(match["unknown"])
            yield text[start : match.start()]
            yield self._known[match["known"].lower()]
            start = match.end()
        yield text[start:]

    def _unknown(self, name: str) -> SettingsError:
        if self._known:
            return UnknownNameError("embedding", name, [embedding.name for embedding in self._known.values()])
        return SettingsError(f"The prompt names the embedding {name!r}, but no embedding is loaded; give its file.")


def _vectors(path: Path, width: int, part: str) -> Tensor:
    file, facts = open_as(path, ("embedding",), "a textual inversion embedding")
    names: tuple[str, ...] = facts.details["names"]
    if part in names and len({file.shape(name)[:-1] for name in names}) > 1:
        raise ModelError(
            f"The embedding {path} contains a different number of vectors for each text encoder; use another file."
        )
    found = [tensor.float() for tensor in file.read([part] if part in names else list(names)).values()]
    vectors = found[0] if found[0].ndim == 2 else found[0][None]
    if len(found) != 1 or vectors.shape[1] != width:
        base = f" ({BASE_NAMES[facts.base]})" if facts.base in BASE_NAMES else ""
        raise ModelError(
            f"The embedding {path} has vectors of width {' and '.join(str(one.shape[-1]) for one in found)}{base}, "
            f"but this model's text encoder reads {width}; use an embedding for this model's base model."
        )
    if not torch.isfinite(vectors).all():
        raise ModelError(f"The embedding {path} has values that are not finite; copy or download it again.")
    return vectors.clone()
