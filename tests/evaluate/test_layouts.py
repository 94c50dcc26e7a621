"""Layouts: every clip shows where it should, and all pictures of a clip have one size."""

import numpy as np
import pytest

from redetail.errors import UnknownNameError
from redetail.evaluate.layouts import LAYOUTS, TILE, Layout
from redetail.job.writing import COMPARE_LAYOUTS
from redetail.region import Region, Size

FRAME = Size(120, 80)
LABELS = ("source", "soft", "strong")


def region(label: str, x: float, start: int = 2, frames: int = 8, side: float = 20) -> Region:
    corners = np.stack([np.linspace(x, x + 8, frames), np.full(frames, 30.0)], 1)
    return Region(label, 0.9, start, Size(40, 40), corners - 10, np.concatenate([corners, corners + side], 1))


def flat(*levels: int) -> list[np.ndarray]:
    return [np.full((*FRAME.shape, 3), level, np.uint8) for level in levels]


def test_names_are_those_of_jobs() -> None:
    assert LAYOUTS == COMPARE_LAYOUTS


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("subjects", [0, 1, 2, 6])
def test_pictures_have_one_size(kind: str, subjects: int) -> None:
    layout = Layout(kind, LABELS, [region(f"face {n}", 15 * n) for n in range(subjects)], FRAME, Size(240, 160))
    frames = [np.zeros((160, 240, 3), np.uint8)] * 3
    assert {layout(index, frames).shape for index in (0, 5, 20)} == {(*layout.size.shape, 3)}


def test_crops_of_one_subject_stand_beside_each_other_and_of_several_above() -> None:
    one = Layout("crops", LABELS, [region("face 1", 30)], FRAME, FRAME)(3, flat(10, 90, 170))
    assert [one[-9, TILE[0] // 2 + n * (TILE[0] + 4), 0] for n in range(3)] == [10, 90, 170]
    two = Layout("crops", LABELS, [region("face 1", 30), region("face 2", 70)], FRAME, FRAME)(3, flat(10, 90, 170))
    assert two.shape == (3 * 480 + 8, 2 * 480 + 4, 3)
    assert [two[(n + 1) * 484 - 20, 200, 0] for n in range(3)] == [10, 90, 170]


def test_a_crop_is_zoomed_on_its_subject_also_before_and_after_it_is_seen() -> None:
    layout = Layout("crops", LABELS[:1], [region("face 1", 50)], FRAME, FRAME)
    for index, left in ((0, 50), (2, 50), (9, 58), (30, 58)):
        (picture,) = flat(0)
        picture[30:50, left : left + 20] = 200
        shown = layout(index, [picture])
        middle, out = shown[180:300, 180:300], shown[460:, 460:]
        assert middle.min() > 190
        assert out.max() < 10


def test_bands_show_each_clip_in_its_own_part_and_a_wipe_moves_and_comes_back() -> None:
    split = Layout("split", LABELS, [], FRAME, FRAME)
    assert [split(5, flat(10, 90, 170))[70, x, 0] for x in (20, 60, 100)] == [10, 90, 170]
    wipe = Layout("wipe", LABELS[:2], [], FRAME, FRAME)
    edges = [int((wipe(index, flat(10, 90))[70, :, 0] == 10).sum()) for index in range(73)]
    assert (edges[0], edges[72]) == (59, 59)
    assert (max(edges), min(edges)) == (89, 29)
    assert max(abs(np.diff(edges))) <= 2


def test_an_unknown_layout_is_named() -> None:
    with pytest.raises(UnknownNameError, match="stripes"):
        Layout("stripes", LABELS, [], FRAME, FRAME)
