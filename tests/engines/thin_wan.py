"""A whole Wan model of thin widths with seeded random weights, as the libraries that publish such folders write it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

CHANNELS = 4
SHIFT = 3.0


def pipeline_parts() -> dict[str, Any]:
    """The networks, tokenizer and scheduler of a model, by the names that diffusers' pipelines give them."""
    diffusers, transformers = pytest.importorskip("diffusers"), pytest.importorskip("transformers")
    with torch.random.fork_rng():
        torch.manual_seed(11)
        transformer = diffusers.WanTransformer3DModel(
            patch_size=(1, 2, 2),
            num_attention_heads=2,
            attention_head_dim=12,
            in_channels=CHANNELS,
            out_channels=CHANNELS,
            text_dim=16,
            freq_dim=16,
            ffn_dim=32,
            num_layers=2,
            cross_attn_norm=True,
            qk_norm="rms_norm_across_heads",
            rope_max_seq_len=64,
        )
        torch.nn.init.normal_(transformer.proj_out.weight, std=0.2)  # as made, the network says next to nothing
        vae = diffusers.AutoencoderKLWan(
            base_dim=4,
            z_dim=CHANNELS,
            dim_mult=[1, 1, 1, 1],
            num_res_blocks=1,
            latents_mean=[-0.3, 0.2, 0.1, 0.0],
            latents_std=[1.2, 0.8, 1.1, 0.9],
        )
        text_encoder = transformers.UMT5EncoderModel(
            transformers.UMT5Config(
                vocab_size=32, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, dropout_rate=0.0
            )
        )
    return {
        "tokenizer": _tokenizer(),
        "text_encoder": text_encoder.eval(),
        "vae": vae.eval(),
        "transformer": transformer.eval(),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(shift=SHIFT),
    }


def write_wan_folder(folder: Path) -> Path:
    """A model folder in the diffusers layout."""
    import diffusers

    diffusers.WanPipeline(**pipeline_parts()).save_pretrained(folder)
    index = folder / "model_index.json"
    assert json.loads(index.read_text())["_class_name"] == "WanPipeline"
    return folder


def _tokenizer() -> Any:
    """Letters and two words, in the manner of SentencePiece."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = [(chr(code), -3.0) for code in range(ord("a"), ord("z") + 1)]
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0), *letters, ("\u2581face", -1.0)]
    tokenizer = Tokenizer(models.Unigram(words, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512
    )
