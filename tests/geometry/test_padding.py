"""Padding to a multiple."""

from hypothesis import given, settings
from hypothesis import strategies as st

from redetail.geometry.padding import Padding
from redetail.region import Size


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
