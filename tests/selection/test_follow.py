"""Subjects that are followed from a box on one frame."""

from pathlib import Path

import numpy as np
import pytest

from redetail.documents import WrongKindError
from redetail.errors import RegionError, SettingsError
from redetail.region import Box, Size
from redetail.selection import Search, select_regions
from redetail.selection.follow import FollowBox, FollowSelection, stretches_of
from redetail.video import array_source
from redetail.video.span import Span
from tests.clips import clip_frames
from tests.tracking.test_follow import GROUND, box, scene


def found(frames: list[np.ndarray], follow: str, span: Span | None = None):
    search = Search(array_source(np.stack(frames)), span or Span(), 2.0)
    return select_regions((FollowSelection.from_option(follow),), search)


@pytest.mark.parametrize(
    ("value", "boxes"),
    [
        ("1,2,30,40", [FollowBox(Box(1, 2, 30, 40))]),
        (
            ["1,2,30,40@1.5", "1,2,30,40@12f"],
            [FollowBox(Box(1, 2, 30, 40), "1.5"), FollowBox(Box(1, 2, 30, 40), "12f")],
        ),
        (Box(1, 2, 30, 40), [FollowBox(Box(1, 2, 30, 40))]),
        ((1, 2, 30, 40), [FollowBox(Box(1, 2, 30, 40))]),
        (
            [(1, 2, 30, 40), FollowBox(Box(5, 5, 9, 9), 3)],
            [FollowBox(Box(1, 2, 30, 40)), FollowBox(Box(5, 5, 9, 9), 3)],
        ),
    ],
)
def test_what_is_given(value, boxes):
    selection = FollowSelection.from_option(value)
    assert selection == FollowSelection(tuple(boxes))
    again = FollowSelection.from_document(selection.to_document(), Path())
    assert again.to_document() == selection.to_document()


@pytest.mark.parametrize("value", ["1,2,3", "a", [7], "1,2,3,x@4", 5])
def test_what_is_no_box(value):
    with pytest.raises(RegionError, match=r"follow is .*; give X1,Y1,X2,Y2"):
        FollowSelection.from_option(value)
    with pytest.raises(WrongKindError):
        FollowSelection.from_document(value, Path())


def test_times_and_places_are_checked():
    with pytest.raises(SettingsError, match="the time of follow is 'soon'"):
        FollowSelection.from_option("1,2,3,4@soon")
    with pytest.raises(RegionError, match="lies outside the 60x40-pixel frame"):
        FollowSelection.from_option("100,2,110,4").check(Size(60, 40))
    with pytest.raises(SettingsError, match="is frame 7, but only frames 0 to 4 are searched"):
        found([GROUND] * 5, "1,2,30,40@7f")


def test_it_is_followed_both_ways_from_the_time():
    path = [(30 + 3 * i, 60) for i in range(12)]
    x1, y1, x2, y2 = box(*path[6]).as_tuple()
    selected = found([scene(*at) for at in path], f"{x1},{y1},{x2},{y2}@6f")
    (region,) = selected.regions
    assert (region.label, region.start, region.stop, region.fade_in, region.fade_out) == ("followed 1", 0, 12, 0, 0)
    assert all(region.box(i).iou(box(*at)) > 0.85 for i, at in enumerate(path))
    assert selected.notices == ()


def test_a_loss_ends_the_track_and_is_told():
    frames = [scene(60 + i, 60, covered=8 <= i < 16) for i in range(24)]
    selected = found(frames, "60,60,110,100")
    (subject,) = selected.subjects
    assert [(one.start, one.stop, one.fade_in, one.fade_out) for one in subject.regions] == [
        (0, 8, 0, 5),
        (16, 24, 5, 0),
    ]
    assert selected.notices == (
        "followed 1 is not visible from 0:00.33 (frame 8) to 0:00.62 (frame 15), so it is not detailed there.",
    )


def test_it_stops_at_a_cut():
    frames = [*clip_frames("busker")[:6], *clip_frames("guitarist")[:6]]
    (region,) = found(frames, "270,168,303,189").regions
    assert (region.start, region.stop, region.fade_out) == (0, 6, 0)
    (region,) = found(frames, "172,29,252,141@9f").regions
    assert (region.start, region.stop, region.fade_in) == (6, 12, 0)


def test_gaps_of_a_frame_or_two_are_bridged():
    assert stretches_of([True, False, False, True, *[False] * 3, True, True, True]) == [(0, 4), (7, 10)]
    assert stretches_of([*[True] * 5, *[False] * 5, True]) == [(0, 5)]
    assert stretches_of([True]) == [(0, 1)]
