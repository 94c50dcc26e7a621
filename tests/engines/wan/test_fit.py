"""What weights of Wan take on a device, and which offload lets them fit."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch

from redetail.cli import models
from redetail.engines.architectures import model_folder
from redetail.engines.device import Placement, place
from redetail.engines.files import FileFacts, identify
from redetail.engines.memory import GIB
from redetail.engines.wan.fit import TEXT, TRANSFORMER, VAE, weights_of
from redetail.progress import CancelToken
from tests.engines.wan_files import write_wan_files

CARD = Placement(torch.device("cuda"), torch.bfloat16)
NUMBERS = {"14B": (14_288_491_584, 40), "1.3B": (1_418_996_800, 30)}


def facts(size: str, path: Path = Path("wan.safetensors")) -> FileFacts:
    numbers, blocks = NUMBERS[size]
    return FileFacts(
        path=path, kind="checkpoint", base="wan", what="a transformer of Wan", option="--checkpoint",
        parameters=numbers, bytes=numbers, dtype="F8_E4M3", details={"blocks": blocks},
    )  # fmt: skip


def test_weights_count_in_the_precision_that_they_compute_in() -> None:
    """The table of docs/video-models.md: fp8 on disk is bfloat16 on the card, and the VAE float32."""
    found = weights_of([(TRANSFORMER, facts("14B"))], CARD)
    assert [round(size / GIB, 1) for size in (found.transformer, found.text, found.vae)] == [26.6, 10.6, 0.5]
    assert found.block == found.transformer // 40
    needed = found.needed()
    assert [round(size / GIB, 1) for size in needed.values()] == [47.1, 39.2, 11.1]


@pytest.mark.parametrize(
    ("size", "gib", "verdict"),
    [
        ("14B", 80, ": fits"), ("14B", 47, ": fits with --offload"),
        ("14B", 24, ": fits with --offload --block-offload"), ("14B", 12, ": fits with --offload --block-offload"),
        ("14B", 10, ": too large; use weights with fewer parameters"),
        ("1.3B", 24, ": fits"), ("1.3B", 17, ": fits with --offload"),
    ],
)  # fmt: skip
def test_the_least_offload_that_fits_is_named(
    size: str, gib: int, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "device_memory", lambda device: gib * GIB)
    line = models._fit(facts(size), CARD)
    assert "text encoder 10.6 GiB, VAE 484" in line
    assert line.endswith(f"of {gib}.0 GiB{verdict}")


def test_a_folder_counts_its_own_parts_and_one_expert(wan_folder: Path) -> None:
    folder = model_folder(wan_folder)
    assert folder is not None
    family, path = folder
    assert family.parts is not None
    sizes = family.parts(family.describe(path), place("cpu", "float32")).weights
    numbers = {
        part: 4 * sum(identify(file).parameters for file in (wan_folder / name).glob("*.safetensors"))
        for part, name in ((TRANSFORMER, "transformer"), (TEXT, "text_encoder"), (VAE, "vae"))
    }
    assert sizes == numbers


def test_the_cpu_has_one_memory(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is moved there, so no offload is named."""
    checkpoint = write_wan_files(tmp_path)["checkpoint"]
    for gib, verdict in ((64, "fits"), (8, "too large")):
        monkeypatch.setattr(models, "device_memory", lambda device, gib=gib: gib * GIB)
        models.inspect(Namespace(files=[str(checkpoint)], device="cpu"), CancelToken())
        assert f"of {gib}.0 GiB: {verdict}" in capsys.readouterr().out
