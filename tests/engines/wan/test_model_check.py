"""``models check`` on Wan's own network, trained for seconds on the latents of a clip, and on faults planted in it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from redetail.engines.base import CropSource
from redetail.engines.device import place
from redetail.engines.model_check import check_model
from redetail.engines.wan.network import Experts, WanModel
from redetail.engines.wan.parts import open_text, open_transformer
from redetail.engines.wan.text import WanText
from tests.engines import wan_files
from tests.engines.originals import filled, save
from tests.engines.trained_like import BlockCodec, around, clip

WIDTH = 128
Tensors = dict[str, Tensor]


def original(seed: int = 0) -> Tensors:
    """A transformer whose residual stream starts with its input and ends with its output."""
    tensors = filled(wan_files.transformer_shapes(width=WIDTH), seed)
    for name, tensor in tensors.items():
        if "attn.o." in name or "ffn.2." in name:
            tensors[name] = tensor * 0.1
    return tensors


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A transformer that denoises: 150 steps of Adam on pieces of the clip's latents."""
    folder = tmp_path_factory.mktemp("trained")
    network = open_transformer(save(folder / "wan.safetensors", original())).load(place("cpu", "float32"))
    network.requires_grad_(True)
    latents = BlockCodec().encode(CropSource.of(clip(9, 96)), lambda: None).movedim(0, 1)
    generator = torch.Generator().manual_seed(5)
    adam = torch.optim.Adam(network.parameters(), 2e-3, betas=(0.9, 0.99), fused=True)
    text = torch.zeros(2, 4, wan_files.TEXT)
    steps = 150

    def drawn() -> tuple[Tensor, Tensor, float]:
        """A piece of the clip, or nothing for one in ten; noise; and how much of it."""
        y, x, f = (int(torch.randint(0, end, (1,), generator=generator)) for end in (9, 9, 8))
        clean = latents[:, f : f + 2, y : y + 4, x : x + 4]
        noise = torch.randn(clean.shape, generator=generator)
        sigma = float(torch.rand((), generator=generator)) * 0.85 + 0.05
        return clean * (float(torch.rand((), generator=generator)) >= 0.1), noise, sigma

    for step in range(steps):
        adam.param_groups[0]["lr"] = 2e-3 * min(1.0, 2 * (1 - step / steps))
        clean, noise, level = zip(drawn(), drawn(), strict=True)
        known, added, sigmas = torch.stack(clean), torch.stack(noise), torch.tensor(level)
        sigma = sigmas.view(-1, 1, 1, 1, 1)
        made = network((1 - sigma) * known + sigma * added, 1000 * sigmas, text, return_dict=False)[0]
        adam.zero_grad()
        ((made - (added - known)).square() * sigma).mean().backward()
        adam.step()
    return network.requires_grad_(False)


def faults(network: Any, folder: Path, codec: BlockCodec | None = None, text: Tensors | None = None) -> tuple[str, ...]:
    part = open_text(save(folder / "text.safetensors", text or wan_files.text_tensors()))
    reader = WanText(part.tokenizer(), part.network.load(place("cpu", "float32")))
    model = WanModel(Experts([network], [()]), reader, 1.0)
    found = check_model(around(codec or BlockCodec(), model), clip(9, 64))
    return found.faults or tuple(f"{measure}" for measure in found.measures if not measure.right)


def test_it_passes(trained: Any, tmp_path: Path) -> None:
    assert faults(trained, tmp_path) == ()


def test_swapped_keys_are_named(trained: Any, tmp_path: Path) -> None:
    """Layers of one shape in each other's places, and rows of the last one in another order."""
    other = copy.deepcopy(trained)
    one, two = other.condition_embedder.time_embedder.linear_2, other.condition_embedder.text_embedder.linear_2
    one.weight.data, two.weight.data = two.weight.data, one.weight.data
    other.proj_out.weight.data = other.proj_out.weight.data.roll(1, 0)
    assert "mixed-up keys" in faults(other, tmp_path)[0]


def test_a_layer_of_zeros_is_named(trained: Any, tmp_path: Path) -> None:
    other = copy.deepcopy(trained)
    other.blocks[1].ffn.net[2].weight.data.zero_()
    assert "The layer blocks.1.ffn.net.2.weight of the transformer is all zeros" in faults(other, tmp_path)[0]


def test_another_vae_is_named(trained: Any, tmp_path: Path) -> None:
    assert "the VAE belongs to another model" in faults(trained, tmp_path, BlockCodec(mixed=True))[0]


def test_an_overflow_is_named(trained: Any, tmp_path: Path) -> None:
    other = copy.deepcopy(trained)
    other.blocks[0].ffn.net[2].bias.data += 1e38
    other.blocks[1].ffn.net[2].bias.data += 3e38
    assert "The network overflows" in faults(other, tmp_path)[0]


def test_a_text_encoder_without_attention_is_named(trained: Any, tmp_path: Path) -> None:
    tensors = wan_files.text_tensors()
    dead = {name: torch.full_like(tensor, 1e-12) for name, tensor in tensors.items() if "SelfAttention.o." in name}
    assert "does not respond to words: it is truncated" in faults(trained, tmp_path, text={**tensors, **dead})[0]
