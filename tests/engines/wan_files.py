"""Wan's parts in single files, written from the published layouts: thin, with seeded values.

Widths are small multiples of what no tensor shows: heads of 128 features, 16 latent channels, four stages of the VAE
with two blocks each.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from tests.engines.originals import Shapes, filled, layer, save

WIDTH, TEXT, FFN, FREQUENCIES, LAYERS = 256, 32, 64, 32, 2
VAE_WIDTHS = (4, 8, 16, 16)
COMFY = "model.diffusion_model."
SENTENCES = (
    "a face of a woman with sharp eyes", "portrait photo, detailed skin, 85mm", "Ein Gesicht mit scharfen Augen",
    "the quick brown fox jumps over the lazy dog", "bad hands, blurry, low quality",
)  # fmt: skip


def transformer_shapes(prefix: str = "", *, width: int = WIDTH, channels: int = 16) -> Shapes:
    """Wan-Video's WanModel for text to video."""
    shapes: Shapes = {
        "patch_embedding.weight": (width, channels, 1, 2, 2), "patch_embedding.bias": (width,),
        **layer("text_embedding.0", (width, TEXT)), **layer("text_embedding.2", (width, width)),
        **layer("time_embedding.0", (width, FREQUENCIES)), **layer("time_embedding.2", (width, width)),
        **layer("time_projection.1", (6 * width, width)),
        **layer("head.head", (4 * 16, width)), "head.modulation": (1, 2, width),
    }  # fmt: skip
    for index in range(LAYERS):
        block = f"blocks.{index}"
        for attention in ("self_attn", "cross_attn"):
            for part in "qkvo":
                shapes |= layer(f"{block}.{attention}.{part}", (width, width))
            shapes |= {f"{block}.{attention}.norm_{part}.weight": (width,) for part in "qk"}
        shapes |= layer(f"{block}.norm3", (width,)) | {f"{block}.modulation": (1, 6, width)}
        shapes |= layer(f"{block}.ffn.0", (FFN, width)) | layer(f"{block}.ffn.2", (width, FFN))
    return {prefix + name: shape for name, shape in shapes.items()}


def vae_shapes() -> Shapes:
    """Wan-Video's WanVAE: the layers of all stages in one list."""
    first, *_, last = VAE_WIDTHS
    shapes = layer("conv1", (32, 32, 1, 1, 1)) | layer("conv2", (16, 16, 1, 1, 1))
    shapes |= layer("encoder.conv1", (first, 3, 3, 3, 3)) | layer("decoder.conv1", (last, 16, 3, 3, 3))
    width, place = first, 0
    for stage, out in enumerate(VAE_WIDTHS):
        for _ in range(2):
            shapes |= _residual(f"encoder.downsamples.{place}", width, out)
            width, place = out, place + 1
        if stage < 3:
            shapes |= layer(f"encoder.downsamples.{place}.resample.1", (width, width, 3, 3))
            if stage > 0:
                shapes |= layer(f"encoder.downsamples.{place}.time_conv", (width, width, 3, 1, 1))
            place += 1
    place = 0
    for stage, out in enumerate(reversed(VAE_WIDTHS)):
        for _ in range(3):
            shapes |= _residual(f"decoder.upsamples.{place}", width, out)
            width, place = out, place + 1
        if stage < 3:
            shapes |= layer(f"decoder.upsamples.{place}.resample.1", (width // 2, width, 3, 3))
            if stage < 2:
                shapes |= layer(f"decoder.upsamples.{place}.time_conv", (2 * width, width, 3, 1, 1))
            width, place = width // 2, place + 1
    for half, width, out in (("encoder", last, 32), ("decoder", first, 3)):
        for index in (0, 2):
            shapes |= _residual(f"{half}.middle.{index}", last, last)
        shapes |= {f"{half}.middle.1.norm.gamma": (last, 1, 1)}
        shapes |= layer(f"{half}.middle.1.to_qkv", (3 * last, last, 1, 1)) | layer(
            f"{half}.middle.1.proj", (last, last, 1, 1)
        )
        shapes |= {f"{half}.head.0.gamma": (width, 1, 1, 1)} | layer(f"{half}.head.2", (out, width, 3, 3, 3))
    return shapes


def text_shapes(vocabulary: int = 64) -> Shapes:
    """UMT5's encoder in the names of transformers, as ComfyUI ships it."""
    shapes: Shapes = {"shared.weight": (vocabulary, TEXT), "encoder.final_layer_norm.weight": (TEXT,)}
    for index in range(LAYERS):
        attention, dense = f"encoder.block.{index}.layer.0", f"encoder.block.{index}.layer.1"
        shapes |= {f"{attention}.SelfAttention.{part}.weight": (TEXT, TEXT) for part in "qkvo"}
        shapes |= {f"{attention}.SelfAttention.relative_attention_bias.weight": (32, 4)}
        shapes |= {f"{attention}.layer_norm.weight": (TEXT,), f"{dense}.layer_norm.weight": (TEXT,)}
        shapes |= {f"{dense}.DenseReluDense.{part}.weight": (48, TEXT) for part in ("wi_0", "wi_1")}
        shapes |= {f"{dense}.DenseReluDense.wo.weight": (TEXT, 48)}
    return shapes


@cache
def sentencepiece_model() -> bytes:
    """A SentencePiece model with the special tokens of T5, trained on a few sentences."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 4), model_writer=model, vocab_size=64, pad_id=0, eos_id=1, unk_id=2,
        bos_id=-1, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    return model.getvalue()


def transformer_tensors(prefix: str = "", seed: int = 0) -> dict[str, Tensor]:
    return filled(transformer_shapes(prefix), seed)


def vae_tensors(seed: int = 1) -> dict[str, Tensor]:
    tensors = filled(vae_shapes(), seed)
    return {name: 1 + 0.1 * tensor if name.endswith("gamma") else tensor for name, tensor in tensors.items()}


def text_tensors(seed: int = 2) -> dict[str, Tensor]:
    spiece = torch.frombuffer(bytearray(sentencepiece_model()), dtype=torch.uint8)
    return {**filled(text_shapes(), seed), "spiece_model": spiece}


def write_wan_files(folder: Path, prefix: str = COMFY, **parts: Mapping[str, Tensor]) -> dict[str, Path]:
    """Transformer, VAE and text encoder as the fields of a ModelSpec; ``parts`` replace tensors of a file."""
    tensors: dict[str, Mapping[str, Tensor]] = {
        "checkpoint": transformer_tensors(prefix), "vae": vae_tensors(), "text_encoder": text_tensors(), **parts
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    return {name: save(folder / f"{name}.safetensors", one) for name, one in tensors.items()}


def _residual(name: str, width: int, out: int) -> Shapes:
    shapes: Shapes = {f"{name}.residual.0.gamma": (width, 1, 1, 1), f"{name}.residual.3.gamma": (out, 1, 1, 1)}
    shapes |= layer(f"{name}.residual.2", (out, width, 3, 3, 3)) | layer(f"{name}.residual.6", (out, out, 3, 3, 3))
    return shapes | (layer(f"{name}.shortcut", (out, width, 1, 1, 1)) if width != out else {})
