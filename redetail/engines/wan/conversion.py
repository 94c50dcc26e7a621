"""Names and configs of Wan's networks in single files, derived from the names and shapes of their tensors.

The layouts are facts of the published files: Wan's own (Wan-Video on GitHub), which ComfyUI's repackaged files keep,
mostly below ``model.diffusion_model.``; diffusers' names; transformers' names of UMT5, which ComfyUI keeps; and Wan's
own names of UMT5.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

Shapes = Mapping[str, tuple[int, ...]]

HEAD = 128
"""Width of an attention head in every published transformer of Wan; no tensor shows it."""

_TRANSFORMER = (
    (r"^time_embedding\.0", "condition_embedder.time_embedder.linear_1"),
    (r"^time_embedding\.2", "condition_embedder.time_embedder.linear_2"),
    (r"^text_embedding\.0", "condition_embedder.text_embedder.linear_1"),
    (r"^text_embedding\.2", "condition_embedder.text_embedder.linear_2"),
    (r"^time_projection\.1", "condition_embedder.time_proj"),
    (r"^head\.head", "proj_out"),
    (r"(^head\.|\.)modulation(?=\.?$)", r"\1scale_shift_table"),
    (r"^head\.", ""),
    (r"\.(self|cross)_attn\.([qkv])\.", r".\1_attn.to_\2."),
    (r"\.(self|cross)_attn\.o\.", r".\1_attn.to_out.0."),
    (r"\.self_attn\.", ".attn1."),
    (r"\.cross_attn\.", ".attn2."),
    (r"\.ffn\.0\.", ".ffn.net.0.proj."),
    (r"\.ffn\.2\.", ".ffn.net.2."),
    (r"\.norm3\.", ".norm2."),  # diffusers numbers the norms in the order in which they are used
)
_VAE = (
    (r"^conv1\.", "quant_conv."),
    (r"^conv2\.", "post_quant_conv."),
    (r"^(en|de)coder\.conv1\.", r"\1coder.conv_in."),
    (r"^(en|de)coder\.head\.0\.", r"\1coder.norm_out."),
    (r"^(en|de)coder\.head\.2\.", r"\1coder.conv_out."),
    (r"\.middle\.0\.", ".mid_block.resnets.0."),
    (r"\.middle\.1\.", ".mid_block.attentions.0."),
    (r"\.middle\.2\.", ".mid_block.resnets.1."),
    (r"^encoder\.downsamples\.", "encoder.down_blocks."),
    (r"\.residual\.0\.", ".norm1."),
    (r"\.residual\.2\.", ".conv1."),
    (r"\.residual\.3\.", ".norm2."),
    (r"\.residual\.6\.", ".conv2."),
    (r"\.shortcut\.", ".conv_shortcut."),
)
_TEXT = (
    (r"^token_embedding\.", "shared."),
    (r"^norm\.", "encoder.final_layer_norm."),
    (r"^blocks\.", "encoder.block."),
    (r"\.norm1\.", ".layer.0.layer_norm."),
    (r"\.norm2\.", ".layer.1.layer_norm."),
    (r"\.attn\.", ".layer.0.SelfAttention."),
    (r"\.pos_embedding\.embedding\.", ".layer.0.SelfAttention.relative_attention_bias."),
    (r"\.ffn\.gate\.0\.", ".layer.1.DenseReluDense.wi_0."),
    (r"\.ffn\.fc1\.", ".layer.1.DenseReluDense.wi_1."),
    (r"\.ffn\.fc2\.", ".layer.1.DenseReluDense.wo."),
)
_GGUF_TEXT = (
    (r"^token_embd\.", "shared."),
    (r"^enc\.output_norm\.", "encoder.final_layer_norm."),
    (r"^enc\.blk\.", "encoder.block."),
    (r"\.attn_norm\.", ".layer.0.layer_norm."),
    (r"\.ffn_norm\.", ".layer.1.layer_norm."),
    (r"\.attn_rel_b\.", ".layer.0.SelfAttention.relative_attention_bias."),
    (r"\.attn_([qkvo])\.", r".layer.0.SelfAttention.\1."),
    (r"\.ffn_gate\.", ".layer.1.DenseReluDense.wi_0."),
    (r"\.ffn_up\.", ".layer.1.DenseReluDense.wi_1."),
    (r"\.ffn_down\.", ".layer.1.DenseReluDense.wo."),
)

_NORMS = ("norm_q", "norm_k")
_OUTSIDE = (
    *(f"{kind}_embedding.{place}" for kind in ("time", "text") for place in (0, 2)),
    *("time_projection.1", "head.head", "head.modulation", "patch_embedding"),
)
_UP = r"decoder\.upsamples\.(\d+)\."


def transformer_names(names: Iterable[str]) -> dict[str, str]:
    """diffusers' name of every tensor of a transformer; its own names stay as they are."""
    known = list(names)
    original = any(".self_attn." in name for name in known)
    return {name: _replaced(name, _TRANSFORMER) if original else name for name in known}


def original_layers(count: int) -> dict[str, str]:
    """The names that Wan's authors give the layers of a transformer with this many blocks, by diffusers' names."""
    attention = [f"{kind}_attn.{part}" for kind in ("self", "cross") for part in ("q", "k", "v", "o", *_NORMS)]
    inside = (*attention, "ffn.0", "ffn.2", "norm3", "modulation")
    names = [f"blocks.{block}.{layer}" for block in range(count) for layer in inside]
    return {_replaced(f"{name}.", _TRANSFORMER).removesuffix("."): name for name in (*names, *_OUTSIDE)}


def transformer_config(shapes: Shapes) -> dict[str, Any]:
    """The config of a transformer with these tensors, in diffusers' names; raises ``KeyError`` if some are missing."""
    width, channels, *patch = shapes["patch_embedding.weight"]
    embedder = "condition_embedder"
    return {
        "_class_name": "WanTransformer3DModel",
        "patch_size": patch,
        "num_attention_heads": width // HEAD,
        "attention_head_dim": HEAD,
        "in_channels": channels,
        "out_channels": shapes["proj_out.weight"][0] // math.prod(patch),
        "text_dim": shapes[f"{embedder}.text_embedder.linear_1.weight"][1],
        "freq_dim": shapes[f"{embedder}.time_embedder.linear_1.weight"][1],
        "ffn_dim": shapes["blocks.0.ffn.net.0.proj.weight"][0],
        "num_layers": _count(shapes, r"blocks\.(\d+)\."),
        "cross_attn_norm": "blocks.0.norm2.weight" in shapes,
        "qk_norm": "rms_norm_across_heads" if "blocks.0.attn1.norm_q.weight" in shapes else None,
    }


def vae_names(names: Iterable[str]) -> dict[str, str]:
    """diffusers' name of every tensor of the VAE; its own names stay as they are.

    Wan counts the layers of all stages in one list; diffusers does so in the encoder alone.
    """
    known = list(names)
    if "encoder.conv1.weight" not in known:
        return {name: name for name in known}
    places = _up_places(known)
    return {
        name: _replaced(re.sub(_UP, lambda match: f"decoder.up_blocks.{places[int(match[1])]}.", name), _VAE)
        for name in known
    }


def vae_config(shapes: Shapes) -> dict[str, Any]:
    """The config of the VAE with these tensors, in diffusers' names; raises ``KeyError`` if some are missing."""
    base, channels = shapes["encoder.conv_in.weight"][:2]
    down = "encoder.down_blocks"
    count = _count(shapes, rf"{re.escape(down)}\.(\d+)\.")
    ends = [place for place in range(count) if f"{down}.{place}.resample.1.weight" in shapes]
    stages = [range(first + 1, last) for first, last in pairwise([-1, *ends, count])]
    widths = [shapes[f"{down}.{stage[-1]}.conv2.weight"][0] for stage in stages]
    return {
        "_class_name": "AutoencoderKLWan",
        "base_dim": base,
        "decoder_base_dim": shapes["decoder.conv_out.weight"][1] * base // widths[0],
        "z_dim": shapes["post_quant_conv.weight"][0],
        "dim_mult": [width // base for width in widths],
        "num_res_blocks": len(stages[0]),
        "temperal_downsample": [f"{down}.{place}.time_conv.weight" in shapes for place in ends],
        "in_channels": channels,
        "out_channels": shapes["decoder.conv_out.weight"][0],
    }


def text_names(names: Iterable[str]) -> dict[str, str]:
    """transformers' name of every tensor of UMT5's encoder; its own names stay as they are."""
    known = list(names)
    table = _TEXT if "token_embedding.weight" in known else _GGUF_TEXT if "token_embd.weight" in known else ()
    return {name: _replaced(name, table) for name in known}


def text_config(shapes: Shapes) -> dict[str, Any]:
    """The config of UMT5's encoder with these tensors; raises ``KeyError`` if some are missing."""
    vocabulary, width = shapes["shared.weight"]
    attention = "encoder.block.0.layer.0.SelfAttention"
    heads = shapes[f"{attention}.relative_attention_bias.weight"][1]
    return {
        "architectures": ["UMT5EncoderModel"],
        "vocab_size": vocabulary,
        "d_model": width,
        "d_kv": shapes[f"{attention}.q.weight"][0] // heads,
        "d_ff": shapes["encoder.block.0.layer.1.DenseReluDense.wi_0.weight"][0],
        "num_layers": _count(shapes, r"encoder\.block\.(\d+)\."),
        "num_heads": heads,
        "relative_attention_num_buckets": shapes[f"{attention}.relative_attention_bias.weight"][0],
    }


def _replaced(name: str, table: Iterable[tuple[str, str]]) -> str:
    for pattern, new in table:
        name = re.sub(pattern, new, name)
    return name


def _up_places(names: Iterable[str]) -> dict[int, str]:
    """The places in diffusers of the decoder's layers, which Wan counts in one list; a stage ends with its
    upscaling."""
    layers = {int(match[1]): "" for name in names if (match := re.match(_UP, name))}
    ends = {int(match[1]) for name in names if (match := re.match(_UP + r"resample\.", name))}
    stage = place = 0
    for layer in sorted(layers):
        layers[layer] = f"{stage}.upsamplers.0" if layer in ends else f"{stage}.resnets.{place}"
        stage, place = (stage + 1, 0) if layer in ends else (stage, place + 1)
    return layers


def _count(names: Iterable[str], pattern: str) -> int:
    """The count of numbered items in the names."""
    return 1 + max((int(match[1]) for name in names if (match := re.match(pattern, name))), default=-1)
