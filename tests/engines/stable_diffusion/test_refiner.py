"""A refiner: a second checkpoint over the same latents."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from redetail.engines import enhance_arrays
from redetail.engines.architectures.stable_diffusion import STABLE_DIFFUSION
from redetail.engines.device import Placement
from redetail.engines.latent import LatentEngine
from redetail.engines.spec import ControlFile, ModelSpec
from redetail.engines.stable_diffusion.engine import load_stable_diffusion_engine
from redetail.errors import ModelError
from redetail.settings import Settings
from tests.engines import originals

Array = NDArray[np.float32]
CPU = Placement(torch.device("cpu"), torch.float32)
WIDTHS = (32, 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints and the motion module of both."""
    folder = tmp_path_factory.mktemp("refiner")
    for seed, name in enumerate(("base", "refiner")):
        originals.save(folder / f"{name}.safetensors", originals.filled(originals.sd1_shapes(WIDTHS), seed))
    originals.save(folder / "motion.safetensors", originals.filled(originals.motion_shapes("v2", WIDTHS), 3))
    return folder


def spec(folder: Path, **more: Any) -> ModelSpec:
    return ModelSpec(checkpoint=folder / "base.safetensors", motion_module=folder / "motion.safetensors", **more)


@cache
def loaded(model: ModelSpec) -> LatentEngine:
    """Engines are loaded once and used often."""
    return load_stable_diffusion_engine(STABLE_DIFFUSION, model, CPU)


def enhanced(model: ModelSpec, **more: Any) -> Array:
    crops = np.random.default_rng(3).random((2, 16, 16, 3), dtype=np.float32)
    settings = Settings(**{"prompt": "smile", "steps": 4, "cfg": 2.0, "sampler": "euler", "seed": 2, **more})
    return enhance_arrays(loaded(model), crops, np.ones((1, 16, 16), np.float32), settings)


def test_a_ratio_of_zero_is_exactly_no_refiner_and_one_is_the_refiner_alone(folder: Path) -> None:
    both = spec(folder, refiner_checkpoint=folder / "refiner.safetensors")
    np.testing.assert_array_equal(enhanced(both, refiner_ratio=0.0), enhanced(spec(folder)))
    refined, half = enhanced(both, refiner_ratio=1.0), enhanced(both, refiner_ratio=0.5)
    assert np.abs(refined - half).max() > 1e-3
    assert np.abs(half - enhanced(spec(folder))).max() > 1e-3


def test_a_checkpoint_that_refines_itself_goes_on_where_it_was(folder: Path) -> None:
    """Without a mask's steps to restart, the handed latents are the same at the split."""
    own = spec(folder, refiner_checkpoint=folder / "base.safetensors")
    np.testing.assert_allclose(
        enhanced(own, refiner_ratio=0.5, mask_feather=0), enhanced(spec(folder), mask_feather=0), atol=1e-4
    )


def test_prompts_of_its_own(folder: Path) -> None:
    both = spec(folder, refiner_checkpoint=folder / "refiner.safetensors")
    shared = enhanced(both, refiner_ratio=0.5)
    np.testing.assert_array_equal(shared, enhanced(both, refiner_ratio=0.5, refiner_prompt="smile"))
    assert np.abs(shared - enhanced(both, refiner_ratio=0.5, refiner_prompt="pores of the skin")).max() > 1e-4


def test_other_latents_are_refused(folder: Path, model_folder: Path) -> None:
    diffusers = pytest.importorskip("diffusers")
    vae = diffusers.AutoencoderKL.from_pretrained(model_folder / "vae")
    joined = ModelSpec(checkpoint=model_folder, refiner_checkpoint=_other_vae(model_folder, vae, folder))
    with pytest.raises(ModelError, match=r"The refiner .* uses 4-channel latents scaled by 0\.13, but the check"):
        loaded(joined)


def _other_vae(model_folder: Path, vae: Any, folder: Path) -> Path:
    """The same model with a VAE of another scale."""
    other = folder / "other"
    shutil.copytree(model_folder, other)
    vae.register_to_config(scaling_factor=0.13)
    vae.save_pretrained(other / "vae")
    return other


def test_the_engine_says_what_its_controlnets_are_shown(folder: Path) -> None:
    controls = tuple(ControlFile(folder / "none.safetensors", 0.0, hint=hint) for hint in ("canny", "a.mp4", "canny"))
    assert loaded(spec(folder, controls=controls)).capabilities.hints == (
        "canny",
        "a.mp4",
    )
