"""Gates: where a subject is small, and whether it is sharp."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redetail.errors import SettingsError
from redetail.region import Region, Size
from redetail.selection import Search, filters_from_options, select_regions
from redetail.selection.boxes import BoxSelection
from redetail.selection.detected import FADE
from redetail.selection.gates import smaller_parts, with_sharpness
from redetail.selection.masks import MaskSelection
from redetail.selection.stretches import HYSTERESIS, SHORTEST, smaller_stretches
from redetail.selection.subjects import FoundSubject
from redetail.tracking.regions import region_from_boxes
from redetail.video import array_source
from redetail.video.span import Span
from tests.clips import clip_frames

FRAME = Size(400, 300)


def search(frames: int = 60) -> Search:
    return Search(array_source(np.zeros((frames, 300, 400, 3), np.uint8)), Span(), 2.0)


def coming_nearer(sides: np.ndarray) -> FoundSubject:
    half = sides / 2
    boxes = np.stack([200 - half, 150 - half, 200 + half, 150 + half], axis=1)
    return FoundSubject(1, (region_from_boxes("face 1", 0.9, 0, boxes, FRAME, 2.0),))


def test_it_stays_on_until_it_is_clearly_larger() -> None:
    sides = np.array([*[90] * 10, *[105] * 5, *[116] * 5, *[105] * 5, *[90] * 10], np.float64)
    assert smaller_stretches(sides, 100) == [(0, 15), (25, 35)]
    assert smaller_stretches(sides, 102) == [(0, 25 + 10)]  # 116 is less than 117.3
    assert smaller_stretches(sides, 50) == []
    assert smaller_stretches(sides[:3], 100) == [(0, 3)]  # a short track is not left out for being short


@given(st.lists(st.floats(1, 300), min_size=1, max_size=80), st.floats(1, 300))
def test_stretches_are_apart_long_enough_and_small(sides: list[float], limit: float) -> None:
    before = -1
    for start, stop in smaller_stretches(np.array(sides), limit):
        assert before < start < stop <= len(sides)
        assert stop - start >= min(SHORTEST, len(sides))
        assert sides[start] < limit
        assert max(sides[start:stop]) < limit * HYSTERESIS
        before = stop


def test_a_part_fades_where_it_was_cut_and_its_window_fits_it() -> None:
    whole = coming_nearer(np.linspace(40, 160, 60))
    (part,) = smaller_parts(whole, 80, search()).regions
    assert (part.start, part.fade_in, part.fade_out) == (0, 0, FADE)
    assert part.boxes[-1, 2] - part.boxes[-1, 0] < 80 * HYSTERESIS
    assert np.array_equal(part.boxes, whole.regions[0].boxes[: len(part)])
    assert part.size.width < 0.7 * whole.regions[0].size.width
    assert smaller_parts(whole, 999, search()).regions == whole.regions


def test_masks_of_a_part_are_its_own() -> None:
    masks = np.zeros((30, 60, 80), np.uint8)
    for index in range(30):
        masks[index, 10 : 20 + index, 10 : 20 + index] = 255
    source = array_source(np.zeros((30, 60, 80, 3), np.uint8))
    looking = Search(source, Span(), 2.0)
    (region,) = MaskSelection.from_option(masks).find(looking)
    (part,) = smaller_parts(FoundSubject(1, (region,)), 20, looking).regions
    assert 8 <= len(part) < 30
    assert all(np.array_equal(part.mask(index), region.mask(index)) for index in range(len(part)))


def selected(frames: np.ndarray, **filters: float):
    boxes = BoxSelection.from_option([(172, 29, 252, 141), (10, 10, 60, 60)])
    return select_regions((boxes,), Search(array_source(frames), Span(), 2.0), filters_from_options(filters))


def test_what_is_large_or_sharp_is_left_out_with_its_figure() -> None:
    frames = np.stack(clip_frames("guitarist")[:3])
    found = selected(frames, only_smaller_than=60)
    assert [one.number for one in found.subjects] == [2]
    assert [one.reason for one in found.left_out] == ["80 pixels is not below the limit of 60"]
    found = selected(frames, only_softer_than=0.7)
    assert 1 not in [one.number for one in found.subjects]
    assert found.left_out[0].reason.startswith("sharpness 0.7")
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.5) for frame in frames])
    assert 1 in [one.number for one in selected(soft, only_softer_than=0.7).subjects]


def test_what_cannot_be_measured_is_detailed() -> None:
    (one,) = with_sharpness([coming_nearer(np.full(5, 30.0))], search(5))
    assert one.sharpness is None
    assert with_sharpness([], search(5)) == []


@pytest.mark.parametrize("name", ["only_smaller_than", "only_softer_than"])
@pytest.mark.parametrize("value", [0, -3, float("nan"), float("inf")])
def test_values_that_cannot_be(name: str, value: float) -> None:
    with pytest.raises(SettingsError, match=name.replace("_", "-")):
        filters_from_options({name: value})


def test_regions_are_still_regions() -> None:
    part = smaller_parts(coming_nearer(np.linspace(160, 40, 60)), 80, search()).regions[0]
    assert isinstance(part, Region)
    assert (part.stop, part.fade_in, part.fade_out) == (60, FADE, 0)
