"""The networks of Wan in all published forms: folders of diffusers and transformers, or single files.

A part is checked when it is opened, before anything heavy is imported, and loaded later.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from redetail.engines.config import Config, check_keys
from redetail.engines.device import Placement
from redetail.engines.files import FileFacts, open_as
from redetail.engines.folder import ComponentFolder, load_network, open_network
from redetail.engines.fp8 import keep_fp8
from redetail.engines.state_dict import StateDict, fill, from_config, skeleton
from redetail.engines.wan import conversion, schema
from redetail.engines.wan.tokenizer import Tokenizer, open_tokenizer, sentencepiece_tokenizer, tokenizer_beside
from redetail.engines.weightfile import WeightFile, open_weights
from redetail.errors import ModelError
from redetail.optional import require

# Some conversions write this tensor, although no layer reads it.
_UNREAD = "norm_added_q"
_TRANSFORMER, _VAE, _TEXT = "WanTransformer3DModel", "AutoencoderKLWan", "UMT5EncoderModel"
_SPIECE = "spiece_model"


@dataclass(frozen=True, slots=True)
class Part:
    """A network before it is loaded: its path, its config as diffusers or transformers write it, and how to load it to
    the device and in the precision of a placement."""

    path: Path
    config: Config
    load: Callable[[Placement], Any]


@dataclass(frozen=True, slots=True)
class TextPart:
    """A text encoder and its tokenizer, neither of them loaded."""

    network: Part
    tokenizer: Callable[[], Tokenizer]


def open_transformer(path: Path) -> Part:
    """The transformer in a folder or file; raises ModelError, which says what it is instead."""
    if os.path.isdir(path):
        part = open_network(path, (_TRANSFORMER,), schema.TRANSFORMER)
        return Part(path, part.config, lambda placement: _transformer(_folder_state(part), placement))
    file, facts = _opened(path, "checkpoint", "a transformer of Wan")
    state = _state(file, facts, "transformer", conversion.transformer_names, conversion.transformer_config)
    check_keys(state.config, schema.TRANSFORMER, f"{path}")
    return Part(path, state.config, lambda placement: _transformer(state, placement))


def open_vae(path: Path) -> Part:
    """The VAE in a folder or file; raises ModelError, which says what it is instead."""
    if os.path.isdir(path):
        return _from_folder(open_network(path, (_VAE,), schema.VAE))
    file, facts = _opened(path, "vae", "a VAE of Wan")
    state = _state(file, facts, "VAE", conversion.vae_names, conversion.vae_config)
    check_keys(state.config, schema.VAE, f"{path}")
    return Part(path, state.config, partial(_filled, state, lambda: from_config(_VAE, state.config)))


def open_text(path: Path) -> TextPart:
    """The text encoder in a folder or file, with the tokenizer in the file or next to it.

    Raises :class:`~redetail.errors.ModelError`, which says what the file is instead, or that there is no tokenizer.
    """
    if os.path.isdir(path):
        path = path if os.path.isfile(path / "config.json") else path / "text_encoder"
        network = _from_folder(open_network(path, (_TEXT,), schema.TEXT))
        return TextPart(network, _tokenizer_for(path))
    file, facts = _opened(path, "text-encoder", "a UMT5 text encoder")
    state = _state(file, facts, "text encoder", conversion.text_names, conversion.text_config)
    check_keys(state.config, schema.TEXT, f"{path}")
    network = Part(path, state.config, partial(_text_encoder, state))
    inside = next((name for name in file.tensors if name.endswith(_SPIECE)), None)
    return TextPart(network, _tokenizer_for(path) if inside is None else partial(_tokenizer_in, file, inside))


def _opened(path: Path, kind: str, wanted: str) -> tuple[WeightFile, FileFacts]:
    """A file that must be of this kind and for Wan."""
    file, facts = open_as(path, (kind,), wanted)
    if facts.base != "wan" or not facts.option:
        raise ModelError(f"{path} is {facts.what}; give {wanted} instead.")
    return file, facts


def _state(
    file: WeightFile,
    facts: FileFacts,
    words: str,
    names_of: Callable[[Iterable[str]], Mapping[str, str]],
    config_of: Callable[[Mapping[str, tuple[int, ...]]], Config],
) -> StateDict:
    """The tensors of a file in the names of diffusers, with the config that they show."""
    own = {short: name for short, name in file.below(facts.details["prefix"]).items() if _belongs(short)}
    names = names_of(own)
    try:
        config = config_of({new: file.shape(own[short]) for short, new in names.items()})
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise ModelError(f"The {words} {file.path} lacks some of its layers; copy or download it again.") from error
    view = file.view({own[short]: new for short, new in names.items()})
    return StateDict(config, view, f"The {words} {file.path}")


def _belongs(name: str) -> bool:
    """Whether a network reads the tensor of this name."""
    return _UNREAD not in name and not name.endswith(_SPIECE) and not name.startswith("encoder.embed_tokens.")


def _folder_state(part: ComponentFolder) -> StateDict:
    """The tensors of all files of the folder's variant."""
    files = [path for path in sorted(part.path.glob("*.safetensors")) if (".fp16" in path.name) == bool(part.variant)]
    tensors: dict[str, Tensor] = {}
    for file in map(open_weights, files):
        tensors |= file.read([name for name in file.tensors if _belongs(name)])
    return StateDict(part.config, tensors, f"The part {part.path}")


def _from_folder(part: ComponentFolder) -> Part:
    def load(placement: Placement) -> Any:
        network = load_network(part, placement.dtype)
        return network.requires_grad_(False).eval().to(placement.device)

    return Part(part.path, part.config, load)


def _transformer(state: StateDict, placement: Placement) -> Any:
    """Norms, modulation and the time embedding stay in float32, as the transformer was trained."""
    network: Any = skeleton(lambda: from_config(_TRANSFORMER, state.config))
    rope = network.rope  # a table that files do not contain
    network.rope = type(rope)(rope.attention_head_dim, rope.patch_size, rope.max_seq_len).to(placement.device)
    exact = network._keep_in_fp32_modules
    return fill(network, _as_stored(network, state, placement, exact), placement, exact=exact)


def _text_encoder(state: StateDict, placement: Placement) -> Any:
    """UMT5's encoder; its word vectors, a tenth of all numbers, are stored under two names but kept only once."""
    transformers = require("transformers")
    options = {name: value for name, value in state.config.items() if name != "architectures"}
    network: Any = skeleton(lambda: transformers.UMT5EncoderModel(transformers.UMT5Config(**options)))
    network.encoder.embed_tokens = None
    fill(network, _as_stored(network, state, placement), placement)
    network.encoder.embed_tokens = network.shared
    return network


def _as_stored(network: nn.Module, state: StateDict, placement: Placement, exact: Collection[str] = ()) -> StateDict:
    """The tensors of a network; if the placement keeps fp8, those in fp8 stay as they are."""
    return keep_fp8(network, state, placement.dtype, exact=exact) if placement.modes.fp8_weights else state


def _filled(state: StateDict, build: Callable[[], nn.Module], placement: Placement) -> nn.Module:
    return fill(skeleton(build), state, placement)


def _tokenizer_for(path: Path) -> Callable[[], Tokenizer]:
    found = tokenizer_beside(path if os.path.isdir(path) else path.parent)
    if found is None:
        raise ModelError(
            f"The text encoder {path} has no tokenizer; put the model's tokenizer.json next to it, or use the file "
            "that ComfyUI publishes, which contains one."
        )
    return partial(open_tokenizer, found)


def _tokenizer_in(file: WeightFile, name: str) -> Tokenizer:
    return sentencepiece_tokenizer(file.read([name])[name].numpy().tobytes(), file.path)
