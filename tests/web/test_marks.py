"""Boxes as people type them, and as two clicks give them."""

import pytest

from redetail.errors import RedetailError
from redetail.region import Box
from redetail.selection.follow import FollowBox
from redetail.web.marks import MOST, Marks, new_mark


def test_fixed_and_followed_boxes_are_told_apart() -> None:
    marks = Marks.parse("40,60,180,220\n\n 9,8,3,2@12f \n1,2,3,4@0:05")
    assert marks.fixed == (Box(40, 60, 180, 220),)
    assert marks.followed == (FollowBox(Box(3, 2, 9, 8), "12f"), FollowBox(Box(1, 2, 3, 4), "0:05"))
    assert Marks.parse(str(marks)) == marks
    assert set(marks.as_options()) == {"box", "follow"}


def test_nothing_typed_is_no_mark() -> None:
    assert not Marks.parse(" \n ")
    assert Marks().as_options() == {}


def test_a_followed_box_is_drawn_on_its_own_frame() -> None:
    marks = Marks.parse("0,0,5,5\n1,1,4,4@12f")
    assert marks.on(12) == [Box(0, 0, 5, 5), Box(1, 1, 4, 4)]
    assert marks.on(13) == [Box(0, 0, 5, 5)]


def test_two_clicks_are_a_box_from_any_corner() -> None:
    assert new_mark((30, 40), (10, 20), None) == "10,20,30,40"
    assert new_mark((30, 20), (10, 40), 7) == "10,20,30,40@7f"
    assert Marks.parse(new_mark((30, 20), (10, 40), 7)).on(7) == [Box(10, 20, 30, 40)]


def test_a_click_in_the_same_row_is_refused() -> None:
    with pytest.raises(RedetailError, match="opposite corner"):
        new_mark((10, 20), (30, 20), None)


@pytest.mark.parametrize(
    "text",
    ["1,2,3", "1,2,3,4,5", "a,b,c,d", "nan,0,9,9", "1,2,3,inf@1f", "1,2,3,4@", "1,2,3,4@soon", "@1f", 7, None,
     "1,2,3,4\n" * (MOST + 1), "1" * 30_000],
)  # fmt: skip
def test_other_texts_are_refused(text: object) -> None:
    with pytest.raises(RedetailError):
        Marks.parse(text)
