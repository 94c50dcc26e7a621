"""The working size: recorded vectors, the closed form, and what it promises for every input."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redetail.errors import RegionError
from redetail.geometry.scale import working_crop, working_size
from redetail.region import Size
from redetail.settings import Settings
from tests import recordings

GOLDEN = json.loads((recordings.GOLDEN / "masks.json").read_text())["upscale"]


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"{case['w']}x{case['h']}-{case['guide_size']:g}")
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
    working, padding = working_crop(Size(60, 50), (20, 20), asked, 16)
    assert working == working_size(Size(60, 50), (20, 20), 100, "crop_region", 500) == Size(120, 100)
    assert padding.padded(working) == Size(128, 112)
