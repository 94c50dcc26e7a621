"""Moments: closed forms on paths that are known."""

import numpy as np
import pytest

from redetail.geometry.crop import Padding
from redetail.pipeline.moments import around, choose_moments, keys_for, square_view
from redetail.pipeline.plan import CropPlan, Plan
from redetail.pipeline.stretches import Stretch
from redetail.region import Box, Region, Size
from redetail.settings import Settings

FRAME = Size(400, 200)
STRETCHES = (Stretch(0, 40), Stretch(32, 72, 8), Stretch(64, 100, 8))


def crop_of(centres, sides, start=0, label="face 1", stretches=STRETCHES, **fades) -> CropPlan:
    centres, sides = np.asarray(centres, float), np.asarray(sides, float)[:, None]
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    size = Size(80, 80)
    region = Region(label, 0.9, start, size, centres - 40, boxes, **fades)
    working = Size(64, 64)
    return CropPlan(region, working, Padding.to_multiple(working, 8), Settings(), 1, stretches)


@pytest.fixture
def plan() -> Plan:
    """Largest in frame 10, smallest in 90, fastest in 55."""
    frames = np.arange(100)
    x = 100 + 40 / (1 + np.exp(-(frames - 55.0)))
    sides = 40 + 10 * np.exp(-(((frames - 10) / 3) ** 2)) - 10 * np.exp(-(((frames - 90) / 3) ** 2))
    return Plan(0, 100, FRAME, (crop_of(np.stack([x, np.full(100, 100.0)], 1), sides),))


def test_extremes_are_found_in_order(plan: Plan) -> None:
    chosen = choose_moments(plan, 4)
    assert [(one.frame, one.why) for one in chosen] == [
        (10, "largest"),
        (55, "fastest"),
        (90, "smallest"),
        (50, "middle"),
    ]
    assert choose_moments(plan, 1) == chosen[:1]


def test_more_moments_are_spread_and_all_different(plan: Plan) -> None:
    chosen = choose_moments(plan, 12)
    frames = [one.frame for one in chosen]
    assert len(set(frames)) == 12
    assert max(np.diff(sorted([0, *frames, 99]))) <= 25
    few = Plan(0, 3, FRAME, (crop_of([(100, 100)] * 3, [40] * 3, stretches=()),))
    assert sorted(one.frame for one in choose_moments(few, 9)) == [0, 1, 2]


def test_an_extreme_that_is_nearly_reached_in_a_needed_stretch_costs_nothing() -> None:
    sides = np.full(100, 40.0)
    sides[10], sides[20], sides[90] = 50, 29.5, 29
    plan = Plan(0, 100, FRAME, (crop_of([(100, 100)] * 100, sides),))
    assert [(one.frame, one.why) for one in choose_moments(plan, 3)][-1] == (20, "smallest")


def test_every_subject_gets_a_moment_before_any_gets_a_second_ordinary_one() -> None:
    crops = tuple(crop_of([(60 + 120 * n, 100)] * 100, [40 - n] * 100, label=f"face {n + 1}") for n in range(3))
    assert {one.region for one in choose_moments(Plan(0, 100, FRAME, crops), 5)} == {0, 1, 2}


def test_frames_in_which_a_subject_fades_are_not_chosen() -> None:
    sides = np.linspace(20, 60, 100)
    plan = Plan(0, 100, FRAME, (crop_of([(100, 100)] * 100, sides, fade_in=5, fade_out=5),))
    assert [one.frame for one in choose_moments(plan, 3)] == [94, pytest.approx(50, abs=50), 5]


def test_no_subject_has_no_moment() -> None:
    assert choose_moments(Plan(0, 9, FRAME, ()), 4) == ()


def test_a_frame_that_stretches_share_needs_both_and_a_neighbour_that_reaches_in_is_needed_too() -> None:
    near, far = crop_of([(150, 100)] * 100, [40] * 100), crop_of([(350, 100)] * 100, [40] * 100)
    plan = Plan(0, 100, FRAME, (crop_of([(100, 100)] * 100, [40] * 100), near, far))
    area = Box(80, 80, 120, 120)
    assert keys_for(plan, {50: area}) == {(0, 1), (1, 1)}
    assert keys_for(plan, {35: area}) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert keys_for(plan, {50: Box(0, 0, 30, 30)}) == set()


def test_the_loop_stays_in_what_is_computed() -> None:
    crop = crop_of([(100, 100)] * 100, [40] * 100)
    assert around(crop, {(0, 1)}, 0, 50, 100) == (40, 64)
    assert around(crop, {(0, 1)}, 0, 50, 4) == (46, 54)
    assert around(crop, {(0, 0), (0, 1)}, 0, 35, 100) == (0, 64)


@pytest.mark.parametrize(
    "box", [Box(10, 10, 50, 40), Box(-5, -5, 20, 20), Box(390, 190, 400, 200), Box(0, 0, 400, 200)]
)
def test_a_view_is_of_whole_pixels_inside_the_frame(box: Box) -> None:
    view = square_view(box, FRAME, 1.6)
    assert view.clipped(FRAME) == view
    assert all(side == int(side) for side in view.as_tuple())
    assert view.width == min(400, round(1.6 * max(box.width, box.height)))
    assert view.height == min(200, view.width)
