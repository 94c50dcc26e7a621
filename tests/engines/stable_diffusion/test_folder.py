"""Model folders as users have them: whole, incomplete, damaged, of another kind."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from redetail.engines import LatentEngine, load_engine
from redetail.engines.stable_diffusion.folder import open_folder
from redetail.errors import DependencyError, ModelError


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(model_folder, tmp_path / "model"))


def refused(folder: Path) -> str:
    """The message; one sentence on one line."""
    with pytest.raises(ModelError) as caught:
        load_engine(folder, device="cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(file: Path, **values: Any) -> None:
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, **values}))


def test_all_parts_are_found(model_folder: Path) -> None:
    parts = open_folder(model_folder)
    assert parts.unet.kind == "UNet2DConditionModel"
    assert parts.motion_adapter is not None
    assert parts.vae.kind == "AutoencoderKL"
    assert [part.kind for part in parts.texts] == ["CLIPTextModel"]
    assert parts.scheduler["beta_schedule"] == "scaled_linear"


@pytest.mark.parametrize("part", ["unet", "motion_adapter", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_missing_parts_are_named(folder: Path, part: str) -> None:
    shutil.rmtree(folder / part)
    assert f"lacks {part};" in refused(folder)


def test_all_missing_parts_are_named_at_once(folder: Path) -> None:
    shutil.rmtree(folder / "vae")
    shutil.rmtree(folder / "motion_adapter")
    assert "lacks vae, motion_adapter;" in refused(folder)


@pytest.mark.parametrize(
    ("file", "key", "value", "part"),
    [
        ("unet/config.json", "block_out_channels", [8] * 1_000, "a list of 0 to 16 values"),
        (
            "unet/config.json",
            "block_out_channels",
            [10**400, 8],
            "a list in which each item is a whole number from 1 to 131072",
        ),
        ("unet/config.json", "layers_per_block", 1_000_000, "a whole number from 1 to 256"),
        ("unet/config.json", "cross_attention_dim", "32", "a whole number from 1 to 131072"),
        ("unet/config.json", "addition_embed_type", 3, "text"),
        ("motion_adapter/config.json", "motion_max_seq_length", 10**9, "a whole number from 1 to 4096"),
        ("vae/config.json", "scaling_factor", "0.18", "a number from 1e-06 to 1e+06"),
        ("text_encoder/config.json", "num_hidden_layers", 10**6, "a whole number from 1 to 256"),
        ("scheduler/scheduler_config.json", "num_train_timesteps", 10**400, "a whole number from 2 to 100000"),
        ("scheduler/scheduler_config.json", "beta_end", None, "a number from 0 to 1"),
    ],
)
def test_a_config_that_cannot_be_names_the_key(folder: Path, file: str, key: str, value: Any, part: str) -> None:
    edit(folder / file, **{key: value})
    message = refused(folder)
    assert message.startswith(f"{key} in {folder / file} is ")
    assert part in message


@pytest.mark.parametrize(
    ("index", "part"),
    [
        ("[]", "must contain a JSON object"),
        ("{}", "weight_map in"),
        ('{"weight_map": ["a"]}', "weight_map in"),
        ('{"weight_map": {"a": 3}}', "weight_map in"),
        ('{"weight_map": {"a": "none.safetensors"}}', "lacks 'none.safetensors', which"),
    ],
)
def test_an_index_that_cannot_be(folder: Path, index: str, part: str) -> None:
    name = "diffusion_pytorch_model.safetensors.index.json"
    (folder / "unet" / name).write_text(index)
    message = refused(folder)
    assert part in message
    assert name in message


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _scramble(file: Path) -> None:
    file.write_bytes(b"this is not a weight file" * 100)


def _empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("spoil", [_truncate, _scramble, _empty])
@pytest.mark.parametrize(
    "file",
    ["unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"],
)
def test_damaged_weights_are_named(folder: Path, file: str, spoil: Callable[[Path], None]) -> None:
    spoil(folder / file)
    message = refused(folder)
    assert str(folder / file) in message
    assert "truncated or damaged" in message


def test_a_part_without_weights(folder: Path) -> None:
    (folder / "vae/diffusion_pytorch_model.safetensors").unlink()
    assert "vae has no .safetensors weights" in refused(folder)


def test_pickles_are_not_opened(folder: Path) -> None:
    (folder / "vae/diffusion_pytorch_model.safetensors").rename(folder / "vae/diffusion_pytorch_model.bin")
    assert "convert diffusion_pytorch_model.bin to .safetensors, because a pickle" in refused(folder)


def test_half_precision_files_are_used_where_there_are_no_others(folder: Path) -> None:
    whole = folder / "unet/diffusion_pytorch_model.safetensors"
    whole.rename(folder / "unet/diffusion_pytorch_model.fp16.safetensors")
    assert open_folder(folder).unet.variant == "fp16"
    assert isinstance(load_engine(folder, device="cpu"), LatentEngine)


def test_missing_tensors_are_not_filled_with_noise(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / "unet/diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    del tensors["conv_in.weight"]
    save_file(tensors, file)
    message = refused(folder)
    assert "do not fit its config.json" in message
    assert "conv_in.weight" in message


def test_weights_of_other_widths(folder: Path) -> None:
    edit(folder / "vae/config.json", block_out_channels=[8, 8, 8, 16])
    assert "vae" in refused(folder)


def test_a_motion_adapter_of_another_base(folder: Path) -> None:
    edit(folder / "motion_adapter/config.json", block_out_channels=[320, 640])
    assert "made for a UNet with widths (320, 640), but the UNet has widths (32, 64)" in refused(folder)


def test_a_motion_adapter_of_another_depth(folder: Path) -> None:
    edit(folder / "motion_adapter/config.json", motion_layers_per_block=2)
    assert "motion_adapter" in refused(folder)


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("unet/config.json", {"addition_embed_type": "image"}, "needs 'image' in addition to text"),
        ("unet/config.json", {"in_channels": 8}, "takes 8 channels, but the VAE makes latents with 4"),
        (
            "unet/config.json",
            {"_class_name": "FluxTransformer2DModel"},
            "unet is of class FluxTransformer2DModel; its class must be",
        ),
        ("vae/config.json", {"_class_name": "VQModel"}, "vae is of class VQModel; its class must be AutoencoderKL"),
        ("text_encoder/config.json", {"hidden_size": 768}, "produces 768 features, but the UNet takes 32"),
        ("motion_adapter/config.json", {"conv_in_channels": 9}, "extra input channels"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "squaredcos_cap_v2"}, "'squaredcos_cap_v2'"),
        ("scheduler/scheduler_config.json", {"prediction_type": "flow"}, "prediction type named 'flow'"),
    ],
)
def test_kinds_that_are_not_supported(folder: Path, file: str, values: dict[str, Any], message: str) -> None:
    edit(folder / file, **values)
    assert message in refused(folder)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00\xff"])
def test_configs_that_are_no_json(folder: Path, text: str) -> None:
    (folder / "unet/config.json").write_text(text)
    assert str(folder / "unet/config.json") in refused(folder)


def test_a_tokenizer_folder_without_a_vocabulary(folder: Path) -> None:
    (folder / "tokenizer/merges.txt").unlink()
    assert "tokenizer needs tokenizer.json, or both vocab.json and merges.txt" in refused(folder)


@pytest.mark.parametrize("text", ["[", "[1, 2]", '{"a": "b"}'])
def test_a_damaged_vocabulary(folder: Path, text: str) -> None:
    (folder / "tokenizer/vocab.json").write_text(text)
    assert str(folder / "tokenizer/vocab.json") in refused(folder)


@pytest.mark.parametrize("line", ["a", "a b c", "a unheard-of"])
def test_damaged_merges(folder: Path, line: str) -> None:
    (folder / "tokenizer/merges.txt").write_text(f"#version: 0.2\n{line}\n")
    assert f"contains the merge {line!r}, whose tokens are not both in vocab.json" in refused(folder)


def test_a_tokenizer_of_another_model(folder: Path) -> None:
    vocabulary = json.loads((folder / "tokenizer/vocab.json").read_text())
    edit(folder / "tokenizer/vocab.json", extra=len(vocabulary))
    assert "knows 515 tokens, but its text encoder knows 514" in refused(folder)


@pytest.mark.parametrize("package", ["diffusers", "transformers"])
def test_a_missing_package_names_the_command(model_folder: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DependencyError, match=rf"{package} is not installed; .* 'redetail\[standalone\]'"):
        load_engine(model_folder, device="cpu")
