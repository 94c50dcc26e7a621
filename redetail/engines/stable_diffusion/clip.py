"""Text encoders inside single files: CLIP in the names of Hugging Face, OpenCLIP in its own, and their configs.

OpenCLIP (Cherti et al. 2022, arXiv:2212.07143) stores a layer's projections to queries, keys and values in one matrix,
and the projection of the pooled text transposed. All of these models have heads of 64 features.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from redetail.engines.architectures.stable_diffusion import TextEncoderLayout
from redetail.engines.device import Placement
from redetail.engines.folder import first_line
from redetail.engines.state_dict import StateDict, fill, skeleton
from redetail.engines.weightfile import WeightFile
from redetail.errors import ModelError
from redetail.optional import require

Tensors = Mapping[str, Tensor]
CLIP_TOKENS = 49408
_HEAD = 64
_CLIP_PARTS = ("embeddings.", "encoder.", "final_layer_norm.")
_LEAD = "text_model."
_FUSED = ("q_proj", "k_proj", "v_proj")
_OPEN_BLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)(weight|bias)$")
_OPEN_LAYERS = {
    "ln_1.": "layer_norm1.", "ln_2.": "layer_norm2.", "mlp.c_fc.": "mlp.fc1.", "mlp.c_proj.": "mlp.fc2.",
    "attn.out_proj.": "self_attn.out_proj.",
}  # fmt: skip
_OPEN_ENDS = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """A text encoder, a CLIPTextModel or one with a projection, and its CLIPTokenizer."""

    encoder: Any
    tokenizer: Any


def load_text_encoder(file: WeightFile, layout: TextEncoderLayout, placement: Placement) -> nn.Module:
    """A text encoder inside a single file: a CLIPTextModel in the names of Hugging Face, or a
    CLIPTextModelWithProjection in those of OpenCLIP.

    Raises :class:`~redetail.errors.ModelError` if tensors are missing.
    """
    if layout.source == "clip":
        return _loaded(file, layout.prefix, placement, "CLIPTextModel", clip_tensors, "quick_gelu")
    return _loaded(file, layout.prefix, placement, "CLIPTextModelWithProjection", open_clip_tensors, "gelu")


def _loaded(
    file: WeightFile, prefix: str, placement: Placement, kind: str, tell: Callable[[Tensors], dict[str, Tensor]],
    activation: str,
) -> nn.Module:  # fmt: skip
    names = file.below(prefix)
    read = file.read(list(names.values()))
    try:
        tensors = tell({short: read[name] for short, name in names.items()})
        config = clip_config(tensors) | {"hidden_act": activation}
    except KeyError as error:
        raise ModelError(f"The text encoder of {file.path} lacks {error}; download the file again.") from error
    transformers = require("transformers")
    network = skeleton(lambda: getattr(transformers, kind)(transformers.CLIPTextConfig(**config)))
    # transformers 4 names every tensor below "text_model", transformers 5 not those of a CLIPTextModel.
    lead = _LEAD if next(iter(network.state_dict())).startswith(_LEAD) else ""
    whole = {name if name.startswith("text_projection") else lead + name: tensor for name, tensor in tensors.items()}
    return fill(network, StateDict(config, whole, f"The text encoder of {file.path}"), placement)


def clip_tensors(given: Tensors) -> dict[str, Tensor]:
    """Tensors in the names of Hugging Face without "text_model.", which early files leave out as well."""
    return {
        short: tensor
        for name, tensor in given.items()
        if (short := name.removeprefix(_LEAD)).startswith(_CLIP_PARTS) and not short.endswith("position_ids")
    }


def open_clip_tensors(given: Tensors) -> dict[str, Tensor]:
    """Tensors of OpenCLIP under the names of Hugging Face without "text_model."; raises ``KeyError``."""
    tensors = {"text_projection.weight": given["text_projection"].T.contiguous()}
    for name, tensor in given.items():
        match = _OPEN_BLOCK.match(name)
        if name in _OPEN_ENDS:
            tensors[_OPEN_ENDS[name]] = tensor
        elif match and match[2] == "attn.in_proj_":
            parts = tensor.chunk(3)
            stem = f"encoder.layers.{match[1]}.self_attn"
            tensors |= {f"{stem}.{part}.{match[3]}": one for part, one in zip(_FUSED, parts, strict=True)}
        elif match:
            inside = _OPEN_LAYERS.get(match[2], match[2])
            tensors[f"encoder.layers.{match[1]}.{inside}{match[3]}"] = tensor
    return tensors


def clip_config(tensors: Tensors) -> dict[str, Any]:
    """The config of the text model with these tensors; raises ``KeyError`` if some are missing."""
    vocabulary, width = tensors["embeddings.token_embedding.weight"].shape
    layers = {name.split(".")[2] for name in tensors if name.startswith("encoder.layers.")}
    projection = tensors.get("text_projection.weight")
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": tensors["encoder.layers.0.mlp.fc1.weight"].shape[0],
        "num_hidden_layers": len(layers),
        "num_attention_heads": max(1, width // _HEAD),
        "max_position_embeddings": tensors["embeddings.position_embedding.weight"].shape[0],
        "projection_dim": width if projection is None else projection.shape[0],
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
        "pad_token_id": vocabulary - 1,
    }


def load_tokenizer(path: Path, known: int, padding: str | None = None) -> Any:
    """The CLIP tokenizer in a folder, for a text encoder that knows this many tokens; ``padding``: the token that fills
    up a prompt if the folder does not name one."""
    said = {} if padding is None else {"pad_token": padding}
    try:
        tokenizer = require("transformers").CLIPTokenizer.from_pretrained(str(path), local_files_only=True, **said)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"The part {path} is not a CLIP tokenizer: {first_line(error)}") from error
    if len(tokenizer) > known:
        raise ModelError(
            f"The tokenizer {path} knows {len(tokenizer)} tokens, but its text encoder knows "
            f"{known}; they belong to different models."
        )
    return tokenizer
