"""A preview of the crop in its place: what is around it is the frame's."""

import numpy as np
import pytest
from PIL import Image

from redetail.comfy.previews import SIDE, Place
from redetail.geometry.crop import Padding
from redetail.region import Box, Size

FRAME = np.zeros((60, 100, 3), np.float32)
FRAME[:, :50] = (0.2, 0.4, 0.6)


def place(window: Box, mask: float = 1.0, padding: Padding = Padding(0, 0, 0, 0)) -> Place:  # noqa: B008
    return Place(FRAME, window, np.full((20, 20), mask, np.float32), Size(64, 64), padding)


@pytest.mark.parametrize("side", [8, 64])
def test_the_crop_covers_its_window_and_the_frame_is_around_it(side: int) -> None:
    shown = np.asarray(place(Box(40, 20, 60, 40)).shown(Image.new("RGB", (side, side), (255, 0, 0))))
    assert shown.shape == (SIDE, SIDE, 3)
    assert (shown[130:382, 130:382] == (255, 0, 0)).all()
    assert (shown[:120, :160] == (51, 102, 153)).all()
    assert (shown[:120, 352:] == 0).all()


def test_at_the_border_less_of_the_frame_is_shown() -> None:
    shown = place(Box(0, 0, 20, 20)).shown(Image.new("RGB", (8, 8), (255, 255, 255)))
    assert shown.size == (SIDE, SIDE)
    red = np.asarray(shown)[..., 0]
    assert (red[:330, :330] == 255).all()
    assert (red[345:] == 51).all()


def test_what_the_mask_leaves_out_and_padding_are_not_shown() -> None:
    grey = Image.new("RGB", (64, 64), (200, 200, 200))
    hidden = [np.asarray(place(Box(40, 20, 60, 40), mask=0.0).shown(one)) for one in (grey, Image.new("RGB", (8, 8)))]
    np.testing.assert_array_equal(*hidden)
    padded = Image.new("RGB", (96, 96), (255, 0, 0))
    padded.paste(grey, (16, 32))
    shown = np.asarray(place(Box(10, 20, 30, 40), padding=Padding(16, 32, 16, 0)).shown(padded))
    assert (shown[140:372, 140:372] == 200).all()


def test_neither_frame_nor_preview_is_changed() -> None:
    given, before = Image.new("RGB", (8, 8), (9, 9, 9)), FRAME.copy()
    one = place(Box(40, 20, 60, 40))
    first, second = (np.asarray(one.shown(given)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(FRAME, before)
    assert given.size == (8, 8)
