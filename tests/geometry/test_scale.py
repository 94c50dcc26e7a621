import pytest
from hypothesis import given
from hypothesis import strategies as st

from redetail.errors import SettingsError
from redetail.geometry.scale import Scale, ratios
from redetail.region import Size


@pytest.mark.parametrize(
    ("given", "source", "size"),
    [
        (1, Size(33, 31), Size(33, 31)),
        (2, Size(33, 31), Size(66, 62)),
        ("1.5", Size(854, 480), Size(1280, 720)),
        ("720", Size(854, 480), Size(1280, 720)),
        ("720p", Size(1280, 720), Size(1280, 720)),
        (3.0, Size(350, 350), Size(1050, 1050)),
    ],
)
def test_a_factor_or_a_height(given, source, size) -> None:
    assert Scale.of(given).size(source) == size


def test_ratios_are_those_of_each_axis() -> None:
    assert ratios(Size(854, 480), Size(1280, 720)) == (1280 / 854, 1.5)


def test_equal_scales_are_equal() -> None:
    assert Scale.of("2") == Scale.of(2) == Scale(2.0) == Scale.of(Scale(2))


@pytest.mark.parametrize("given", [0.5, 0, -2, 9, 12.5, 720.5, "nan", "inf", "large", "", True, None, [2], 10**6])
def test_other_values_are_refused(given) -> None:
    with pytest.raises(SettingsError, match="give a factor from 1 to 8, or a height"):
        Scale.of(given)


def test_frames_are_not_made_smaller_nor_too_large_for_a_codec() -> None:
    with pytest.raises(SettingsError, match="720 pixels"):
        Scale(480).size(Size(1280, 720))
    with pytest.raises(SettingsError, match="16384"):
        Scale(8).size(Size(3840, 2160))


@given(st.floats(1.001, 8), st.integers(2, 2000), st.integers(2, 2000))
def test_sides_are_even_and_within_a_pixel_of_the_factor(factor, width, height) -> None:
    size = Scale(factor).size(Size(width, height))
    assert size.width % 2 == size.height % 2 == 0
    assert abs(size.width - width * factor) <= 1
    assert abs(size.height - height * factor) <= 1
