"""Nodes that need ComfyUI itself take frames and masks of every floating type, and answer alike; the other nodes are in
the file of this name one folder up."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from redetail.segs import Seg

FRAMES, HEIGHT, WIDTH = 3, 40, 56
DETAILERS = {"SEGSDetailerForAnimateDiff", "DetailerForEachPipeForAnimateDiff", "RedetailDetailer"}
INSIDE = {*DETAILERS, "RedetailCompare"}
SETTINGS: dict[str, Any] = {
    "guide_size": 64, "guide_size_for": False, "max_size": 96, "seed": 1, "steps": 2, "cfg": 1.5, "denoise": 0.6,
    "sampler_name": "euler", "scheduler": "normal", "refiner_ratio": 0.2, "noise_mask_feather": 4,
}  # fmt: skip
MORE: dict[str, dict[str, Any]] = {
    "SEGSDetailerForAnimateDiff": {},
    "DetailerForEachPipeForAnimateDiff": {"feather": 3},
    "RedetailDetailer": {"color_match": True, "bundled_settings": True},
}


def steps(*shape: int, seed: int = 0) -> Tensor:
    """Random multiples of 1/128, which every type holds exactly."""
    return torch.randint(0, 129, shape, generator=torch.Generator().manual_seed(seed)) / 128


def result(node: type, name: str, pipe: Any, kind: torch.dtype, mask: Any = None, channels: int = 3) -> Any:
    frames = steps(FRAMES, HEIGHT, WIDTH, channels)
    frames[..., :3] = steps(FRAMES, HEIGHT, WIDTH, 3)
    shown = steps(FRAMES, 24, 32, seed=1) if mask is None else mask
    seg = Seg(None, shown.to(kind), 0.9, (8, 8, 40, 32), (12, 12, 36, 28), "face")
    with torch.inference_mode():
        return node().doit(
            image_frames=frames.to(kind), segs=((HEIGHT, WIDTH), [seg]), basic_pipe=pipe, **SETTINGS, **MORE[name]
        )


def crops(given: Any) -> Any:
    """The detailed crops, whatever else the node gives."""
    segs = next(value for value in given if isinstance(value, tuple) and isinstance(value[1], list))
    return np.asarray(segs[1][0].cropped_image)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", sorted(DETAILERS))
def test_half_precision_gives_what_single_precision_gives(
    nodes: dict[str, type], toys: ModuleType, name: str, kind: torch.dtype
) -> None:
    half, single = (result(nodes[name], name, toys.pipe(), one) for one in (kind, torch.float32))
    np.testing.assert_array_equal(crops(half), crops(single))
    assert crops(half).dtype == np.float32
    if isinstance(half[0], Tensor):
        assert half[0].dtype == torch.float32
        assert torch.equal(half[0], single[0])


@pytest.mark.parametrize("name", sorted(DETAILERS))
def test_alpha_does_not_change_what_is_done(nodes: dict[str, type], toys: ModuleType, name: str) -> None:
    with_alpha, without = (result(nodes[name], name, toys.pipe(), torch.float32, channels=count) for count in (4, 3))
    np.testing.assert_array_equal(crops(with_alpha), crops(without))


@pytest.mark.parametrize("name", sorted(DETAILERS))
def test_a_black_mask_changes_nothing(nodes: dict[str, type], toys: ModuleType, name: str) -> None:
    black = torch.zeros(24, 32)
    given = result(nodes[name], name, toys.pipe(), torch.float32, mask=black)
    segs = next(value for value in given if isinstance(value, tuple) and isinstance(value[1], list))
    frames = steps(FRAMES, HEIGHT, WIDTH, 3)
    (pasted,) = nodes["SEGSPaste"]().doit(image=frames, segs=segs, feather=3)
    assert torch.equal(pasted, frames)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ComfyUI's temporary folder, for the slider's pictures."""
    paths = ModuleType("folder_paths")
    monkeypatch.setattr(paths, "get_temp_directory", lambda: str(tmp_path), raising=False)
    monkeypatch.setitem(sys.modules, "folder_paths", paths)


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_clips_of_half_precision_are_compared(nodes: dict[str, type], kind: torch.dtype) -> None:
    before, after = (steps(FRAMES, 64, 80, 4, seed=seed) for seed in (1, 2))
    seg = Seg(None, steps(40, 60).to(kind), 0.9, (8, 8, 68, 48), (12, 12, 60, 44), "face")
    half, single = (
        nodes["RedetailCompare"]().doit(before.to(one), after.to(one), 2.0, ((64, 80), [seg]))["result"]
        for one in (kind, torch.float32)
    )
    assert half[3] == single[3]
    for image, expected in zip(half[:3], single[:3], strict=True):
        assert image.dtype == torch.float32
        assert torch.equal(image, expected)


@pytest.mark.usefixtures("temporary")
def test_one_frame_is_compared(nodes: dict[str, type]) -> None:
    frame = steps(1, 64, 80, 3)
    answer = nodes["RedetailCompare"]().doit(frame, frame, 2.0, ((64, 80), []))
    assert len(answer["result"][0]) == len(answer["ui"]["pairs"]) == 1
