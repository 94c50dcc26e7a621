"""Drawings: lines stand where the boxes are, and sheets show the frames with a subject."""

import numpy as np
import pytest
from numpy.typing import NDArray

from redetail.cli.draw import SHEET_FRAMES, drawn_sheet, marked, sheet_frames
from redetail.region import Region, Size
from redetail.video import Frame

GREEN = (0x50, 0xDC, 0x64)


def region(start: int = 0, frames: int = 5, box: tuple[int, ...] = (40, 50, 60, 70), side: int = 50) -> Region:
    path, boxes = np.tile([25.0, 35.0], (frames, 1)), np.tile(np.array(box, float), (frames, 1))
    return Region("face", 0.9, start, Size(side, side), path, boxes)


def black(bits: int = 8) -> NDArray[np.uint8] | NDArray[np.uint16]:
    return np.zeros((120, 120, 3), np.uint8 if bits == 8 else np.uint16)


def test_box_and_window_are_drawn_on_their_own_first_and_last_pixels() -> None:
    picture = marked(black(), 0, [region()])
    for x, y in ((40, 60), (59, 60), (50, 69), (25, 60), (74, 60), (50, 84)):
        assert tuple(picture[y, x]) == GREEN, (x, y)
    for x, y in ((39, 60), (60, 60), (24, 60), (75, 60), (50, 60)):
        assert not picture[y, x].any(), (x, y)


def test_a_subject_is_drawn_only_while_it_is_there() -> None:
    outside = marked(black(), 9, [region()])
    assert not (outside == GREEN).all(-1).any()
    assert outside.any(), "the frame's number is always written"


def test_the_frame_itself_is_left_alone_and_deep_frames_become_8_bit() -> None:
    frame = black(16)
    frame[:] = 0x8000
    picture = marked(frame, 0, [region()])
    assert picture.dtype == np.uint8
    assert tuple(picture[60, 50]) == (0x80,) * 3
    assert (frame == 0x8000).all()


@pytest.mark.parametrize("box", [(0, 0, 120, 120), (-30, -30, 10, 10), (119, 119, 300, 300), (5, 5, 5, 5)])
def test_boxes_at_the_edge_are_drawn_as_far_as_they_are_seen(box: tuple[int, ...]) -> None:
    assert marked(black(), 0, [region(box=box)]).shape == (120, 120, 3)


def test_a_sheet_shows_frames_with_a_subject_evenly_spread() -> None:
    assert sheet_frames(0, 100, [region(start=10, frames=18)]) == list(range(11, 28, 2))
    assert sheet_frames(0, 3, []) == [0, 1, 2]
    assert sheet_frames(5, 6, [region(start=5, frames=1)]) == [5]


def test_a_sheet_is_a_square_of_its_frames() -> None:
    frames = [Frame(index, index, black()) for index in range(20)]
    sheet = drawn_sheet(frames, 0, 20, [region(frames=20)])
    columns = round(SHEET_FRAMES**0.5)
    gap = 4 * (columns - 1)
    assert sheet.shape == (120 * columns + gap, 120 * columns + gap, 3)
