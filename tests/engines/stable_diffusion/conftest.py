"""A thin Stable Diffusion XL checkpoint and its motion module in the layouts in which they are published."""

from __future__ import annotations

from pathlib import Path

import pytest

from redetail.engines.spec import ModelSpec
from tests.engines import originals as made


@pytest.fixture(scope="session")
def xl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """xl.safetensors and mm.ckpt."""
    folder = tmp_path_factory.mktemp("xl")
    made.save(folder / "xl.safetensors", made.filled(made.sdxl_shapes(), 1))
    made.save(folder / "mm.ckpt", made.filled(made.motion_shapes("sdxl", made.WIDTHS_XL), 2))
    return folder


@pytest.fixture(scope="session")
def xl_spec(xl_folder: Path) -> ModelSpec:
    return ModelSpec(checkpoint=xl_folder / "xl.safetensors", motion_module=xl_folder / "mm.ckpt")


@pytest.fixture(scope="session")
def xl_thinnest(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    """The fewest numbers that are still recognised, where it does not matter what is computed."""
    folder = tmp_path_factory.mktemp("xl-thinnest")
    motion = made.motion_shapes("sdxl", (32, 32, 32), layers=1)
    return ModelSpec(
        checkpoint=made.save(folder / "xl.safetensors", made.filled(made.thinnest_sdxl_shapes(), 1)),
        motion_module=made.save(folder / "mm.ckpt", made.filled(motion, 2)),
    )
