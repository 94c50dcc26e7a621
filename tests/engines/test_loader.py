"""Which engine a path leads to, and what is said where it leads to none."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from redetail.engines import LatentEngine, load_engine
from redetail.engines.memory import Memory
from redetail.engines.spec import ModelSpec, WeightedFile
from redetail.errors import ModelError, SettingsError, UnknownNameError


def refused(path: Path | str) -> str:
    with pytest.raises(ModelError) as caught:
        load_engine(path, device="cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_diffusers_folder(model_folder: Path) -> None:
    engine = load_engine(model_folder, device="cpu")
    assert isinstance(engine, LatentEngine)
    abilities = engine.capabilities
    assert abilities.name == "diffusers:tiny"
    # Three halvings by the VAE; 16 frames, although the positions of the motion layers reach 24.
    assert (abilities.size_multiple, abilities.context_length, abilities.uses_prompt) == (8, 16, True)


def test_a_restoration_folder(restoration_folder: Path) -> None:
    engine = load_engine(str(restoration_folder), device="cpu")
    assert isinstance(engine, LatentEngine)
    abilities = engine.capabilities
    assert (abilities.size_multiple, abilities.context_length, abilities.uses_prompt) == (8, 8, False)
    assert abilities.defaults == {"steps": 2, "denoise": 1.0, "cfg": 1.0}


def test_the_restoration_model_needs_no_optional_package(restoration_folder: Path) -> None:
    """In a separate process: packages imported by other tests would stay loaded."""
    code = (
        "import sys\n"
        "for name in ('diffusers', 'transformers', 'cv2', 'av', 'PIL', 'torchsde', 'scipy'): sys.modules[name] = None\n"
        "import numpy as np\n"
        "from redetail.engines import enhance_arrays, load_engine\n"
        "from redetail.settings import resolve\n"
        "engine = load_engine(sys.argv[1], device='cpu')\n"
        "crops = np.full((2, 16, 16, 3), 0.5, np.float32)\n"
        "result = enhance_arrays(engine, crops, crops[:1, ..., 0] * 2, resolve({}, engine.capabilities.defaults))\n"
        "assert (result != crops).any()\n"
    )
    subprocess.run([sys.executable, "-c", code, str(restoration_folder)], check=True, timeout=120)


def test_device_and_precision_are_passed_on(model_folder: Path) -> None:
    engine = load_engine(model_folder, device="cpu", dtype="bfloat16")
    assert isinstance(engine, LatentEngine)
    assert engine.placement.dtype == torch.bfloat16
    with pytest.raises(UnknownNameError):
        load_engine(model_folder, device="tpu")
    with pytest.raises(SettingsError):
        load_engine(model_folder, dtype="int4")


def test_a_name_that_is_no_path() -> None:
    assert refused("stable-diffusion").startswith("There is no checkpoint stable-diffusion; give a file or a folder")


@pytest.mark.parametrize("name", ["notes.txt", "dreamshaper.safetensors", "model.ckpt"])
def test_a_file_that_holds_no_weights(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"hello\n" * 9)
    assert name in refused(tmp_path / name)


@pytest.mark.parametrize(
    ("added", "what"),
    [
        ({"motion_module": Path("mm.ckpt")}, "motion module"),
        ({"loras": (WeightedFile(Path("a.safetensors")),)}, "LoRA"),
        ({"refiner_checkpoint": "refiner.safetensors"}, "refiner"),
    ],
)
def test_a_restoration_model_takes_nothing_beside_it(
    restoration_folder: Path, added: dict[str, Any], what: str
) -> None:
    for checkpoint, name in ((None, "the bundled model"), (restoration_folder, "the restoration model")):
        with pytest.raises(ModelError, match=f"^A {what} was given, but {name}.* does not take one"):
            load_engine(ModelSpec(checkpoint=checkpoint, **added), device="cpu")


def test_where_it_computes_is_among_what_it_can_do(restoration_folder: Path) -> None:
    placement = load_engine(
        restoration_folder, device="cpu", memory=Memory(dtype="float32", vae_batch=2)
    ).capabilities.placement
    assert (placement["device"], placement["dtype"], placement["vae_batch"]) == ("cpu", "float32", 2)


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "contains no model" in refused(tmp_path)


@pytest.mark.parametrize("part", ["motion_adapter", "text_encoder", "unet"])
def test_a_part_alone_is_named(model_folder: Path, part: str) -> None:
    kinds = {"motion_adapter": "MotionAdapter", "text_encoder": "CLIPTextModel", "unet": "UNet2DConditionModel"}
    assert f"contains only one part of a model, {kinds[part]};" in refused(model_folder / part)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "card.json"])
@pytest.mark.parametrize("how", ["missing", "truncated", "text"])
def test_a_spoilt_restoration_model_names_the_file(
    restoration_folder: Path, tmp_path: Path, file: str, how: str
) -> None:
    folder = Path(shutil.copytree(restoration_folder, tmp_path / "model"))
    spoilt = folder / file
    content = spoilt.read_bytes()
    spoilt.write_bytes(content[: len(content) // 2] if how == "truncated" else b"no model")
    if how == "missing":
        spoilt.unlink()
    assert file in refused(folder)
