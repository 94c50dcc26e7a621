"""The schemas for the configs of the networks and the scheduler: keys that determine sizes or are read here."""

from __future__ import annotations

from redetail.documents import text, truth
from redetail.engines.config import Schema, between, either, several, whole

_COUNT, _WIDTH = whole(1, 256), whole(1, 2**17)
_COUNTS, _WIDTHS = several(whole(0, 256), 16), several(_WIDTH, 16)
NETWORK: Schema = {
    "block_out_channels": _WIDTHS,
    "encoder_block_out_channels": _WIDTHS,
    "decoder_block_out_channels": _WIDTHS,
    "down_block_types": several(text, 16),
    "up_block_types": several(text, 16),
    "layers_per_block": either(_COUNT, _COUNTS),
    "transformer_layers_per_block": either(_COUNT, several(either(whole(0, 256), _COUNTS), 16)),
    "attention_head_dim": either(_WIDTH, _WIDTHS),
    "num_attention_heads": either(_COUNT, _COUNTS),
    "cross_attention_dim": either(_WIDTH, _WIDTHS),
    "norm_num_groups": either(_WIDTH),
    "in_channels": _WIDTH,
    "out_channels": _WIDTH,
    "latent_channels": _WIDTH,
    "conv_in_channels": either(_WIDTH),
    "addition_embed_type": either(text),
    "addition_time_embed_dim": either(_WIDTH),
    "projection_class_embeddings_input_dim": either(_WIDTH),
    "scaling_factor": between(1e-6, 1e6),
    "shift_factor": either(between(-1e6, 1e6)),
    "motion_layers_per_block": either(_COUNT, _COUNTS),
    "motion_num_attention_heads": either(_COUNT, _COUNTS),
    "motion_max_seq_length": whole(1, 4096),
    "hidden_size": _WIDTH,
    "intermediate_size": _WIDTH,
    "projection_dim": _WIDTH,
    "num_hidden_layers": _COUNT,
    "vocab_size": whole(1, 10_000_000),
    "max_position_embeddings": _WIDTH,
}
SCHEDULER: Schema = {
    "beta_schedule": text,
    "beta_start": between(0, 1),
    "beta_end": between(0, 1),
    "num_train_timesteps": whole(2, 100_000),
    "prediction_type": text,
    "rescale_betas_zero_snr": either(truth),
}
