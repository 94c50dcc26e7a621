"""Every node takes frames and masks of every floating type, with alpha, and of one frame, and answers alike.

All values are multiples of 1/128, which every type holds exactly: results must be equal, not merely close.
Nodes that need ComfyUI itself are in inside/test_frame_kinds.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from redetail.comfy.registry import all_nodes
from redetail.comfy.tracked import TrackedSeg
from redetail.imaging import resample
from redetail.pipeline.crop_store import HeldCrops
from redetail.region import Region, Size
from redetail.segs import Seg
from tests.clips import clip_frames
from tests.comfy.inside.test_frame_kinds import INSIDE
from tests.comfy.original_nodes import Detector

NODES = {node.ID: node for node in all_nodes()}
FRAMES, HEIGHT, WIDTH = 4, 40, 60
TYPES = (torch.float32, torch.float16, torch.bfloat16)
WITHOUT_PIXELS = {
    *("ToBasicPipe", "FromBasicPipe", "GITSSchedulerFuncProvider", "RedetailScheduler"),
    *("EmptySegs", "ImpactFrom_SEG_ELT_bbox", "ImpactFrom_SEG_ELT_crop_region"),
}


def steps(*shape: int, seed: int = 0) -> Tensor:
    """Random multiples of 1/128."""
    return torch.randint(0, 129, shape, generator=torch.Generator().manual_seed(seed)) / 128


@dataclass(frozen=True)
class Given:
    """What is connected: all of one type; frames have ``channels`` channels."""

    kind: torch.dtype
    count: int = FRAMES
    channels: int = 3

    def image(self, count: int | None = None, seed: int = 0) -> Tensor:
        rgb = steps(self.count if count is None else count, HEIGHT, WIDTH, 3, seed=seed)
        alpha = torch.full((*rgb.shape[:3], 1), 0.5)
        return (torch.cat([rgb, alpha], -1) if self.channels == 4 else rgb).to(self.kind)

    @property
    def face(self) -> Tensor:
        """A frame with a face in it."""
        pixels = torch.from_numpy(clip_frames("busker")[0].astype(np.float32))[None]
        return (pixels / 255 * 128).round().div(128).to(self.kind)

    def mask(self, count: int | None = None) -> Tensor:
        mask = torch.zeros(self.count if count is None else count, HEIGHT, WIDTH)
        for index in range(len(mask)):
            mask[index, 8:24, 12 + index : 32 + index] = 0.75
        return mask.to(self.kind)

    @property
    def seg(self) -> Seg:
        """A detailed segment with a mask for every frame."""
        mask = steps(self.count, 20, 30, seed=1).to(self.kind)
        crops = steps(self.count, 20, 30, 3, seed=2).to(self.kind)
        return Seg(crops, mask, 0.5, (20, 10, 50, 30), (25, 12, 45, 28), "face")

    @property
    def segs(self) -> Any:
        return (HEIGHT, WIDTH), [self.seg]

    @property
    def tracked(self) -> Any:
        """A detailed segment whose window moves."""
        path = np.array([[5.5 + index, 4.0] for index in range(self.count)])
        region = Region("face", 0.9, 0, Size(24, 20), path, np.tile([10.0, 8, 24, 20], (self.count, 1)))
        frames = self.image().float().numpy()
        crops = HeldCrops((self.count, 20, 24, 3))
        for index in range(self.count):
            shown = resample.crop(frames[index, ..., :3], region.window(index), region.size)
            crops.write(index, shown[None] * np.float32(0.5))
        return (HEIGHT, WIDTH), [TrackedSeg(region, Size(WIDTH, HEIGHT), self.count).with_crops(frames, crops)]


SEARCH = {
    "bbox_threshold": 0.5, "bbox_dilation": 0, "crop_factor": 1.0, "drop_size": 1, "sub_threshold": 0.5,
    "sub_dilation": 0, "sub_bbox_expansion": 0, "sam_mask_hint_threshold": 0.7,
}  # fmt: skip
CUT = {"combined": False, "crop_factor": 1.5, "bbox_fill": False, "drop_size": 2, "contour_fill": False}
FIND = {"threshold": 0.5, "dilation": 0, "crop_factor": 1.5, "drop_size": 1, "labels": "all"}
TRACK = {
    "crop_factor": 1.5, "subjects": 0, "confidence": 0.6, "min_size": 4, "dilation": 0, "dilation_unit": "pixels",
    "unite_masks": False,
}  # fmt: skip

CALLS: dict[str, Callable[[Given], dict[str, Any]]] = {
    "SEGSPaste": lambda g: {"image": g.image(), "segs": g.segs, "feather": 3, "ref_image_opt": g.image(seed=3)},
    "RedetailPaste": lambda g: {"image_frames": g.image(), "segs": g.segs, "feather": 3, "strength": 0.5},
    "ImpactControlNetApplySEGS": lambda g: {
        "segs": g.segs, "control_net": None, "strength": 1.0, "control_image": g.image(seed=3)
    },
    "ImpactControlNetApplyAdvancedSEGS": lambda g: {
        "segs": g.segs, "control_net": None, "strength": 1.0, "start_percent": 0.0, "end_percent": 1.0,
        "control_image": g.image(seed=3),
    },
    "ImpactControlNetClearSEGS": lambda g: {"segs": g.segs},
    "MaskToSEGS": lambda g: {"mask": g.mask(), **CUT},
    "MaskToSEGS_for_AnimateDiff": lambda g: {"mask": g.mask(), **CUT},
    "SegsToCombinedMask": lambda g: {"segs": g.segs},
    "ImpactDecomposeSEGS": lambda g: {"segs": g.segs},
    "ImpactAssembleSEGS": lambda g: {"seg_header": [(HEIGHT, WIDTH)], "seg_elt": [g.seg]},
    "ImpactFrom_SEG_ELT": lambda g: {"seg_elt": g.seg},
    "ImpactSEGSConcat": lambda g: {"segs1": g.segs, "segs2": g.tracked},
    "SetDefaultImageForSEGS": lambda g: {"segs": g.segs, "image": g.image(), "override": True},
    "RemoveImageFromSEGS": lambda g: {"segs": g.segs},
    "BboxDetectorSEGS": lambda g: {"bbox_detector": Detector(g.segs), "image": g.image(1), **FIND},
    "SegmDetectorSEGS": lambda g: {"segm_detector": Detector(g.segs), "image": g.image(1), **FIND},
    "ImpactSimpleDetectorSEGS": lambda g: {"bbox_detector": Detector(g.segs), "image": g.image(1), **SEARCH},
    "ImpactSimpleDetectorSEGSPipe": lambda g: {
        "detailer_pipe": (*[None] * 6, Detector(g.segs), *[None] * 7), "image": g.image(1), **SEARCH
    },
    "ImpactSimpleDetectorSEGS_for_AD": lambda g: {
        "bbox_detector": Detector(g.segs), "image_frames": g.image(), **SEARCH
    },
    "SEGSPreview": lambda g: {"segs": g.segs, "alpha_mode": True, "min_alpha": 0.2},
    "SEGSPreviewCNet": lambda g: {"segs": hinted(g)},
    "SEGSToImageList": lambda g: {"segs": without_pictures(g), "fallback_image_opt": g.image()},
    "ImpactSEGSLabelFilter": lambda g: {"segs": g.segs, "preset": "all", "labels": "face"},
    "ImpactSEGSRangeFilter": lambda g: {
        "segs": g.segs, "target": "width", "mode": True, "min_value": 0, "max_value": 99
    },
    "ImpactSEGSOrderedFilter": lambda g: {
        "segs": g.segs, "target": "width", "order": True, "take_start": 0, "take_count": 1
    },
    "ImpactSEGSLabelAssign": lambda g: {"segs": g.segs, "labels": "anna"},
    "ImpactSEGSPicker": lambda g: {
        "picks": "1", "segs": ((HEIGHT * 2, WIDTH), [g.seg]), "fallback_image_opt": g.image()
    },
    "ImpactCount_Elts_in_SEGS": lambda g: {"segs": g.segs},
    "ImpactIsNotEmptySEGS": lambda g: {"segs": g.segs},
    "ImpactDilateMaskInSEGS": lambda g: {"segs": g.segs, "dilation": 3},
    "ImpactGaussianBlurMaskInSEGS": lambda g: {"segs": g.segs, "kernel_size": 3, "sigma": 2.0},
    "ImpactSegsAndMask": lambda g: {"segs": g.segs, "mask": g.mask()},
    "ImpactSegsAndMaskForEach": lambda g: {"segs": g.segs, "masks": g.mask(1)},
    "ImpactSEGSToMaskList": lambda g: {"segs": g.segs},
    "ImpactSEGSToMaskBatch": lambda g: {"segs": g.segs},
    "ImpactSEGSMerge": lambda g: {"segs": g.segs},
    "ImpactEdit_SEG_ELT": lambda g: {
        "seg_elt": g.seg, "cropped_image_opt": g.image(seed=3), "cropped_mask_opt": g.mask()
    },
    "ImpactDilate_Mask_SEG_ELT": lambda g: {"seg_elt": g.seg, "dilation": 3},
    "ImpactScaleBy_BBOX_SEG_ELT": lambda g: {"seg": g.seg, "scale_by": 0.5},
    "ImpactMakeTileSEGS": lambda g: {
        "images": g.image(), "bbox_size": 64, "crop_factor": 1.5, "min_overlap": 5, "filter_segs_dilation": 0,
        "filter_in_segs_opt": g.segs,
    },
    "RedetailDetect": lambda g: {
        "threshold": 0.6, "dilation": 0, "crop_factor": 2.0, "min_size": 16, "working_size": 768, "image": g.face
    },
    "RedetailPick": lambda g: {"image_frames": g.image(), "segs": g.tracked, "choice": ""},
    "RedetailTrack": lambda g: {"image_frames": g.image(), "masks": g.mask(), **TRACK},
}  # fmt: skip


class Hinted:
    """A ControlNet that shows its hint."""

    def __init__(self, image: Tensor) -> None:
        self.control_image = image


def hinted(given: Given) -> Any:
    return (HEIGHT, WIDTH), [given.seg._replace(control_net_wrapper=Hinted(given.image(seed=4)))]


def without_pictures(given: Given) -> Any:
    return (HEIGHT, WIDTH), [given.seg._replace(cropped_image=None)]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ComfyUI's temporary folder, for previews."""
    paths = ModuleType("folder_paths")
    monkeypatch.setattr(paths, "get_temp_directory", lambda: str(tmp_path), raising=False)
    monkeypatch.setitem(sys.modules, "folder_paths", paths)


def outcome(name: str, given: Given) -> list[Any]:
    """What a node gives; of a preview the pictures, and of SEGS what anybody reads in them."""
    result = NODES[name]().doit(**CALLS[name](given))
    values = result["result"] if isinstance(result, dict) else result
    return [read(value) for value in values]


def read(value: Any) -> Any:
    """Tensors and arrays as float32 arrays; segments as lists of their fields."""
    if isinstance(value, Tensor | np.ndarray):
        return np.asarray(value.float() if isinstance(value, Tensor) else value)
    if hasattr(value, "hint"):
        return read(value.hint)
    if isinstance(value, list | tuple):
        return [read(item) for item in value]
    return value if isinstance(value, int | float | str | None) else type(value).__name__


def check_equal(one: Any, other: Any) -> None:
    if isinstance(one, list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            check_equal(*pair)
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
    else:
        assert one == other


def tensors(value: Any) -> list[Tensor]:
    items = value if isinstance(value, list | tuple) and not isinstance(value, Seg) else [value]
    return [item for item in items if isinstance(item, Tensor)]


def test_no_node_is_left_out() -> None:
    assert CALLS.keys() | WITHOUT_PIXELS | INSIDE == NODES.keys()


@pytest.mark.parametrize("kind", TYPES[1:])
@pytest.mark.parametrize("name", CALLS)
def test_half_precision_gives_what_single_precision_gives(name: str, kind: torch.dtype) -> None:
    check_equal(outcome(name, Given(kind)), outcome(name, Given(torch.float32)))


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", CALLS)
def test_images_and_masks_leave_in_single_precision(name: str, kind: torch.dtype) -> None:
    result = NODES[name]().doit(**CALLS[name](Given(kind)))
    values = result["result"] if isinstance(result, dict) else result
    for type_, value in zip(NODES[name].RETURN_TYPES, values, strict=True):
        if type_ in ("IMAGE", "MASK"):
            assert {item.dtype for item in tensors(value)} == {torch.float32}


@pytest.mark.parametrize("name", CALLS)
def test_one_frame_is_a_clip(name: str) -> None:
    assert outcome(name, Given(torch.float32, count=1))


@pytest.mark.parametrize("name", CALLS)
def test_alpha_does_not_change_what_is_done(name: str) -> None:
    check_equal(*(colours(outcome(name, Given(torch.float32, channels=count))) for count in (3, 4)))


WITH_SEGS = [name for name in CALLS if "segs" in CALLS[name](Given(torch.float32))]


@pytest.mark.parametrize("header", [(HEIGHT, WIDTH), (0, 0)])
@pytest.mark.parametrize("name", WITH_SEGS)
def test_no_segments_are_no_error(name: str, header: tuple[int, int]) -> None:
    given = Given(torch.float32)
    result = NODES[name]().doit(**{**CALLS[name](given), "segs": (header, [])})
    values = result["result"] if isinstance(result, dict) else result
    for kind, value in zip(NODES[name].RETURN_TYPES, values, strict=True):
        if kind == "SEGS":
            assert value[1] == []
        elif kind == "IMAGE" and "Paste" in name:
            assert torch.equal(value, given.image())
        elif kind == "MASK":
            assert all(float(mask.max()) == 0 and mask.numel() > 0 for mask in tensors(value))


def colours(value: Any) -> Any:
    """Pictures without their alpha."""
    if isinstance(value, list):
        return [colours(item) for item in value]
    return value[..., :3] if isinstance(value, np.ndarray) and value.ndim == 4 else value


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", ["SEGSPaste", "RedetailPaste"])
def test_a_moving_crop_is_pasted_into_frames_of_every_type(name: str, kind: torch.dtype) -> None:
    given, single = Given(kind), Given(torch.float32)
    inputs = {"SEGSPaste": {"alpha": 200}, "RedetailPaste": {"strength": 0.8}}[name]
    image = {"SEGSPaste": "image", "RedetailPaste": "image_frames"}[name]
    results = [
        NODES[name]().doit(**{image: one.image(), "segs": single.tracked, "feather": 2, **inputs})[0]
        for one in (given, single)
    ]
    assert torch.equal(*results)
    assert (results[1] - single.image()).abs().max() > 0.1
