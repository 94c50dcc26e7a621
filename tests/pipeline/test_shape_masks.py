"""Shapes over time as masks of a window."""

import numpy as np
import pytest

from redetail.detection.shapes import GRID, ellipse
from redetail.pipeline.shape_masks import WEIGHTS, PackedShapes, ShapeMasks
from redetail.region import Box, Region, Size

BOX = Box(30, 20, 60, 60)


def region(frames: int, step: float = 0.0) -> Region:
    boxes = np.array([Box(30 + step * i, 20, 60 + step * i, 60).as_tuple() for i in range(frames)])
    return Region("face 1", 1.0, 0, Size(80, 70), np.full((frames, 2), 5.0), boxes)


def packed(*shapes: np.ndarray | None) -> PackedShapes:
    found = PackedShapes()
    for shape in shapes:
        found.add(shape)
    return found


FULL = np.ones((GRID, GRID), np.float32)


def test_a_full_shape_covers_the_square_around_the_box() -> None:
    (mask,) = ShapeMasks(region(1), packed(FULL), 1.0)
    assert mask.shape == (70, 80)
    inside = np.zeros((70, 80), bool)
    inside[15:55, 20:60] = True  # 40 pixels around 45, 40, less the window's corner at 5, 5
    assert mask[16:54, 21:59].min() == 255
    assert mask[~np.pad(inside, 1)[:-2, :-2] & ~np.pad(inside, 1)[2:, 2:]][0] == 0
    assert mask.sum() / 255 == pytest.approx(40 * 40, rel=0.03)


def test_an_ellipse_has_its_area_and_its_middle() -> None:
    (mask,) = ShapeMasks(region(1), packed(ellipse(BOX, 2.0)), 2.0)
    levels = mask / 255
    assert levels.sum() == pytest.approx(np.pi * 15 * 20, rel=0.02)
    x = (levels.sum(axis=0) * (np.arange(80) + 0.5)).sum() / levels.sum()
    y = (levels.sum(axis=1) * (np.arange(70) + 0.5)).sum() / levels.sum()
    assert (x, y) == pytest.approx((45 - 5, 40 - 5), abs=0.05)


def test_the_mask_moves_with_the_box_by_parts_of_a_pixel() -> None:
    masks = ShapeMasks(region(3, 0.5), packed(*[ellipse(BOX, 2.0)] * 3), 2.0)
    centres = [(mask.sum(axis=0) * np.arange(80)).sum() / mask.sum() for mask in masks]
    assert np.diff(centres) == pytest.approx([0.5, 0.5], abs=0.05)


def test_gaps_get_the_nearest_shape_and_neighbours_are_averaged() -> None:
    filled = packed(None, FULL, None, None, FULL * 0, None).filled()
    assert len(filled) == 6
    assert packed(None, FULL).share_seen == 0.5
    single = packed(FULL * 0, FULL * 0, FULL, FULL * 0, FULL * 0)
    assert single.mean(2).max() == pytest.approx(WEIGHTS[2] / sum(WEIGHTS))
    assert single.mean(0).max() == pytest.approx(1 / 11)  # two frames of the five are before the clip
    assert filled.mean(0).min() == 1


def test_a_part_has_the_masks_of_its_frames() -> None:
    shapes = packed(FULL * 0, FULL, FULL * 0, FULL, FULL)
    masks = ShapeMasks(region(5, 1.0), shapes, 2.0)
    part = masks[1:4]
    assert len(part) == 3
    for index in range(3):
        assert np.array_equal(part[index], masks[index + 1])
