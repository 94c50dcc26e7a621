"""The schemas of Wan's network configs, by which a damaged file is refused before a network is built."""

from __future__ import annotations

from redetail.documents import text, truth
from redetail.engines.config import Schema, between, either, several, whole

_COUNT, _WIDTH = whole(1, 256), whole(1, 2**17)
TRANSFORMER: Schema = {
    "patch_size": several(whole(1, 16), 3, 3),
    "num_attention_heads": _COUNT,
    "attention_head_dim": _WIDTH,
    "in_channels": _WIDTH,
    "out_channels": _WIDTH,
    "text_dim": _WIDTH,
    "freq_dim": _WIDTH,
    "ffn_dim": _WIDTH,
    "num_layers": _COUNT,
    "image_dim": either(_WIDTH),
    "added_kv_proj_dim": either(_WIDTH),
    "rope_max_seq_len": whole(1, 2**17),
    "pos_embed_seq_len": either(_WIDTH),
}
VAE: Schema = {
    "base_dim": _WIDTH,
    "decoder_base_dim": either(_WIDTH),
    "z_dim": _WIDTH,
    "dim_mult": several(whole(1, 64), 8, 1),
    "num_res_blocks": _COUNT,
    "temperal_downsample": several(truth, 8),
    "latents_mean": several(between(-1e6, 1e6), 2**10),
    "latents_std": several(between(1e-6, 1e6), 2**10),
    "in_channels": _WIDTH,
    "out_channels": _WIDTH,
    "patch_size": either(whole(1, 16)),
    "scale_factor_spatial": whole(1, 64),
    "scale_factor_temporal": whole(1, 64),
}
TEXT: Schema = {
    "vocab_size": whole(1, 10_000_000),
    "d_model": _WIDTH,
    "d_kv": _WIDTH,
    "d_ff": _WIDTH,
    "num_layers": _COUNT,
    "num_heads": _COUNT,
}
_SHIFT = between(1e-3, 100)
SCHEDULER: Schema = {"flow_shift": either(_SHIFT), "shift": either(_SHIFT), "_class_name": text}
