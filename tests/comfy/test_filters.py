"""Which segments go on, in which order, and under which names; tracked segments stay tracked through all of it."""

from typing import Any

import numpy as np
import pytest
import torch

from redetail.comfy.nodes.elements import ImpactEditSegElt, ImpactFromSegEltBBox, ImpactFromSegEltCropRegion
from redetail.comfy.nodes.filters import (
    EmptySegs,
    ImpactCountEltsInSEGS,
    ImpactIsNotEmptySEGS,
    ImpactSEGSLabelAssign,
    ImpactSEGSLabelFilter,
    ImpactSEGSOrderedFilter,
    ImpactSEGSPicker,
    ImpactSEGSRangeFilter,
)
from redetail.comfy.nodes.mask_edits import (
    ImpactSegsAndMask,
    ImpactSegsAndMaskForEach,
    ImpactSEGSMerge,
    ImpactSEGSToMaskBatch,
    ImpactSEGSToMaskList,
)
from redetail.comfy.tracked import TrackedSeg
from redetail.errors import InputError, RegionError, UnknownNameError
from redetail.segs import Seg
from tests.comfy.test_tracked import CLIP, FRAME, detailed, region, smooth_frames

HEADER = (40, 60)


def seg(label: str, x: int = 0, side: int = 10, confidence: Any = 0.5) -> Seg:
    region_ = (x, 5, x + side, 5 + side)
    return Seg(None, np.ones((side, side), np.float32), confidence, region_, region_, label)


SEGS = (HEADER, [seg("face", 30, 12, 0.9), seg("hand", 10, 20, 0.3), seg("left_eye", 20, 8, 0.3), seg("dog", 0, 12)])


def names(segs: Any) -> list[str]:
    return [segment.label for segment in segs[1]]


@pytest.mark.parametrize(
    ("labels", "kept"),
    [
        ("face", ["face"]),
        (" dog ,face", ["face", "dog"]),
        ("eyes", ["left_eye"]),
        ("all", ["face", "hand", "left_eye", "dog"]),
        ("All", []),
        ("", []),
    ],
)
def test_labels(labels: str, kept: list[str]) -> None:
    filtered, remained = ImpactSEGSLabelFilter().doit(SEGS, "cat", labels)
    assert names(filtered) == kept
    assert names(remained) == [label for label in names(SEGS) if label not in kept]
    assert filtered[0] == remained[0] == HEADER


@pytest.mark.parametrize(
    ("target", "low", "high", "kept"),
    [
        ("area(=w*h)", 144, 144, ["face", "dog"]),
        ("width", 8, 12, ["face", "left_eye", "dog"]),
        ("x1", 20, 60, ["face", "left_eye"]),
        ("y2", 0, 14, ["left_eye"]),
        ("length_percent", 100, 100, ["face", "hand", "left_eye", "dog"]),
        ("confidence(0-100)", 30, 60, ["hand", "left_eye", "dog"]),
    ],
)
def test_ranges_include_their_ends(target: str, low: int, high: int, kept: list[str]) -> None:
    inside, outside = ImpactSEGSRangeFilter().doit(SEGS, target, True, low, high)
    assert names(inside) == kept
    assert sorted(names(inside) + names(outside)) == sorted(names(SEGS))
    assert ImpactSEGSRangeFilter().doit(SEGS, target, False, low, high) == (outside, inside)


def test_a_confidence_may_be_an_array() -> None:
    segs = (HEADER, [seg("a", confidence=np.array([0.7], np.float32)), seg("b", confidence=torch.tensor(0.2))])
    assert names(ImpactSEGSRangeFilter().doit(segs, "confidence(0-100)", True, 60, 80)[0]) == ["a"]


def test_a_crop_without_a_side_has_no_proportion() -> None:
    with pytest.raises(RegionError, match=r"Segment 'flat' has an empty crop region \(0, 5, 0, 5\)"):
        ImpactSEGSRangeFilter().doit((HEADER, [seg("flat", side=0)]), "length_percent", True, 0, 1)


def test_order_is_stable_and_the_rest_is_kept() -> None:
    taken, rest = ImpactSEGSOrderedFilter().doit(SEGS, "area(=w*h)", True, 1, 2)
    assert (names(taken), names(rest)) == (["face", "dog"], ["hand", "left_eye"])
    taken, rest = ImpactSEGSOrderedFilter().doit(SEGS, "confidence", False, 0, 1)
    assert (names(taken), names(rest)) == (["hand"], ["left_eye", "dog", "face"])


@pytest.mark.parametrize(("start", "count"), [(9, 3), (0, 0), (3, 2**63 - 1)])
def test_taking_more_than_there_is(start: int, count: int) -> None:
    taken, rest = ImpactSEGSOrderedFilter().doit(SEGS, "x1", False, start, count)
    assert len(taken[1]) == max(0, min(4 - start, count))
    assert len(taken[1]) + len(rest[1]) == 4


@pytest.mark.parametrize("node", [ImpactSEGSOrderedFilter, ImpactSEGSRangeFilter])
def test_an_unknown_measure_is_named(node: Any) -> None:
    with pytest.raises(UnknownNameError, match="no target named 'depth'"):
        node().doit(SEGS, "depth", True, 0, 1)


def test_labels_are_assigned_in_order(caplog: pytest.LogCaptureFixture) -> None:
    assert names(ImpactSEGSLabelAssign().doit(SEGS, "anna, ben ,cleo,dan")[0]) == ["anna", "ben", "cleo", "dan"]
    assert not caplog.records
    assert names(ImpactSEGSLabelAssign().doit(SEGS, "anna,ben")[0]) == ["anna", "ben", "left_eye", "dog"]
    assert "The number of labels (2) differs from the number of segments (4)" in caplog.text
    assert names(SEGS) == ["face", "hand", "left_eye", "dog"]


@pytest.mark.parametrize(("picks", "kept"), [("1", ["face"]), ("4, 2,2", ["hand", "dog"]), ("", []), ("0,9,x,-1", [])])
def test_segments_are_picked_by_number(picks: str, kept: list[str], caplog: pytest.LogCaptureFixture) -> None:
    assert names(ImpactSEGSPicker().doit(picks, SEGS)[0]) == kept
    assert ("give the numbers of segments, counted from 1" in caplog.text) == (picks == "0,9,x,-1")


def test_picked_segments_are_scaled_with_their_pictures() -> None:
    carried = SEGS[1][1]._replace(cropped_image=np.full((2, 20, 20, 3), 0.25, np.float32))
    ((header, [one, two]),) = ImpactSEGSPicker().doit("1,2", (HEADER, [seg("a"), carried]), torch.zeros(1, 80, 60, 3))
    assert header == (80, 60)
    assert (one.crop_region, two.crop_region, two.bbox) == ((0, 10, 10, 30), (10, 10, 30, 50), (10, 10, 30, 50))
    np.testing.assert_allclose(two.cropped_image, np.full((2, 40, 20, 3), 0.25), atol=1e-6)
    assert two.cropped_mask.shape == (40, 20)


def test_counting() -> None:
    (empty,) = EmptySegs().doit()
    assert (ImpactCountEltsInSEGS().doit(SEGS), ImpactCountEltsInSEGS().doit(empty)) == ((4,), (0,))
    assert (ImpactIsNotEmptySEGS().doit(SEGS), ImpactIsNotEmptySEGS().doit(empty)) == ((True,), (False,))


def test_nothing_in_gives_nothing_out() -> None:
    (empty,) = EmptySegs().doit()
    assert ImpactSEGSMerge().doit(empty) == (empty,)
    assert ImpactSegsAndMask().doit(empty, torch.ones(1, 8, 8)) == (empty,)
    assert ImpactSegsAndMaskForEach().doit(empty, torch.ones(1, 8, 8)) == (empty,)
    assert [tuple(mask.shape) for mask in ImpactSEGSToMaskList().doit(empty)[0]] == [(1, 64, 64)]
    assert ImpactSEGSToMaskBatch().doit((HEADER, []))[0].shape == (1, *HEADER)


def test_a_mask_for_each_segment(caplog: pytest.LogCaptureFixture) -> None:
    masks = torch.zeros(3, 20, 30)  # half the size that the segments refer to
    masks[1] = 1
    ((_, cut),) = ImpactSegsAndMaskForEach().doit(SEGS, masks)
    assert [float(segment.cropped_mask.sum()) for segment in cut] == [0, 400, 0]
    assert "The number of masks (3) differs from the number of segments (4)" in caplog.text


def test_a_segment_with_many_masks_gives_one_after_the_other() -> None:
    moving = SEGS[1][0]._replace(cropped_mask=torch.ones(3, 12, 12))
    (masks,) = ImpactSEGSToMaskBatch().doit((HEADER, [SEGS[1][1], moving]))
    assert masks.dtype == torch.float32
    assert masks.sum(dim=(1, 2)).tolist() == [400, 144, 144, 144]


def test_parts_of_a_segment_are_replaced() -> None:
    image, mask = torch.rand(2, 10, 10, 3).bfloat16(), torch.rand(1, 10, 10).half()
    (changed,) = ImpactEditSegElt().doit(seg("face"), image, mask, 0.1, (1, 1, 11, 11), (2, 2, 5, 5), "hand", "wrapper")
    assert changed[2:] == (0.1, (1, 1, 11, 11), (2, 2, 5, 5), "hand", "wrapper")
    np.testing.assert_array_equal(changed.cropped_image, image.float().numpy())
    np.testing.assert_array_equal(changed.cropped_mask, mask[0].float().numpy())
    assert ImpactEditSegElt().doit(SEGS[1][0]) == (SEGS[1][0],)


@pytest.mark.parametrize("node", [ImpactFromSegEltBBox, ImpactFromSegEltCropRegion])
def test_the_sides_of_a_box(node: Any) -> None:
    assert node().doit([1.9, 2, np.int64(3), 4.0]) == (1, 2, 3, 4)
    with pytest.raises(InputError, match=r"must be four numbers \(x1, y1, x2, y2\), not \(1, 2\)"):
        node().doit((1, 2))


def test_what_is_no_segment() -> None:
    with pytest.raises(InputError, match="seg_elt has an element that is not a SEG: element 0"):
        ImpactEditSegElt().doit(3)


# Between detector and detailer a tracked subject must not lose its moving window.


@pytest.fixture
def crowd() -> Any:
    """A small subject that moves far, and a large one that stays."""
    moving, still = region(), region()
    small = TrackedSeg(moving, FRAME, CLIP, label="small", confidence=0.8)
    path = np.tile([0.0, 0.0], (5, 1))
    large = TrackedSeg(
        type(still)("large", 0.6, 1, type(still.size)(30, 24), path, np.tile([4.0, 4, 20, 20], (5, 1))), FRAME, CLIP
    )
    return FRAME.shape, [small, large]


@pytest.mark.parametrize(
    ("node", "inputs", "kept"),
    [
        (ImpactSEGSLabelFilter, ("all", "small"), ["small"]),
        (ImpactSEGSRangeFilter, ("width", True, 25, 99), ["large"]),  # the union of the small one's windows is 33 wide
        (ImpactSEGSRangeFilter, ("x1", True, 8, 9), ["small"]),  # its window is at 4.5 to 12.5
        (ImpactSEGSOrderedFilter, ("area(=w*h)", True, 0, 1), ["large"]),
        (ImpactSEGSOrderedFilter, ("confidence", True, 0, 1), ["small"]),
        (ImpactSEGSLabelAssign, ("anna, ben",), ["anna", "ben"]),
    ],
)
def test_tracked_segments_stay_tracked(crowd: Any, node: Any, inputs: Any, kept: list[str]) -> None:
    result = node().doit(crowd, *inputs)[0]
    assert names(result) == kept
    assert all(isinstance(segment, TrackedSeg) for segment in result[1])


def test_picking_a_tracked_segment_changes_nothing_of_it(crowd: Any) -> None:
    ((_, [picked]),) = ImpactSEGSPicker().doit("2", crowd, torch.zeros(1, *FRAME.shape, 3))
    assert isinstance(picked, TrackedSeg)
    assert picked.region is crowd[1][1].region
    ((header, [scaled]),) = ImpactSEGSPicker().doit("2", crowd, torch.zeros(CLIP, 96, 120, 3))
    assert header == (96, 120)
    assert isinstance(scaled, TrackedSeg)
    assert scaled.region.size.width == 60


def test_renaming_a_detailed_segment_keeps_its_crops() -> None:
    given = detailed(smooth_frames())
    (named,) = ImpactEditSegElt().doit(given, label_opt="anna", confidence_opt=0.5)
    assert isinstance(named, TrackedSeg)
    assert (named.crops, named.label, named.confidence) == (given.crops, "anna", 0.5)
    (masked,) = ImpactEditSegElt().doit(given, cropped_mask_opt=torch.ones(1, 21, 33))
    assert not isinstance(masked, TrackedSeg)
