"""The nodes around the detailer answer what was recorded: crops, boxes, masks, labels, order and calls, bit for bit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor

from redetail.comfy.nodes.detectors import (
    BboxDetectorSEGS,
    ImpactSimpleDetectorSEGS,
    ImpactSimpleDetectorSEGSForAD,
    ImpactSimpleDetectorSEGSPipe,
)
from redetail.comfy.nodes.gits import GITSSchedulerFuncProvider
from redetail.comfy.nodes.masks import MaskToSEGS, MaskToSEGSForAnimateDiff, SegsToCombinedMask
from redetail.comfy.nodes.segs import SetDefaultImageForSEGS
from redetail.segs import Seg, Segs

FOLDER = Path(__file__).parent / "data"
RECORDED = json.loads((FOLDER / "small_nodes.json").read_text())
TENSORS = load_file(FOLDER / "small_nodes.safetensors")
HEIGHT, WIDTH = RECORDED["size"]
NODES = {
    node.ID: node
    for node in (
        MaskToSEGS,
        MaskToSEGSForAnimateDiff,
        ImpactSimpleDetectorSEGS,
        ImpactSimpleDetectorSEGSPipe,
        ImpactSimpleDetectorSEGSForAD,
    )
}


def cases(*ids: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in RECORDED["cases"] if case["node"] in ids]


def tensor(name: str) -> np.ndarray[Any, Any]:
    value = TENSORS[name]
    return value.astype(np.float32) / np.float32(255) if value.dtype == np.uint8 else value


def seg(entry: dict[str, Any]) -> Seg:
    """A detector's answer: 1 inside the box."""
    x1, y1, x2, y2 = entry["crop_region"]
    mask = np.zeros((y2 - y1, x2 - x1), np.float32)
    left, top, right, bottom = entry["bbox"]
    mask[top - y1 : bottom - y1, left - x1 : right - x1] = 1
    return Seg(None, mask, entry["confidence"], (x1, y1, x2, y2), tuple(entry["bbox"]), entry["label"])


class Detector:
    """Answers with what was recorded for the frame, whose number its pixels hold, and writes every call down."""

    def __init__(self, name: str, frames: list[list[dict[str, Any]]], calls: list[Any]) -> None:
        self.name, self.frames, self.calls = name, frames, calls

    def detect(self, image: Tensor, *values: Any, **named: Any) -> Segs:
        assert image.shape == (1, HEIGHT, WIDTH, 3)
        index = round(float(image[0, 0, 0, 0]) * 100)
        self.calls.append([self.name, index, list(values), named])
        return (HEIGHT, WIDTH), [seg(entry) for entry in self.frames[index]]


class SamModel:
    """Answers with a rectangle around the point that is asked."""

    def __init__(self, rectangle: list[int], calls: list[Any]) -> None:
        self.sam_wrapper, self.rectangle, self.calls = self, rectangle, calls

    def prepare_device(self) -> None:
        self.calls.append(["prepare_device"])

    def release_device(self) -> None:
        self.calls.append(["release_device"])

    def predict(self, pixels: Any, points: Any, labels: Any, box: Any, threshold: float) -> list[Tensor]:
        assert (pixels.shape, pixels.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
        self.calls.append(["predict", list(points[0]), list(labels), list(box), threshold])
        mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
        (x, y), (x1, y1, x2, y2) = map(int, points[0]), self.rectangle
        mask[max(0, y + y1) : y + y2, max(0, x + x1) : x + x2] = True
        return [mask]


def check(segs: Segs, case: dict[str, Any]) -> None:
    """Everything is equal, and of the types that other packs expect."""
    (header, found), expected = segs, case["expected"]
    assert list(header) == expected["header"]
    assert [(list(s.crop_region), list(s.bbox), s.confidence, s.label) for s in found] == [
        (e["crop_region"], e["bbox"], e["confidence"], e["label"]) for e in expected["segs"]
    ]
    for segment, entry in zip(found, expected["segs"], strict=True):
        assert type(segment) is Seg
        recorded = tensor(entry["mask"])
        kind = np.ndarray if recorded.ndim == 2 else Tensor
        assert isinstance(segment.cropped_mask, kind)
        kept = [i for i in range(len(recorded)) if recorded.ndim == 2 or i not in case.get("left_out_frames", ())]
        np.testing.assert_array_equal(np.asarray(segment.cropped_mask)[kept], recorded[kept])


@pytest.mark.parametrize("case", cases("MaskToSEGS", "MaskToSEGS_for_AnimateDiff"))
def test_segments_of_masks(case: dict[str, Any]) -> None:
    mask = torch.from_numpy(tensor(case["mask"]))
    before = mask.clone()
    check(NODES[case["node"]]().doit(mask, **case["inputs"])[0], case)
    assert torch.equal(mask, before)


@pytest.mark.parametrize("case", cases(*(name for name in NODES if "Detector" in name)))
def test_segments_of_detectors(case: dict[str, Any]) -> None:
    calls: list[Any] = []
    detector = Detector("bbox", case["found"], calls)
    second = None if case["second"] is None else Detector("segm", case["second"], calls)
    sam = None if case["sam"] is None else SamModel(case["sam"], calls)
    frames = torch.stack([torch.full((HEIGHT, WIDTH, 3), index / 100) for index in range(len(case["found"]))])
    node = NODES[case["node"]]()
    if isinstance(node, ImpactSimpleDetectorSEGSPipe):
        pipe = (*(None,) * 6, detector, second, sam, *(None,) * 5)
        segs = node.doit(pipe, frames, **case["inputs"])[0]
    else:
        segs = node.doit(detector, frames, **case["inputs"], sam_model_opt=sam, segm_detector_opt=second)[0]
    assert calls == case["calls"]
    check(segs, case)


@pytest.mark.parametrize("labels", RECORDED["labels"]["kept"])
def test_labels(labels: str) -> None:
    calls: list[Any] = []
    detector = Detector("bbox", [RECORDED["labels"]["found"]], calls)
    segs = BboxDetectorSEGS().doit(detector, torch.zeros(1, HEIGHT, WIDTH, 3), 0.5, 10, 3.0, 10, labels)[0]
    assert [segment.label for segment in segs[1]] == RECORDED["labels"]["kept"][labels]
    assert calls == [["bbox", 0, [0.5, 10, 3.0, 10, None], {}]]


def test_united_mask() -> None:
    mask = SegsToCombinedMask().doit(((HEIGHT, WIDTH), [seg(entry) for entry in RECORDED["combined"]]))[0]
    np.testing.assert_array_equal(mask.numpy(), tensor("combined"))


def test_segments_on_a_larger_image() -> None:
    scaled = RECORDED["scaled"]
    image = torch.zeros(1, HEIGHT * scaled["factor"], WIDTH * scaled["factor"], 3)
    _, found = SetDefaultImageForSEGS().doit(((HEIGHT, WIDTH), [seg(entry) for entry in scaled["segs"]]), image, True)[
        0
    ]
    assert [(list(s.crop_region), list(s.bbox)) for s in found] == [
        (entry["crop_region"], entry["bbox"]) for entry in scaled["expected"]
    ]
    for index, segment in enumerate(found):
        # Both are bilinear; theirs rounds in float32 on the way.
        np.testing.assert_allclose(segment.cropped_mask, tensor(f"scaled/{index}"), atol=1e-6)


def test_gits() -> None:
    for entry in RECORDED["gits"]:
        schedule = GITSSchedulerFuncProvider().doit(entry["coeff"], entry["denoise"])[0]
        sigmas = schedule(None, "dpm_2", entry["steps"])
        # Interpolated rows: theirs are float32.
        torch.testing.assert_close(sigmas, torch.tensor(entry["sigmas"]), rtol=2e-6, atol=0)
