"""Detectors of other packs: what they are asked, what becomes of their answers, and what is said when they fail."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from redetail.comfy.nodes.detectors import (
    BboxDetectorSEGS,
    ImpactSimpleDetectorSEGS,
    ImpactSimpleDetectorSEGSForAD,
    ImpactSimpleDetectorSEGSPipe,
)
from redetail.errors import InputError, RegionError
from redetail.segs import Seg

SIZE = (40, 60)
SEARCH = {
    "bbox_threshold": 0.5,
    "bbox_dilation": 0,
    "crop_factor": 1.0,
    "drop_size": 1,
    "sub_threshold": 0.5,
    "sub_dilation": 0,
    "sub_bbox_expansion": 0,
    "sam_mask_hint_threshold": 0.7,
}


def frames(count: int) -> torch.Tensor:
    """Frames whose pixels hold their number."""
    return torch.arange(count, dtype=torch.float32)[:, None, None, None].expand(count, *SIZE, 3) / 100


def box(x1: int, y1: int, x2: int, y2: int, value: float = 1.0, image: Any = None) -> Seg:
    mask = np.full((y2 - y1, x2 - x1), value, np.float32)
    return Seg(image, mask, 0.9, (x1, y1, x2, y2), (x1, y1, x2, y2), "face")


class Detector:
    """Answers with the segments of each frame."""

    def __init__(self, *found: list[Seg], size: tuple[int, int] = SIZE) -> None:
        self.found, self.size, self.seen = found, size, []

    def detect(self, image: torch.Tensor, *values: Any, **named: Any) -> Any:
        index = round(float(image[0, 0, 0, 0]) * 100)
        self.seen.append((index, values, named))
        return self.size, self.found[index]


def sums(segs: Any) -> list[Any]:
    return [torch.as_tensor(segment.cropped_mask).sum(dim=(-2, -1)).tolist() for segment in segs[1]]


def test_the_hook_of_a_bbox_detector_is_its_sixth_argument() -> None:
    detector, hook = Detector([box(5, 5, 15, 15)]), object()
    BboxDetectorSEGS().doit(detector, frames(1), 0.4, 3, 2.0, 7, "all", detailer_hook=hook)
    assert detector.seen == [(0, (0.4, 3, 2.0, 7, hook), {})]


def test_one_model_behind_both_inputs_is_asked_once() -> None:
    boxes, parts = Detector([box(5, 5, 15, 15)]), Detector([box(8, 8, 12, 12)])
    parts.bbox_detector = boxes
    (segs,) = ImpactSimpleDetectorSEGS().doit(boxes, frames(1), **SEARCH, segm_detector_opt=parts)
    assert boxes.seen == []
    assert [segment.bbox for segment in segs[1]] == [(8, 8, 12, 12)]


def test_the_hook_of_a_pipe_reaches_both_detectors() -> None:
    boxes, parts, hook = Detector([box(5, 5, 15, 15)]), Detector([box(8, 8, 30, 30, 0.5)]), object()
    pipe = (*(None,) * 6, boxes, parts, None, hook, *(None,) * 4)
    (segs,) = ImpactSimpleDetectorSEGSPipe().doit(pipe, frames(1), **SEARCH)
    assert [call[2] for call in (*boxes.seen, *parts.seen)] == [{"detailer_hook": hook}] * 2
    assert sums(segs) == [49 * 0.5]


def test_soft_masks_stay_soft() -> None:
    soft = Detector([box(5, 5, 15, 15, 0.3)], [box(5, 5, 15, 15, 0.6)])
    (segs,) = ImpactSimpleDetectorSEGSForAD().doit(soft, frames(2), **SEARCH, masking_mode="Don't combine")
    assert sums(segs)[0] == pytest.approx([30, 60])


def test_neighbouring_frames_unite_with_the_one_before() -> None:
    moving = Detector(*([box(5, 5 + 4 * i, 15, 15 + 4 * i)] for i in range(4)))
    (segs,) = ImpactSimpleDetectorSEGSForAD().doit(
        moving, frames(4), **SEARCH, masking_mode="Combine neighboring frames"
    )
    assert sums(segs) == [[100, 140, 140, 140]]


def test_the_first_frame_as_pivot() -> None:
    moving = Detector([box(5, 5, 15, 15, image=torch.ones(1, 10, 10, 3))], [box(9, 5, 19, 15)], [])
    run = ImpactSimpleDetectorSEGSForAD().doit
    (still,) = run(moving, frames(3), **SEARCH, segs_pivot="1st frame mask")
    (apart,) = run(moving, frames(3), **SEARCH, segs_pivot="1st frame mask", masking_mode="Don't combine")
    assert still[0] == apart[0] == SIZE
    assert sums(still) == [100]
    assert sums(apart) == [[100, 60, 0]]
    assert [s.label for s in still[1]] == ["face"]
    # Its picture shows one frame and would freeze the clip.
    assert still[1][0].cropped_image is None


def test_nothing_found_is_no_error() -> None:
    for mode in ("Pivot SEGS", "Combine neighboring frames", "Don't combine"):
        for pivot in ("Combined mask", "1st frame mask"):
            (segs,) = ImpactSimpleDetectorSEGSForAD().doit(
                Detector([], [], size=(0, 0)), frames(2), **SEARCH, masking_mode=mode, segs_pivot=pivot
            )
            assert segs == (SIZE, [])


def test_detections_are_not_changed_in_place() -> None:
    given = box(5, 5, 15, 15)
    (segs,) = ImpactSimpleDetectorSEGS().doit(
        Detector([given]), frames(1), **SEARCH, post_dilation=-3, segm_detector_opt=Detector([box(8, 8, 12, 12)])
    )
    assert sums(segs) == [4]
    assert given.cropped_mask.sum() == 100


class Sam:
    """A SAM_MODEL without a wrapper and without a device to prepare; or one that fails."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def predict(self, *_: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("answer", [None, []])
def test_a_sam_model_that_sees_nothing(answer: Any) -> None:
    (segs,) = ImpactSimpleDetectorSEGS().doit(
        Detector([box(5, 5, 15, 15)]), frames(1), **SEARCH, sam_model_opt=Sam(answer)
    )
    assert sums(segs) == [0]


@pytest.mark.parametrize("mask", [torch.ones(SIZE), np.ones((1, *SIZE), bool), torch.ones(1, 1, *SIZE)])
def test_masks_of_sam_models_in_all_their_shapes(mask: Any) -> None:
    (segs,) = ImpactSimpleDetectorSEGS().doit(
        Detector([box(5, 5, 15, 15)]), frames(1), **SEARCH, sam_model_opt=Sam([mask])
    )
    assert sums(segs) == [100]


def test_the_device_is_released_when_a_sam_model_fails() -> None:
    released = []
    sam = Sam(RuntimeError("out of memory"))
    sam.release_device = lambda: released.append(True)
    with pytest.raises(RuntimeError, match="out of memory"):
        ImpactSimpleDetectorSEGS().doit(
            Detector([box(5, 5, 15, 15)]), frames(1), **SEARCH, sam_model_opt=SimpleNamespace(sam_wrapper=sam)
        )
    assert released == [True]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bbox_detector": None}, "bbox_detector is not a detector"),
        ({"bbox_detector": SimpleNamespace(detect=lambda *_, **__: None)}, "result of bbox_detector must be SEGS"),
        (
            {"bbox_detector": Detector([box(5, 5, 15, 15)], size=(80, 80))},
            "was given a 60x40 image but returned a result for a 80x80",
        ),
        ({"segm_detector_opt": 3}, "segm_detector_opt is not a detector"),
        ({"sam_model_opt": 3}, "sam_model_opt is not a SAM_MODEL"),
        ({"sam_model_opt": Sam([np.ones((8, 8))])}, "sam_model_opt returned a mask that cannot be used"),
        ({"image": frames(2)}, "The image input has 2 frames.*Simple Detector for AnimateDiff"),
        ({"image": None}, "image must be an IMAGE, not NoneType"),
    ],
)
def test_errors_name_the_input(changes: dict[str, Any], message: str) -> None:
    values = {"bbox_detector": Detector([box(5, 5, 15, 15)]), "image": frames(1), **SEARCH, **changes}
    with pytest.raises((InputError, RegionError), match=message):
        ImpactSimpleDetectorSEGS().doit(**values)


@pytest.mark.parametrize("pipe", [None, (), (None,) * 14])
def test_a_pipe_without_a_detector(pipe: Any) -> None:
    with pytest.raises(InputError, match="detailer_pipe"):
        ImpactSimpleDetectorSEGSPipe().doit(pipe, frames(1), **SEARCH)


@pytest.mark.parametrize("name", ["masking_mode", "segs_pivot"])
def test_modes_that_do_not_exist(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} is 'x'; choose one of"):
        ImpactSimpleDetectorSEGSForAD().doit(Detector([]), frames(1), **{**SEARCH, name: "x"})


def test_the_bar_moves_on_and_stop_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(Exception):
        pass

    ticks: list[int] = []

    def check() -> None:
        if len(ticks) == 2:
            raise Stopped

    comfy, management, utils = (ModuleType(name) for name in ("comfy", "comfy.model_management", "comfy.utils"))
    monkeypatch.setattr(management, "throw_exception_if_processing_interrupted", check, raising=False)
    monkeypatch.setattr(utils, "ProgressBar", lambda count: SimpleNamespace(update=ticks.append), raising=False)
    for module in (comfy, management, utils):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    detector = Detector(*([] for _ in range(5)))
    with pytest.raises(Stopped):
        ImpactSimpleDetectorSEGSForAD().doit(detector, frames(5), **SEARCH)
    assert len(detector.seen) == 2
