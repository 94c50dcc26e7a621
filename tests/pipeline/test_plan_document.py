"""A plan comes back from its document exactly, through JSON and files of masks."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from redetail.errors import InputError
from redetail.geometry.crop import Padding
from redetail.pipeline.plan import CropPlan, Plan
from redetail.pipeline.plan_document import PackedMasks, plan_from_document, plan_to_document
from redetail.pipeline.stretches import Budgets, Stretch
from redetail.region import Region, Size
from redetail.settings import Settings
from tests.pipeline.plans import crop_plan, plan_of

SIZES = st.builds(Size, st.integers(1, 5000), st.integers(1, 5000))
NUMBERS = st.floats(-1e4, 1e4, allow_nan=False)
SETTINGS = st.builds(
    Settings,
    prompt=st.text(max_size=20),
    loras=st.lists(st.text(max_size=5), max_size=2).map(tuple),
    seed=st.integers(0, 2**64 - 1),
    denoise=st.floats(0.0001, 1),
    context_loop=st.booleans(),
)


@st.composite
def regions(draw: st.DrawFn) -> Region:
    frames, size = draw(st.integers(1, 6)), Size(draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    count = draw(st.sampled_from([0, 1, frames]))
    masks = [draw(arrays(np.uint8, size.shape)) for _ in range(count)]
    return Region(
        label=draw(st.text(max_size=8)),
        confidence=draw(st.floats(0, 1)),
        start=draw(st.integers(0, 10**6)),
        size=size,
        path=draw(arrays(np.float64, (frames, 2), elements=NUMBERS)),
        boxes=draw(arrays(np.float64, (frames, 4), elements=NUMBERS)),
        masks=masks or None,
        fade_in=draw(st.integers(0, 9)),
        fade_out=draw(st.integers(0, 9)),
    )


CROPS = st.builds(
    CropPlan,
    region=regions(),
    working=SIZES,
    padding=st.builds(Padding, *[st.integers(0, 63)] * 4),
    settings=SETTINGS,
    track=st.integers(1, 99),
    stretches=st.lists(st.builds(Stretch, *[st.integers(0, 999)] * 3), max_size=4).map(tuple),
)
PLANS = st.builds(
    Plan,
    start=st.integers(0, 999),
    stop=st.integers(0, 999),
    size=SIZES,
    crops=st.lists(CROPS, max_size=3).map(tuple),
    notices=st.lists(st.text(max_size=9), max_size=2).map(tuple),
    settings=st.none() | SETTINGS,
    noise_level=st.none() | st.floats(0, 1),
    placement=st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers() | st.none(), max_size=2),
    budgets=st.none() | st.builds(Budgets, st.integers(1, 2**40), st.none() | st.integers(1, 99)),
)


def read_back(plan: Plan) -> Plan:
    document, files = plan_to_document(plan)
    return plan_from_document(json.loads(json.dumps(document)), files)


@given(PLANS)
@settings(deadline=None, max_examples=60)
def test_a_plan_comes_back_exactly(plan: Plan) -> None:
    again = read_back(plan)
    for item in fields(Plan):
        if item.name != "crops":
            assert getattr(again, item.name) == getattr(plan, item.name)
    for ours, theirs in zip(again.crops, plan.crops, strict=True):
        assert replace(ours, region=theirs.region) == theirs
        _assert_equal(ours.region, theirs.region)
    assert plan_to_document(again) == plan_to_document(plan)


def _assert_equal(ours: Region, theirs: Region) -> None:
    for name in ("label", "confidence", "start", "size", "fade_in", "fade_out"):
        assert getattr(ours, name) == getattr(theirs, name)
    for name in ("path", "boxes"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), strict=True)
    if theirs.masks is None or ours.masks is None:
        assert ours.masks is theirs.masks
        return
    for mask, expected in zip(ours.masks, theirs.masks, strict=True):
        np.testing.assert_array_equal(mask, expected, strict=True)


def test_masks_are_unpacked_one_at_a_time_and_can_be_sliced() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (4, 3, 5), np.uint8)
    masks = PackedMasks.of(pictures, Size(5, 3))
    np.testing.assert_array_equal(masks[2], pictures[2])
    np.testing.assert_array_equal(list(masks[1:3]), pictures[1:3])


def test_the_plan_states_its_look_behind() -> None:
    assert plan_to_document(plan_of(crop_plan(41, most=18)))[0]["look_behind"] == 8
    assert plan_to_document(plan_of(crop_plan(41)))[0]["look_behind"] == 0


def test_another_version_is_refused() -> None:
    document, files = plan_to_document(plan_of(crop_plan(5)))
    with pytest.raises(InputError, match="The plan has version 99, but this version of redetail reads version 1"):
        plan_from_document({**document, "plan_version": 99}, files)


@pytest.mark.parametrize("spoiled", [{"size": [0, 4]}, {"crops": [{}]}, {"settings": {"steps": -1}}, {"crops": 3}])
def test_a_damaged_plan_is_refused(spoiled: dict[str, object]) -> None:
    document, files = plan_to_document(plan_of(crop_plan(5)))
    with pytest.raises(InputError, match=r"The plan in the work folder is damaged \(.*\); remove the folder"):
        plan_from_document({**document, **spoiled}, files)


def test_missing_or_cut_masks_are_refused() -> None:
    crop = crop_plan(5)
    masks = [np.full((14, 18), 255, np.uint8)]
    document, files = plan_to_document(plan_of(replace(crop, region=replace(crop.region, masks=masks))))
    for spoiled in ({}, {name: data[:-1] for name, data in files.items()}):
        with pytest.raises(InputError, match="The plan in the work folder is damaged"):
            plan_from_document(document, spoiled)
