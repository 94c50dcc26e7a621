"""The crop window: recorded vectors and what holds for every box."""

import json

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from redetail.errors import RegionError
from redetail.geometry.crop import crop_region
from redetail.region import Box, Size
from tests import recordings

GOLDEN = json.loads((recordings.GOLDEN / "masks.json").read_text())["crop_region"]
EMPTY = [case for case in GOLDEN if case["result"][0] == case["result"][2] or case["result"][1] == case["result"][3]]


def recorded(case: dict) -> Box:
    frame = Size(case["w"], case["h"])
    return crop_region(frame, Box(*case["bbox"]), case["crop_factor"], case["crop_min_size"] or 0)


@pytest.mark.parametrize("case", [case for case in GOLDEN if case not in EMPTY], ids=lambda case: str(case["bbox"]))
def test_recorded_windows(case: dict) -> None:
    assert list(recorded(case).as_tuple()) == case["result"]


def test_where_the_recorded_window_is_empty_there_is_an_error() -> None:
    assert len(EMPTY) == 1
    with pytest.raises(RegionError, match=r"crop-factor 1\.5 covers no whole pixel"):
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
        (Box(10, 10, 10, 20), "side of zero"),
        (Box(10, 10, 20, 10), "side of zero"),
        (Box(200, 10, 220, 30), "outside the frame of 200x100"),
        (Box(-30, -30, -10, -10), "outside the frame"),
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
