"""A checkpoint in the layout of Stable Diffusion 1.5 with random values: small, yet ComfyUI loads and samples it.

Layer names are those of the published checkpoints. The network has the widths of 1.5 (that is how its kind is told) but
as few levels as asked for; the codec is a tiny autoencoder (TAESD); there is no text encoder.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

Shapes = Iterator[tuple[str, tuple[int, ...]]]
WIDTH, EMBEDDING, TEXT = 320, 1280, 768


def write_checkpoint(path: Path, widths: Sequence[int] = (1,), blocks: int = 1, attention: int = 1) -> None:
    """``widths``: of the levels, in multiples of 320; ``blocks`` a level; ``attention``: levels that have it."""
    shapes = {f"model.diffusion_model.{name}": shape for name, shape in network(widths, blocks, attention)}
    shapes |= {f"first_stage_model.taesd_encoder.{name}": shape for name, shape in tiny_encoder()}
    shapes |= {f"first_stage_model.taesd_decoder.{name}": shape for name, shape in tiny_decoder()}
    generator = np.random.default_rng(0)
    values = {name: random_values(name, shape, generator) for name, shape in shapes.items()}
    values["first_stage_model.vae_scale"] = np.ones((), np.float32)
    values["first_stage_model.vae_shift"] = np.zeros((), np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(values, path)


def random_values(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.float16]:
    """Scaled so that what comes out of a layer is about as large as what went in."""
    if len(shape) == 1:
        return np.full(shape, float(name.endswith(".weight")), np.float16)
    fan_in = math.prod(shape[1:])
    return (generator.standard_normal(shape, np.float32) / math.sqrt(fan_in)).astype(np.float16)


def network(widths: Sequence[int], blocks: int, attention: int) -> Shapes:
    sizes = [WIDTH * width for width in widths]
    yield from linear("time_embed.0", EMBEDDING, WIDTH)
    yield from linear("time_embed.2", EMBEDDING, EMBEDDING)
    yield from convolution("input_blocks.0.0", WIDTH, 4)
    size, number, kept = WIDTH, 1, [WIDTH]
    for level, width in enumerate(sizes):
        for _ in range(blocks):
            yield from block(f"input_blocks.{number}", size, width, level < attention)
            size, number = width, number + 1
            kept.append(size)
        if level < len(sizes) - 1:
            yield from convolution(f"input_blocks.{number}.0.op", size, size)
            number += 1
            kept.append(size)
    yield from residual("middle_block.0", size, size)
    if attention >= len(sizes):
        yield from transformer("middle_block.1", size)
        yield from residual("middle_block.2", size, size)
    number = 0
    for level in reversed(range(len(sizes))):
        for index in range(blocks + 1):
            yield from block(f"output_blocks.{number}", size + kept.pop(), sizes[level], level < attention)
            size = sizes[level]
            if level > 0 and index == blocks:
                yield from convolution(f"output_blocks.{number}.{1 + (level < attention)}.conv", size, size)
            number += 1
    yield from norm("out.0", WIDTH)
    yield from convolution("out.2", 4, WIDTH)


def block(name: str, size: int, width: int, attention: bool) -> Shapes:
    yield from residual(f"{name}.0", size, width)
    if attention:
        yield from transformer(f"{name}.1", width)


def residual(name: str, size: int, width: int) -> Shapes:
    yield from norm(f"{name}.in_layers.0", size)
    yield from convolution(f"{name}.in_layers.2", width, size)
    yield from linear(f"{name}.emb_layers.1", width, EMBEDDING)
    yield from norm(f"{name}.out_layers.0", width)
    yield from convolution(f"{name}.out_layers.3", width, width)
    if size != width:
        yield from convolution(f"{name}.skip_connection", width, size, 1)


def transformer(name: str, size: int) -> Shapes:
    yield from norm(f"{name}.norm", size)
    yield from convolution(f"{name}.proj_in", size, size, 1)
    inner = f"{name}.transformer_blocks.0"
    for attention, source in (("attn1", size), ("attn2", TEXT)):
        yield f"{inner}.{attention}.to_q.weight", (size, size)
        yield f"{inner}.{attention}.to_k.weight", (size, source)
        yield f"{inner}.{attention}.to_v.weight", (size, source)
        yield from linear(f"{inner}.{attention}.to_out.0", size, size)
    for number in (1, 2, 3):
        yield from norm(f"{inner}.norm{number}", size)
    yield from linear(f"{inner}.ff.net.0.proj", 8 * size, size)
    yield from linear(f"{inner}.ff.net.2", size, 4 * size)
    yield from convolution(f"{name}.proj_out", size, size, 1)


def tiny_encoder() -> Shapes:
    yield from convolution("0", 64, 3)
    yield from tiny_blocks(1)
    for number in (2, 6, 10):
        yield f"{number}.weight", (64, 64, 3, 3)
        for offset in (1, 2, 3):
            yield from tiny_blocks(number + offset)
    yield from convolution("14", 4, 64)


def tiny_decoder() -> Shapes:
    yield from convolution("1", 64, 4)
    for number in (3, 8, 13):
        for offset in (0, 1, 2):
            yield from tiny_blocks(number + offset)
        yield f"{number + 4}.weight", (64, 64, 3, 3)
    yield from tiny_blocks(18)
    yield from convolution("19", 3, 64)


def tiny_blocks(number: int) -> Shapes:
    for layer in (0, 2, 4):
        yield from convolution(f"{number}.conv.{layer}", 64, 64)


def norm(name: str, size: int) -> Shapes:
    yield f"{name}.weight", (size,)
    yield f"{name}.bias", (size,)


def linear(name: str, out: int, size: int) -> Shapes:
    yield f"{name}.weight", (out, size)
    yield f"{name}.bias", (out,)


def convolution(name: str, out: int, size: int, kernel: int = 3) -> Shapes:
    yield f"{name}.weight", (out, size, kernel, kernel)
    yield f"{name}.bias", (out,)
