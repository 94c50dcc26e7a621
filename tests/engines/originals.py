"""Files in the layouts in which weights are published, written from the layouts themselves: thin, with seeded values.

The shapes follow the published code (CompVis' latent diffusion, AnimateDiff), not the code under test. Widths are
multiples of 32, since the original layers normalise in 32 groups; eight attention heads, as all of these models have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]
WIDTHS, TEXT_WIDTH = (32, 64, 64, 64), 64
WIDTHS_XL = (32, 64, 128)
TEXTS_XL = ("conditioner.embedders.0.transformer.text_model.", "conditioner.embedders.1.model.")
UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer.text_model."


def filled(
    shapes: Mapping[str, tuple[int, ...]], seed: int = 0, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """Values that keep activations near one: scaled by the inputs of each layer, norms near identity."""
    generator = torch.Generator().manual_seed(seed)
    return {name: _values(name, shape, generator).to(dtype) for name, shape in shapes.items()}


def _values(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if name.endswith((".pe", "positional_encoding")):
        return sinusoids(shape[1], shape[2])
    values = torch.randn(shape, generator=generator)
    if len(shape) >= 2:
        return values / math.sqrt(math.prod(shape[1:])) if "embedding" not in name else values * 0.02
    return 1 + 0.1 * values if "norm" in name and name.endswith("weight") else 0.05 * values


def sinusoids(length: int, width: int) -> Tensor:
    """(1, length, width) positions as "Attention is all you need" defines them."""
    angles = torch.arange(length)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    return torch.stack([angles.sin(), angles.cos()], -1).reshape(1, length, width)


def save(path: Path, tensors: Mapping[str, Tensor]) -> Path:
    """As .safetensors, or as a PyTorch checkpoint with its ``state_dict``, by the suffix."""
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(dict(tensors), path)
    else:
        torch.save({"state_dict": dict(tensors), "global_step": 1000}, path)
    return path


def sd1_shapes(widths: tuple[int, ...] = WIDTHS, context: int = TEXT_WIDTH, in_channels: int = 4) -> Shapes:
    """A whole Stable Diffusion 1.x checkpoint."""
    shapes = unet_shapes(widths, context, in_channels=in_channels) | vae_shapes() | clip_shapes(context)
    return shapes | {"model_ema.decay": (), "betas": (1000,), "alphas_cumprod": (1000,)}


def unet_shapes(
    widths: tuple[int, ...] = WIDTHS,
    context: int = TEXT_WIDTH,
    *,
    in_channels: int = 4,
    layers: int = 2,
    linear: bool = False,
    label: int = 0,
    depths: tuple[int, ...] = (),
    prefix: str = UNET,
) -> Shapes:
    """openaimodel.UNetModel; ``depths``: transformer layers of each level, else one in all levels but the last."""
    first, time = widths[0], 4 * widths[0]
    shapes: Shapes = {}
    depths = depths or tuple(int(level < len(widths) - 1 or len(widths) == 1) for level in range(len(widths)))

    def attended(level: int) -> bool:
        return depths[level] > 0

    shapes |= layer("time_embed.0", (time, first)) | layer("time_embed.2", (time, time))
    if label:
        shapes |= layer("label_emb.0.0", (time, label)) | layer("label_emb.0.2", (time, time))
    shapes |= layer("input_blocks.0.0", (first, in_channels, 3, 3))
    skips, index, width = [first], 1, first
    for level, out in enumerate(widths):
        for _ in range(layers):
            shapes |= _res(f"input_blocks.{index}.0", width, out, time)
            if attended(level):
                shapes |= _spatial(f"input_blocks.{index}.1", out, context, linear, depths[level])
            skips, index, width = [*skips, out], index + 1, out
        if level < len(widths) - 1:
            shapes |= layer(f"input_blocks.{index}.0.op", (out, out, 3, 3))
            skips, index = [*skips, out], index + 1
    shapes |= _res("middle_block.0", width, width, time) | _res("middle_block.2", width, width, time)
    shapes |= _spatial("middle_block.1", width, context, linear, depths[-1] or 1)
    index = 0
    for level in reversed(range(len(widths))):
        for position in range(layers + 1):
            shapes |= _res(f"output_blocks.{index}.0", width + skips.pop(), widths[level], time)
            width = widths[level]
            if attended(level):
                shapes |= _spatial(f"output_blocks.{index}.1", width, context, linear, depths[level])
            if level and position == layers:
                shapes |= layer(f"output_blocks.{index}.{1 + attended(level)}.conv", (width, width, 3, 3))
            index += 1
    shapes |= layer("out.0", (width,)) | layer("out.2", (4, width, 3, 3))
    return {prefix + name: shape for name, shape in shapes.items()}


def vae_shapes(widths: tuple[int, ...] = (32, 32, 32, 32), layers: int = 2, prefix: str = VAE) -> Shapes:
    """autoencoder.AutoencoderKL with four latent channels."""
    shapes = layer("encoder.conv_in", (widths[0], 3, 3, 3))
    width = widths[0]
    for level, out in enumerate(widths):
        for block in range(layers):
            shapes |= _vae_res(f"encoder.down.{level}.block.{block}", width, out)
            width = out
        if level < len(widths) - 1:
            shapes |= layer(f"encoder.down.{level}.downsample.conv", (out, out, 3, 3))
    shapes |= _vae_middle("encoder", width) | layer("encoder.norm_out", (width,))
    shapes |= layer("encoder.conv_out", (8, width, 3, 3)) | layer("quant_conv", (8, 8, 1, 1))
    shapes |= layer("post_quant_conv", (4, 4, 1, 1)) | layer("decoder.conv_in", (width, 4, 3, 3))
    shapes |= _vae_middle("decoder", width)
    for level in reversed(range(len(widths))):
        for block in range(layers + 1):
            shapes |= _vae_res(f"decoder.up.{level}.block.{block}", width, widths[level])
            width = widths[level]
        if level:
            shapes |= layer(f"decoder.up.{level}.upsample.conv", (width, width, 3, 3))
    shapes |= layer("decoder.norm_out", (width,)) | layer("decoder.conv_out", (3, width, 3, 3))
    return {prefix + name: shape for name, shape in shapes.items()}


def clip_shapes(width: int = TEXT_WIDTH, layers: int = 2, vocabulary: int = 49408, prefix: str = TEXT) -> Shapes:
    """CLIP's text model, four times as wide inside."""
    shapes: Shapes = {
        "embeddings.token_embedding.weight": (vocabulary, width),
        "embeddings.position_embedding.weight": (77, width),
        "embeddings.position_ids": (1, 77),
    }
    for index in range(layers):
        name = f"encoder.layers.{index}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= layer(f"{name}.self_attn.{part}", (width, width))
        shapes |= layer(f"{name}.mlp.fc1", (4 * width, width)) | layer(f"{name}.mlp.fc2", (width, 4 * width))
        shapes |= layer(f"{name}.layer_norm1", (width,)) | layer(f"{name}.layer_norm2", (width,))
    shapes |= layer("final_layer_norm", (width,))
    return {prefix + name: shape for name, shape in shapes.items()}


def open_clip_shapes(
    width: int = 64, layers: int = 2, pooled: int = 32, vocabulary: int = 49408, prefix: str = TEXTS_XL[1]
) -> Shapes:
    """OpenCLIP's text model with its projection."""
    shapes: Shapes = {
        "token_embedding.weight": (vocabulary, width),
        "positional_embedding": (77, width),
        "text_projection": (width, pooled),
        "logit_scale": (),
    }
    for index in range(layers):
        name = f"transformer.resblocks.{index}"
        shapes |= {f"{name}.attn.in_proj_weight": (3 * width, width), f"{name}.attn.in_proj_bias": (3 * width,)}
        shapes |= layer(f"{name}.attn.out_proj", (width, width))
        shapes |= layer(f"{name}.mlp.c_fc", (4 * width, width)) | layer(f"{name}.mlp.c_proj", (width, 4 * width))
        shapes |= layer(f"{name}.ln_1", (width,)) | layer(f"{name}.ln_2", (width,))
    shapes |= layer("ln_final", (width,))
    return {prefix + name: shape for name, shape in shapes.items()}


def sdxl_shapes(
    widths: tuple[int, ...] = WIDTHS_XL,
    texts: tuple[int, int] = (64, 96),
    pooled: int = 32,
    *,
    layers: int = 2,
    in_channels: int = 4,
    depths: tuple[int, ...] = (0, 1, 2),
    vae: tuple[int, ...] = (32, 32, 32, 32),
) -> Shapes:
    """A whole Stable Diffusion XL checkpoint: sizes become 6 * 256 features beside the pooled text."""
    shapes = unet_shapes(
        widths, sum(texts), in_channels=in_channels, layers=layers, linear=True, label=pooled + 1536, depths=depths
    )
    shapes |= vae_shapes(vae, 1 + (layers > 1)) | clip_shapes(texts[0], 2, prefix=TEXTS_XL[0])
    return shapes | open_clip_shapes(texts[1], 2, pooled)


def thinnest_sdxl_shapes() -> Shapes:
    """The fewest numbers that are still recognised as Stable Diffusion XL."""
    return sdxl_shapes((32, 32, 32), (32, 32), layers=1, depths=(0, 1, 1), vae=(32, 32))


def motion_shapes(
    version: str = "v2", widths: tuple[int, ...] = WIDTHS, *, layers: int = 2, limit: int | None = None
) -> Shapes:
    """AnimateDiff "v1", "v2", "v3", "lcm" (no positions) or "sdxl"; with three widths for the latter."""
    length = limit or {"v1": 24, "lcm": 0}.get(version, 32)
    shapes: Shapes = {}
    for level, width in enumerate(widths):
        for index in range(layers):
            shapes |= _temporal(f"down_blocks.{level}.motion_modules.{index}", width, length)
    for level, width in enumerate(reversed(widths)):
        for index in range(layers + 1):
            shapes |= _temporal(f"up_blocks.{level}.motion_modules.{index}", width, length)
    if version in ("v2", "lcm"):
        shapes |= _temporal("mid_block.motion_modules.0", widths[-1], length)
    return shapes


def motion_lora_shapes(rank: int = 4, widths: tuple[int, ...] = WIDTHS, layers: int = 2) -> Shapes:
    """A motion LoRA as AnimateDiff publishes them: pairs for every projection of v2's temporal attention."""
    shapes: Shapes = {}
    for name, shape in motion_shapes("v1", widths, layers=layers).items():
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            if name.endswith(f".{part}.weight"):
                stem = f"{name.removesuffix(f'.{part}.weight')}.processor.{part.removesuffix('.0')}_lora"
                shapes |= {f"{stem}.down.weight": (rank, shape[1]), f"{stem}.up.weight": (shape[0], rank)}
    return shapes


def control_shapes(prefix: str = "", **options: Any) -> Shapes:
    """cldm.ControlNet: the first half of the UNet, the hint's block and a convolution for each output."""
    unet = unet_shapes(prefix="", **options)
    shapes = {name: shape for name, shape in unet.items() if not name.startswith(("output_blocks.", "out."))}
    width, channels = shapes["input_blocks.0.0.weight"][0], (3, 16, 16, 32, 32, 96, 96, 256)
    for index, (given, made) in enumerate(zip(channels, (*channels[1:], width), strict=True)):
        shapes |= layer(f"input_hint_block.{2 * index}", (made, given, 3, 3))
    for index in range(len({name.split(".")[1] for name in shapes if name.startswith("input_blocks.")})):
        last = [s for n, s in shapes.items() if n.startswith(f"input_blocks.{index}.0.") and len(s) == 4]
        made = last[0][0]
        shapes |= layer(f"zero_convs.{index}.0", (made, made, 1, 1))
    last_width = shapes["middle_block.0.in_layers.0.weight"][0]
    shapes |= layer("middle_block_out.0", (last_width, last_width, 1, 1))
    return {prefix + name: shape for name, shape in shapes.items()}


def layer(name: str, weight: tuple[int, ...]) -> Shapes:
    """Weight and bias."""
    return {f"{name}.weight": weight, f"{name}.bias": weight[:1]}


def _res(name: str, width: int, out: int, time: int) -> Shapes:
    shapes = layer(f"{name}.in_layers.0", (width,)) | layer(f"{name}.in_layers.2", (out, width, 3, 3))
    shapes |= layer(f"{name}.emb_layers.1", (out, time)) | layer(f"{name}.out_layers.0", (out,))
    shapes |= layer(f"{name}.out_layers.3", (out, out, 3, 3))
    return shapes | (layer(f"{name}.skip_connection", (out, width, 1, 1)) if width != out else {})


def _spatial(name: str, width: int, context: int, linear: bool, depth: int = 1) -> Shapes:
    around = (width, width) if linear else (width, width, 1, 1)
    shapes = layer(f"{name}.norm", (width,)) | layer(f"{name}.proj_in", around) | layer(f"{name}.proj_out", around)
    for index in range(depth):
        shapes |= _transformer(f"{name}.transformer_blocks.{index}", width, {"attn1": width, "attn2": context})
    return shapes


def _transformer(name: str, width: int, attentions: Mapping[str, int]) -> Shapes:
    shapes: Shapes = {}
    for attention, context in attentions.items():
        shapes |= {f"{name}.{attention}.to_q.weight": (width, width)}
        shapes |= {f"{name}.{attention}.{part}.weight": (width, context) for part in ("to_k", "to_v")}
        shapes |= layer(f"{name}.{attention}.to_out.0", (width, width))
    shapes |= layer(f"{name}.ff.net.0.proj", (8 * width, width)) | layer(f"{name}.ff.net.2", (width, 4 * width))
    for index in (1, 2, 3):
        shapes |= layer(f"{name}.norm{index}", (width,))
    return shapes


def _temporal(name: str, width: int, length: int) -> Shapes:
    stem = f"{name}.temporal_transformer"
    shapes = layer(f"{stem}.norm", (width,)) | layer(f"{stem}.proj_in", (width, width))
    shapes |= layer(f"{stem}.proj_out", (width, width))
    block = f"{stem}.transformer_blocks.0"
    names = {f"attention_blocks.{index}": width for index in (0, 1)}
    inner = _transformer(block, width, names)
    renamed = {"norm1": "norms.0", "norm2": "norms.1", "norm3": "ff_norm"}
    for old, new in renamed.items():
        for kind in ("weight", "bias"):
            inner[f"{block}.{new}.{kind}"] = inner.pop(f"{block}.{old}.{kind}")
    if length:
        inner |= {f"{block}.{attention}.pos_encoder.pe": (1, length, width) for attention in names}
    return shapes | inner


def _vae_res(name: str, width: int, out: int) -> Shapes:
    shapes = layer(f"{name}.norm1", (width,)) | layer(f"{name}.conv1", (out, width, 3, 3))
    shapes |= layer(f"{name}.norm2", (out,)) | layer(f"{name}.conv2", (out, out, 3, 3))
    return shapes | (layer(f"{name}.nin_shortcut", (out, width, 1, 1)) if width != out else {})


def _vae_middle(name: str, width: int) -> Shapes:
    shapes = _vae_res(f"{name}.mid.block_1", width, width) | _vae_res(f"{name}.mid.block_2", width, width)
    shapes |= layer(f"{name}.mid.attn_1.norm", (width,))
    for part in ("q", "k", "v", "proj_out"):
        shapes |= layer(f"{name}.mid.attn_1.{part}", (width, width, 1, 1))
    return shapes
