"""Wan with weights that stay in fp8: the pictures of converted weights in less memory, LoRA and offload included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from redetail.engines import load_engine
from redetail.engines.fp8 import Fp8Layer
from redetail.engines.latent import LatentEngine
from redetail.engines.memory import Memory
from redetail.engines.spec import ModelSpec
from redetail.engines.wan.network import WanModel
from tests.engines import wan_files
from tests.engines.originals import save
from tests.engines.wan.test_engine import clip, enhanced
from tests.engines.wan.test_lora import lightx2v
from tests.engines.wan.test_parts import matrices, quantised
from tests.engines.wan_files import COMFY, write_wan_files

FRAMES = 5


def written(folder: Path, form: str) -> dict[str, Path]:
    """Transformer and text encoder in fp8, and a VAE."""
    files = write_wan_files(folder)
    for name, tensors, part in (
        ("checkpoint", wan_files.transformer_tensors(COMFY), "blocks."),
        ("text_encoder", wan_files.text_tensors(), "block."),
    ):
        files[name], _ = quantised(folder / f"fp8-{name}.safetensors", form, tensors, part)
    return files


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return written(tmp_path_factory.mktemp("older"), "older")


def engine_of(files: dict[str, Path], *, fp8: bool, loras: tuple[Any, ...] = (), **memory: Any) -> LatentEngine:
    asked = Memory(fp8_weights=fp8, **memory)
    engine = load_engine(ModelSpec(**files, loras=loras), device="cpu", memory=asked)
    assert isinstance(engine, LatentEngine)
    return engine


def networks(engine: LatentEngine) -> dict[str, Any]:
    assert isinstance(engine.model, WanModel)
    return engine.model.networks()


def parameter_bytes(network: Any) -> int:
    return sum(weight.numel() * weight.element_size() for weight in network.parameters())


@pytest.fixture(scope="module")
def converted(files: dict[str, Path]) -> LatentEngine:
    return engine_of(files, fp8=False)


@pytest.fixture(scope="module")
def kept(files: dict[str, Path]) -> LatentEngine:
    return engine_of(files, fp8=True)


def test_the_pictures_are_those_of_converted_weights(converted: LatentEngine, kept: LatentEngine) -> None:
    np.testing.assert_array_equal(enhanced(kept, clip(FRAMES)), enhanced(converted, clip(FRAMES)))
    assert kept.capabilities.placement["fp8_weights"]


def test_the_newer_form_is_kept_likewise(tmp_path: Path) -> None:
    files = written(tmp_path, "newer")
    one, two = (engine_of(files, fp8=fp8) for fp8 in (False, True))
    np.testing.assert_array_equal(enhanced(one, clip(1)), enhanced(two, clip(1)))
    assert any(isinstance(layer, Fp8Layer) for layer in networks(two)["text encoder"].modules())


def test_each_weight_in_fp8_takes_a_byte(converted: LatentEngine, kept: LatentEngine) -> None:
    """Three bytes less than float32 for each number of a quantised matrix, and four for its scale."""
    tensors = {"transformer": (wan_files.transformer_tensors(), "blocks."),
               "text encoder": (wan_files.text_tensors(), "block.")}  # fmt: skip
    for name, (own, part) in tensors.items():
        stored = {one: own[one].numel() for one in matrices(own, part) if "relative_attention_bias" not in one}
        layers = [layer for layer in networks(kept)[name].modules() if isinstance(layer, Fp8Layer)]
        assert len(layers) >= len(stored)
        saved = parameter_bytes(networks(converted)[name]) - parameter_bytes(networks(kept)[name])
        assert saved == sum(3 * layer.shape.numel() - 4 for layer in layers)
        assert saved >= sum(3 * count - 4 for count in stored.values())


def test_half_precision_computes_the_same_with_both(files: dict[str, Path]) -> None:
    one, two = (engine_of(files, fp8=fp8, dtype="bfloat16") for fp8 in (False, True))
    np.testing.assert_array_equal(enhanced(one, clip(1)), enhanced(two, clip(1)))
    assert parameter_bytes(networks(two)["transformer"]) < 0.7 * parameter_bytes(networks(one)["transformer"])


def test_lora_on_top_are_those_of_converted_weights(
    converted: LatentEngine, kept: LatentEngine, tmp_path: Path
) -> None:
    """They are added as the weights are used, which change nothing themselves."""
    path = save(tmp_path / "lora.safetensors", lightx2v())
    plain = enhanced(kept, clip(1))
    before = parameter_bytes(networks(kept)["transformer"])
    changed = enhanced(kept, clip(1), loras=[f"{path}:2"])
    assert np.abs(changed - plain).max() > 1e-4
    np.testing.assert_array_equal(changed, enhanced(converted, clip(1), loras=[f"{path}:2"]))
    assert parameter_bytes(networks(kept)["transformer"]) == before
    np.testing.assert_array_equal(enhanced(kept, clip(1)), plain)


@pytest.mark.parametrize("memory", [{"offload": True}, {"offload": True, "block_offload": True}])
def test_offload_gives_the_same(files: dict[str, Path], kept: LatentEngine, memory: dict[str, bool]) -> None:
    offloaded = engine_of(files, fp8=True, **memory)
    np.testing.assert_array_equal(enhanced(offloaded, clip(1)), enhanced(kept, clip(1)))
    assert any(weight.dtype == torch.float8_e4m3fn for weight in networks(offloaded)["transformer"].parameters())
