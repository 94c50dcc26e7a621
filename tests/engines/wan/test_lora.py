"""LoRA for Wan in every published layout: the same change of the weights, and what does not fit is named."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from redetail.engines import load_engine
from redetail.engines.device import place
from redetail.engines.files import identify
from redetail.engines.spec import ModelSpec, WeightedFile
from redetail.engines.wan.lora import lora_mixer
from redetail.engines.wan.parts import open_transformer
from redetail.errors import ModelError
from tests.engines import wan_files
from tests.engines.originals import save
from tests.engines.wan.test_engine import clip, enhanced
from tests.engines.wan_files import WIDTH, write_wan_files

RANK, ALPHA = 4, 2.0
LAYERS = {
    "blocks.0.self_attn.q": "blocks.0.attn1.to_q", "blocks.1.cross_attn.o": "blocks.1.attn2.to_out.0",
    "blocks.1.ffn.0": "blocks.1.ffn.net.0.proj", "time_projection.1": "condition_embedder.time_proj",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1", "head.head": "proj_out",
}  # fmt: skip


def pairs() -> dict[str, tuple[Tensor, Tensor]]:
    """Down and up of every layer, by the name that Wan's authors give it."""
    shapes, generator = wan_files.transformer_shapes(), torch.Generator().manual_seed(6)
    return {
        layer: (
            torch.randn(RANK, shapes[f"{layer}.weight"][1], generator=generator),
            torch.randn(shapes[f"{layer}.weight"][0], RANK, generator=generator) * 0.02,
        )
        for layer in LAYERS
    }


def lightx2v() -> dict[str, Tensor]:
    found = {}
    for layer, (down, up) in pairs().items():
        found |= {f"diffusion_model.{layer}.lora_down.weight": down, f"diffusion_model.{layer}.lora_up.weight": up}
        found |= {f"diffusion_model.{layer}.alpha": torch.tensor(ALPHA)}
    return found


def kohya() -> dict[str, Tensor]:
    found = {}
    for layer, (down, up) in pairs().items():
        flat = f"lora_unet_{layer.replace('.', '_')}"
        found |= {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up, f"{flat}.alpha": torch.tensor(ALPHA)}
    return found


def diffusers_layout() -> dict[str, Tensor]:
    """Without an alpha: the scale is in the numbers."""
    found = {}
    for layer, (down, up) in pairs().items():
        name = f"transformer.{LAYERS[layer]}"
        found |= {f"{name}.lora_A.weight": down * (ALPHA / RANK), f"{name}.lora_B.weight": up}
    return found


@pytest.fixture
def transformer(tmp_path: Path) -> Any:
    path = save(tmp_path / "wan.safetensors", wan_files.transformer_tensors())
    return open_transformer(path).load(place("cpu", "float32"))


def state(transformer: Any) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in transformer.state_dict().items()}


@pytest.mark.parametrize("layout", [lightx2v, kohya, diffusers_layout])
def test_every_layout_adds_the_same(
    transformer: Any, tmp_path: Path, layout: Callable[[], dict[str, Tensor]], caplog: pytest.LogCaptureFixture
) -> None:
    """W + strength * alpha / rank * up @ down (Hu et al. 2021)."""
    path = save(tmp_path / "lora.safetensors", layout())
    facts = identify(path)
    assert (facts.kind, facts.base, facts.option, facts.details["rank"]) == ("lora", "wan", "--lora", RANK)
    before = state(transformer)
    lora_mixer(transformer).use([WeightedFile(path, 0.5)])
    after = transformer.state_dict()
    for layer, (down, up) in pairs().items():
        name = f"{LAYERS[layer]}.weight"
        torch.testing.assert_close(after[name], before[name] + 0.5 * ALPHA / RANK * up @ down)
    changed = {f"{name}.weight" for name in LAYERS.values()}
    assert all(torch.equal(after[name], before[name]) for name in before.keys() - changed)
    assert not caplog.records


def test_it_adds_what_diffusers_makes_of_the_file(transformer: Any, tmp_path: Path) -> None:
    from diffusers.loaders.lora_conversion_utils import _convert_non_diffusers_wan_lora_to_diffusers as convert

    blocks = {name: tensor for name, tensor in lightx2v().items() if "blocks" in name}
    path = save(tmp_path / "lora.safetensors", blocks)
    before = state(transformer)
    lora_mixer(transformer).use([WeightedFile(path)])
    pieces = convert(blocks)
    downs = [name for name in pieces if name.endswith("lora_A.weight")]
    assert len(downs) == 3
    for down in downs:
        name = f"{down.removeprefix('transformer.').removesuffix('.lora_A.weight')}.weight"
        delta = pieces[down.replace("lora_A", "lora_B")] @ pieces[down]
        torch.testing.assert_close(transformer.state_dict()[name], before[name] + delta)


def test_whole_differences_of_weights_biases_norms_and_tables(transformer: Any, tmp_path: Path) -> None:
    """As lightx2v publishes them beside pairs."""
    names = {
        "blocks.0.self_attn.q.diff_b": "blocks.0.attn1.to_q.bias", "blocks.0.norm3.diff": "blocks.0.norm2.weight",
        "blocks.0.norm3.diff_b": "blocks.0.norm2.bias",
        "blocks.1.self_attn.norm_k.diff": "blocks.1.attn1.norm_k.weight",
        "blocks.1.modulation.diff": "blocks.1.scale_shift_table", "head.modulation.diff": "scale_shift_table",
        "patch_embedding.diff": "patch_embedding.weight", "patch_embedding.diff_b": "patch_embedding.bias",
    }  # fmt: skip
    before = state(transformer)
    differences = {f"diffusion_model.{name}": torch.full_like(before[own], 0.25) for name, own in names.items()}
    path = save(tmp_path / "lora.safetensors", {**lightx2v(), **differences})
    lora_mixer(transformer).use([WeightedFile(path, 2.0)])
    for own in names.values():
        torch.testing.assert_close(transformer.state_dict()[own], before[own] + 0.5)


def test_layers_that_do_not_exist_are_named(transformer: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = {
        f"diffusion_model.blocks.0.cross_attn.k_img.{part}.weight": torch.ones(4, 4) for part in ("lora_A", "lora_B")
    }
    path = save(tmp_path / "lora.safetensors", {**lightx2v(), **image})
    with caplog.at_level(logging.WARNING):
        lora_mixer(transformer).use([WeightedFile(path)])
    assert "1 of the 7 layers in the LoRA" in caplog.text
    assert "blocks_0_cross_attn_k_img" in caplog.text


def test_a_lora_of_another_width_or_base_is_refused(transformer: Any, tmp_path: Path) -> None:
    wide = {name: torch.zeros(2 * tensor.shape[0], *tensor.shape[1:]) if "up" in name else tensor
            for name, tensor in lightx2v().items()}  # fmt: skip
    path = save(tmp_path / "wide.safetensors", wide)
    with pytest.raises(
        ModelError, match=rf"is for weights of {2 * WIDTH}x{WIDTH}, not {WIDTH}x{WIDTH}; use a LoRA for"
    ):
        lora_mixer(transformer).use([WeightedFile(path)])
    names = ("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k",)
    other = {f"{name}.{part}.weight": torch.zeros(shape) for name in names
             for part, shape in (("lora_down", (4, 768)), ("lora_up", (320, 4)))}  # fmt: skip
    path = save(tmp_path / "sd.safetensors", other)
    with pytest.raises(ModelError, match=r"is a LoRA for Stable Diffusion 1\.x, but this model is Wan"):
        lora_mixer(transformer).use([WeightedFile(path)])


def test_runs_with_a_lora_and_one_of_no_strength(tmp_path: Path) -> None:
    """The model's own, and that of the settings; at strength 0 every bit stays."""
    files = write_wan_files(tmp_path)
    path = save(tmp_path / "lora.safetensors", lightx2v())
    engine = load_engine(ModelSpec(**files), device="cpu")
    plain = enhanced(engine, clip(5))
    with_lora = enhanced(engine, clip(5), loras=[f"{path}:2"])
    assert np.abs(with_lora - plain).max() > 1e-4
    np.testing.assert_array_equal(enhanced(engine, clip(5), loras=[f"{path}:0"]), plain)
    np.testing.assert_array_equal(enhanced(engine, clip(5)), plain)
    own = load_engine(ModelSpec(**files, loras=(WeightedFile(path, 2.0),)), device="cpu")
    np.testing.assert_array_equal(enhanced(own, clip(5)), with_lora)
