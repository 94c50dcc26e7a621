"""What a model of Wan takes of a device, and which way to use it is chosen."""

from __future__ import annotations

import re
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from redetail.cli import models
from redetail.engines.architectures import model_folder
from redetail.engines.device import Placement, place
from redetail.engines.files import FileFacts, identify
from redetail.engines.memory import GIB, Memory
from redetail.engines.wan.fit import (
    PUBLISHED,
    TEXT,
    TRANSFORMER,
    VAE,
    Bytes,
    Fit,
    Model,
    Way,
    model_of,
    part_facts,
    transformer_bytes,
)  # fmt: skip
from redetail.errors import SettingsError
from redetail.progress import CancelToken
from redetail.region import Size
from tests.engines.wan_files import write_wan_files

CARD = Placement(torch.device("cuda"), torch.bfloat16)
DOCS = Path(__file__).parents[3] / "docs" / "video-models.md"
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
NUMBERS = {"14B": (14_288_491_584, 40, 5120), "1.3B": (1_418_996_800, 30, 1536)}


def facts(size: str, *, fp8: bool = False) -> FileFacts:
    numbers, blocks, width = NUMBERS[size]
    return FileFacts(
        path=Path("wan.safetensors"), kind="checkpoint", base="wan", what="a transformer of Wan", option="--checkpoint",
        parameters=numbers, bytes=numbers, dtype="BF16", in_fp8=numbers * 9 // 10 if fp8 else 0,
        details={"blocks": blocks, "width": width},
    )  # fmt: skip


def model(size: str, *, fp8: bool = False, experts: int = 1) -> Model:
    return model_of([(TRANSFORMER, facts(size, fp8=fp8))] * experts, CARD, experts)


def test_weights_count_in_the_precision_that_they_compute_in() -> None:
    """The table of docs/video-models.md."""
    weights = model("14B").weights(Way())
    assert [round(weights[part] / GIB, 1) for part in (TRANSFORMER, TEXT, VAE)] == [26.6, 10.6, 0.5]


def test_weights_in_fp8_take_a_byte_where_they_are_kept() -> None:
    found = model("14B", fp8=True)
    assert found.weights(Way()) == model("14B").weights(Way())
    numbers = NUMBERS["14B"][0]
    assert found.weights(Way(fp8_weights=True))[TRANSFORMER] == 2 * numbers - numbers * 9 // 10


@pytest.mark.parametrize(("width", "itemsize", "each"), [(1536, 2, 40), (5120, 2, 40), (1536, 4, 78), (5120, 4, 78)])
def test_activations_of_a_token_grow_with_its_width(width: int, itemsize: int, each: int) -> None:
    assert transformer_bytes(width, itemsize) == each * width


def test_activations_grow_with_the_crops() -> None:
    found = model("14B")
    small, large = found.activations(81, 256, 256), found.activations(81, 512, 512)
    assert {part: size // small[part] for part, size in large.items()} == {TRANSFORMER: 4, VAE: 4}
    # 21 latents of 32 x 32 tokens.
    assert large[TRANSFORMER] == 21 * 32 * 32 * 40 * 5120
    assert found.activations(1, 512, 512)[TRANSFORMER] == 32 * 32 * 40 * 5120


def test_what_a_device_needs_in_each_way() -> None:
    """With round numbers, by hand: a transformer of 40 bytes in 10 blocks, text 30, VAE 5, and no activations."""
    parts = {TRANSFORMER: Bytes(40, 20), TEXT: Bytes(30, 20), VAE: Bytes(5, 5)}
    found = Model(parts, 1, 10, 0, 2)
    with_reserve = [(75, Way()), (45, Way(fp8_weights=True)), (70, Way(offload=True)),
                    (40, Way(offload=True, fp8_weights=True)), (34, Way(offload=True, block_offload=True)),
                    (22, Way(offload=True, block_offload=True, fp8_weights=True))]  # fmt: skip
    for most, way in with_reserve:
        assert found.needed(way, 1, 0, 0) == most * 20 // 19, way
    two = replace(found, experts=2)  # of two experts one at a time
    assert two.needed(Way(offload=True), 1, 0, 0) == 50 * 20 // 19
    assert two.needed(Way(), 1, 0, 0) == 75 * 20 // 19


@pytest.mark.parametrize(
    ("size", "fp8", "gib", "options"),
    [
        ("14B", False, 80, ""), ("14B", False, 46, ""),
        ("14B", False, 44, "--offload"), ("14B", False, 24, "--offload --block-offload"),
        ("14B", False, 12, "--offload --block-offload"),
        ("14B", True, 80, ""), ("14B", True, 34, "--fp8-weights"), ("14B", True, 28, "--offload --fp8-weights"),
        ("14B", True, 16, "--offload --block-offload --fp8-weights"),
        ("1.3B", False, 24, ""), ("1.3B", False, 16, "--offload"),
        # What does not fit at all is tried in the smallest way.
        ("14B", False, 6, "--offload --block-offload"), ("14B", True, 6, "--offload --block-offload --fp8-weights"),
    ],
)  # fmt: skip
def test_the_quickest_way_that_fits_is_chosen(size: str, fp8: bool, gib: int, options: str) -> None:
    assert model(size, fp8=fp8).best_way(Memory(), CUDA, gib * GIB).options == options


def test_the_table_of_the_docs_is_what_is_counted() -> None:
    """With 14B parameters in fp8 the text encoder is in fp8 too."""
    rows = dict(re.findall(r"^\| (default|`--[^`]*`) \|[^|]*\|(.*GiB.*)\|$", DOCS.read_text(), re.MULTILINE))
    whole = replace(facts("14B"), in_fp8=NUMBERS["14B"][0])
    text = replace(whole, parameters=PUBLISHED[TEXT], in_fp8=PUBLISHED[TEXT], details={})
    fp8 = model_of([(TRANSFORMER, whole), (TEXT, text)], CARD)
    found = {way.options: way for way in fp8.ways(CUDA)} | {way.options: way for way in model("14B").ways(CUDA)}
    assert len(rows) == len(found) == 6
    for way in found.values():
        name = f"`{way.options}`" if way.options else "default"
        stated = [float(cell.removesuffix(" GiB")) for cell in map(str.strip, rows[name].split("|")) if cell != "-"]
        counted = (fp8,) if way.fp8_weights else (model("14B"), fp8, model("1.3B"))
        assert stated == [round(one.needed(way) / GIB, 1) for one in counted], name


def test_what_was_asked_for_wins() -> None:
    found = model("14B", fp8=True)
    assert found.best_way(Memory(block_offload=True), CUDA, 80 * GIB) == Way(block_offload=True)
    assert found.best_way(Memory(offload=False), CUDA, 24 * GIB) == Way(block_offload=True, fp8_weights=True)
    assert not found.best_way(Memory(fp8_weights=False), CUDA, 24 * GIB).fp8_weights
    assert found.best_way(Memory(offload=True), CPU, 64 * GIB) == Way(offload=True)


def test_the_cpu_moves_nothing_and_metal_has_no_fp8() -> None:
    found = model("14B", fp8=True)
    assert [way.options for way in found.ways(CPU)] == ["", "--fp8-weights"]
    assert found.best_way(Memory(), CPU, 40 * GIB).options == "--fp8-weights"
    metal = torch.device("mps")
    assert not any(way.fp8_weights for way in found.ways(metal))
    with pytest.raises(SettingsError, match="fp8-weights is on, but Metal does not support fp8"):
        found.best_way(Memory(fp8_weights=True), metal, 40 * GIB)


def test_the_plan_names_what_takes_memory() -> None:
    found = model("14B")
    way = Way(offload=True)
    plan = Fit(found, way, 48 * GIB).plan(200, Size(512, 768))  # windows are of 81 frames
    assert {name: plan[name] for name in found.parts} == found.weights(way)
    assert plan["activations"] == max(found.activations(81, 512, 768).values())
    assert (plan["needed"], plan["device"]) == (found.needed(way, 81, 512, 768), 48 * GIB)


@pytest.mark.parametrize(
    ("gib", "verdict"),
    [(80, ": fits"), (44, ": fits with --offload"), (24, ": fits with --offload --block-offload"),
     (10, ": too large; use weights with fewer parameters")],
)  # fmt: skip
def test_inspect_names_the_same_way(gib: int, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "device_memory", lambda device: gib * GIB)
    line = models._fit(facts("14B"), CARD)
    assert "text encoder 10.6 GiB, VAE 484" in line
    assert line.endswith(f"the device has {gib}.0 GiB{verdict}")


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
    found = model_of(part_facts(TRANSFORMER, wan_folder / "transformer"), place("cpu", "float32"))
    assert (found.blocks, found.width) == (2, 24)


def test_the_cpu_has_one_memory(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is moved there, so no offload is named."""
    checkpoint = write_wan_files(tmp_path)["checkpoint"]
    for gib, verdict in ((64, "fits"), (8, "too large")):
        monkeypatch.setattr(models, "device_memory", lambda device, gib=gib: gib * GIB)
        models.inspect(Namespace(files=[str(checkpoint)], device="cpu"), CancelToken())
        assert f"has {gib}.0 GiB: {verdict}" in capsys.readouterr().out
