"""The crop: its window, its working size and its padding, as recorded and by what holds for every input."""

import json

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from redetail.errors import RegionError
from redetail.geometry.crop import Padding, crop_region, limited_size, working_crop, working_size
from redetail.region import Box, Size
from redetail.settings import Settings
from tests import recordings

RECORDED = json.loads((recordings.GOLDEN / "masks.json").read_text())
WINDOWS = RECORDED["crop_region"]
EMPTY = [case for case in WINDOWS if case["result"][0] == case["result"][2] or case["result"][1] == case["result"][3]]


def recorded(case: dict) -> Box:
    frame = Size(case["w"], case["h"])
    return crop_region(frame, Box(*case["bbox"]), case["crop_factor"], case["crop_min_size"] or 0)


@pytest.mark.parametrize("case", [case for case in WINDOWS if case not in EMPTY], ids=lambda case: str(case["bbox"]))
def test_recorded_windows(case: dict) -> None:
    assert list(recorded(case).as_tuple()) == case["result"]


def test_where_the_recorded_window_is_empty_there_is_an_error() -> None:
    assert len(EMPTY) == 1
    with pytest.raises(RegionError, match=r"crop-factor 1\.5 does not cover a whole pixel"):
        recorded(EMPTY[0])


def test_a_window_that_leaves_the_frame_is_moved_not_cut() -> None:
    frame = Size(200, 100)
    assert crop_region(frame, Box(0, 40, 20, 60), 3) == Box(0, 20, 60, 80)
    assert crop_region(frame, Box(180, 40, 200, 60), 3) == Box(140, 20, 200, 80)


def test_a_window_larger_than_the_frame_is_the_frame() -> None:
    assert crop_region(Size(200, 100), Box(50, 20, 150, 80), 3) == Box(0, 0, 200, 100)


def test_the_least_size() -> None:
    assert crop_region(Size(200, 100), Box(95, 45, 105, 55), 1, 64) == Box(68, 18, 132, 82)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (Box(10, 10, 10, 20), "side of length zero"),
        (Box(10, 10, 20, 10), "side of length zero"),
        (Box(200, 10, 220, 30), "outside the 200x100-pixel frame"),
        (Box(-30, -30, -10, -10), "outside the 200x100-pixel frame"),
    ],
)
def test_boxes_that_cannot_be_used(box: Box, message: str) -> None:
    with pytest.raises(RegionError, match=message):
        crop_region(Size(200, 100), box, 3)


@settings(max_examples=80, deadline=None)
@given(
    st.builds(Size, st.integers(8, 2000), st.integers(8, 2000)),
    st.floats(-50, 2000),
    st.floats(-50, 2000),
    st.floats(2, 800),
    st.floats(2, 800),
    st.floats(1, 5),
)
def test_whole_pixels_inside_the_frame_that_hold_the_visible_box(frame, x, y, width, height, factor) -> None:
    box = Box(x, y, x + width, y + height)
    visible = box.clipped(frame)
    assume(visible is not None)
    window = crop_region(frame, box, factor)
    assert all(isinstance(side, int) for side in window.as_tuple())
    assert window.clipped(frame) == window
    assert window.x1 < visible.x1 + 1  # rounding to whole pixels may cost one pixel of the box at each end
    assert window.y1 < visible.y1 + 1
    assert window.x2 > visible.x2 - 2
    assert window.y2 > visible.y2 - 2


# Padding -----------------------------------------------------------------------------------------------------


def test_nothing_is_added_to_a_multiple() -> None:
    assert Padding.to_multiple(Size(64, 128), 8) == (0, 0, 0, 0)


def test_an_odd_pixel_goes_right_and_below() -> None:
    assert Padding.to_multiple(Size(61, 37), 8) == Padding(left=1, top=1, right=2, bottom=2)


@settings(max_examples=50, deadline=None)
@given(st.builds(Size, st.integers(1, 999), st.integers(1, 999)), st.integers(1, 64))
def test_the_least_that_makes_both_sides_multiples(size: Size, multiple: int) -> None:
    padding = Padding.to_multiple(size, multiple)
    padded = padding.padded(size)
    assert padded.width % multiple == padded.height % multiple == 0
    assert 0 <= padded.width - size.width < multiple
    assert 0 <= padded.height - size.height < multiple
    assert 0 <= padding.right - padding.left <= 1
    assert 0 <= padding.bottom - padding.top <= 1


# Working size ------------------------------------------------------------------------------------------------


SIZES = RECORDED["upscale"]


@pytest.mark.parametrize("case", SIZES, ids=lambda case: f"{case['w']}x{case['h']}-{case['guide_size']:g}")
def test_recorded_sizes(case: dict) -> None:
    size = working_size(
        Size(case["w"], case["h"]),
        (case["bbox_w"], case["bbox_h"]),
        case["guide_size"],
        case["guide_size_for"],
        case["max_size"],
    )
    assert size == Size(case["new_w"], case["new_h"])


def test_the_shorter_side_of_the_box_becomes_the_guide_size() -> None:
    assert working_size(Size(120, 180), (40, 60), 80, "bbox", 10_000) == Size(240, 360)


def test_the_shorter_side_of_the_crop_becomes_the_guide_size() -> None:
    assert working_size(Size(120, 180), (40, 60), 240, "crop_region", 10_000) == Size(240, 360)


def test_the_longest_side_stays_within_max_size() -> None:
    assert working_size(Size(120, 180), (40, 60), 512, "bbox", 768) == Size(512, 768)


def test_a_crop_that_is_large_enough_keeps_its_size() -> None:
    assert working_size(Size(900, 700), (600, 500), 300, "bbox", 768) == Size(900, 700)


@pytest.mark.parametrize("box", [(0.0, 30.0), (30.0, 0.0), (float("nan"), 30.0)])
def test_a_box_without_a_side_is_named(box: tuple[float, float]) -> None:
    with pytest.raises(RegionError, match=rf"box is {box[0]:g}x{box[1]:g} pixels"):
        working_size(Size(64, 64), box, 512, "bbox", 768)


def test_a_box_without_a_side_does_not_matter_when_the_crop_is_measured() -> None:
    assert working_size(Size(64, 64), (0, 0), 128, "crop_region", 768) == Size(128, 128)


sides = st.integers(1, 4000)


@settings(max_examples=60, deadline=None)
@given(
    st.builds(Size, sides, sides),
    st.tuples(st.floats(0.5, 4000), st.floats(0.5, 4000)),
    st.floats(64, 4096),
    st.sampled_from(["bbox", "crop_region"]),
    st.floats(64, 4096),
)
def test_never_smaller_than_the_crop_nor_larger_than_allowed(crop, box, guide_size, measure, max_size) -> None:
    size = working_size(crop, box, guide_size, measure, max_size)
    if size != crop:
        # The recorded rule divides by the side after it was cut to whole pixels, so a pixel may be left over.
        assert max(size.width, size.height) <= max_size + 1
        assert size.width >= crop.width
        assert size.height >= crop.height


def test_a_working_crop_is_padded_for_its_engine() -> None:
    asked = Settings(guide_size=100, guide_size_for="crop_region", max_size=500)
    working, padding = working_crop(Size(60, 50), (20, 20), asked, 16, shrink=True)
    assert working == working_size(Size(60, 50), (20, 20), 100, "crop_region", 500) == Size(120, 100)
    assert padding.padded(working) == Size(128, 112)


@pytest.mark.parametrize("measured", ["bbox", "crop_region"])
def test_max_upscale_limits_what_guide_size_asks_for(measured) -> None:
    asked = Settings(guide_size=500, guide_size_for=measured, max_size=768, max_upscale=1.5)
    assert working_crop(Size(60, 50), (20, 20), asked, 16, shrink=True)[0] == Size(90, 75)


def test_a_guide_size_within_max_upscale_is_kept() -> None:
    asked = Settings(guide_size=60, guide_size_for="crop_region", max_upscale=1.5)
    free = Settings(guide_size=60, guide_size_for="crop_region")
    limited, unlimited = (working_crop(Size(60, 50), (20, 20), each, 16, shrink=True) for each in (asked, free))
    assert limited == unlimited


def test_a_crop_beyond_max_size_is_scaled_down_only_where_that_is_asked_for() -> None:
    asked = Settings(max_size=512)
    own, contract = (working_crop(Size(1400, 1050), (900, 900), asked, 8, shrink=shrink)[0] for shrink in (True, False))
    assert own == Size(512, 384)
    assert contract == Size(1400, 1050)


@given(st.builds(Size, sides, sides), st.floats(1, 4096))
def test_a_limit_holds_and_keeps_the_shape(size, max_size) -> None:
    limited = limited_size(size, max_size)
    assert max(limited.width, limited.height) <= max(1, max_size)
    assert limited == size or max(limited.width, limited.height) > max_size - 2
    scale = min(1, max_size / max(size.width, size.height))
    assert abs(limited.width - size.width * scale) <= 1
    assert abs(limited.height - size.height * scale) <= 1
