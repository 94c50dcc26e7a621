"""Which folders are models of Wan, which part of them is used, and what is said of those that cannot be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from redetail.cli.main import main
from redetail.engines import load_engine
from redetail.engines.files import identify
from redetail.engines.latent import LatentEngine
from redetail.engines.spec import ModelSpec
from redetail.engines.wan.model import WanParts, open_wan
from redetail.errors import ModelError
from tests.engines.thin_wan import SHIFT

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(wan_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(wan_folder, tmp_path / "model"))


def edited(config: Path, **values: Any) -> None:
    config.write_text(json.dumps({**json.loads(config.read_text()), **values}))


def opened(folder: Path) -> WanParts:
    return open_wan(ModelSpec(checkpoint=folder))


def refused(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_engine(folder, device="cpu")
    return str(caught.value)


def test_the_expert_for_low_noise_is_used_where_there_is_one(folder: Path) -> None:
    assert opened(folder).transformer.path == folder / "transformer"
    shutil.copytree(folder / "transformer", folder / "transformer_2")
    assert opened(folder).transformer.path == folder / "transformer_2"
    shutil.rmtree(folder / "transformer")
    assert isinstance(load_engine(folder, device="cpu"), LatentEngine)


def test_the_shift_is_that_of_the_scheduler(folder: Path) -> None:
    assert opened(folder).shift == SHIFT
    edited(folder / "scheduler" / "scheduler_config.json", flow_shift=5.0)
    assert opened(folder).shift == 5
    shutil.rmtree(folder / "scheduler")
    assert opened(folder).shift == 8


def test_a_transformer_in_several_files_is_put_together(folder: Path) -> None:
    path = folder / "transformer" / WEIGHTS
    tensors = load_file(path)
    names = sorted(tensors)
    files = {"a.safetensors": names[:10], "b.safetensors": names[10:]}
    for file, part in files.items():
        save_file({name: tensors[name] for name in part}, path.with_name(file))
    path.unlink()
    index = {"weight_map": {name: file for file, part in files.items() for name in part}}
    path.with_name(f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    assert isinstance(load_engine(folder, device="cpu"), LatentEngine)


def test_a_tensor_too_few_is_not_filled_with_noise(folder: Path) -> None:
    path = folder / "transformer" / WEIGHTS
    tensors = load_file(path)
    del tensors["blocks.1.ffn.net.2.weight"]
    save_file(tensors, path)
    assert "lacks tensors such as blocks.1.ffn.net.2.weight" in refused(folder)


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        (
            "vae",
            {"patch_size": 2, "z_dim": 48},
            "is the VAE of the 5B-parameter Wan 2.2, which is not supported",
        ),
        ("vae", {"latents_std": [1.0]}, "latents_std of the VAE .* has 1 numbers; it must have 4"),
        ("vae", {"temperal_downsample": [False, False, True]}, "scales time down by 2 and each side by 8"),
        ("vae", {"_class_name": "AutoencoderKL"}, "is of class AutoencoderKL; its class must be AutoencoderKLWan"),
        ("transformer", {"in_channels": 36}, "takes 36 channels; .* text-to-video"),
        ("transformer", {"image_dim": 1280}, "takes an image in addition to the text"),
        ("transformer", {"text_dim": 32}, "produces 16 features, but the transformer .* takes 32"),
        (
            "transformer",
            {"patch_size": [2, 2, 2]},
            "patch_size in .* is .2, 2, 2.; it must be 1 followed by two equal numbers",
        ),
        ("transformer", {"num_layers": 1_000_000}, "num_layers in .* must be a whole number from 1 to 256"),
    ],
)
def test_models_that_cannot_be_used_are_named(folder: Path, part: str, values: dict[str, Any], message: str) -> None:
    edited(folder / part / "config.json", **values)
    with pytest.raises(ModelError, match=message):
        load_engine(folder, device="cpu")


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        (lambda folder: shutil.rmtree(folder / "vae"), "lacks vae/config.json; a Wan model needs"),
        (lambda folder: (folder / "tokenizer" / "tokenizer.json").unlink(), "lacks tokenizer/tokenizer.json"),
        (lambda folder: (folder / "tokenizer" / "tokenizer.json").write_text("{}"), "is not a tokenizer"),
        (lambda folder: (folder / "vae" / WEIGHTS).unlink(), "has no .safetensors weights"),
    ],
)
def test_what_is_missing_is_named(folder: Path, remove: Callable[[Path], Any], message: str) -> None:
    remove(folder)
    assert message in refused(folder)


def test_a_part_of_a_thin_folder_is_recognised(folder: Path) -> None:
    """Its heads are narrower than any published ones, which a file alone does not show."""
    transformer, vae = (identify(folder / part / WEIGHTS) for part in ("transformer", "vae"))
    assert (transformer.kind, transformer.base) == ("transformer", "wan")
    assert (vae.kind, vae.details["latent_channels"]) == ("vae", 4)
    assert (
        "is an unsupported kind of Wan transformer, with attention heads of an unsupported width (24 features in all)"
        in refused(transformer.path)
    )


def test_models_inspect_says_what_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "inspect", str(folder), "--device", "cpu"]) == 0
    first, size, parts, option, *_ = capsys.readouterr().out.splitlines()
    assert first == f"{folder}: a model of Wan"
    assert "parameters in float32" in size
    assert (parts, option) == ("  parts transformer+vae+text_encoder", "  option: --checkpoint")
