"""Tiles cover the picture, and their masks say what is left of it."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from redetail.comfy.nodes.tiles import ImpactMakeTileSEGS
from redetail.comfy.tiles import MODES, Tiling, tile_segs, tiles
from redetail.errors import UnknownNameError
from redetail.region import Box, Size
from redetail.segs import Seg

sides = st.integers(64, 300)


def made(size: Size, **changes: Any) -> Any:
    values = {"bbox_size": 64, "crop_factor": 1.5, "min_overlap": 8, "filter_segs_dilation": 0, **changes}
    ((header, segments),) = ImpactMakeTileSEGS().doit(torch.zeros(2, *size.shape, 3), **values)
    assert header == size.shape
    return segments


def shown(size: Size, segments: list[Seg]) -> np.ndarray[Any, Any]:
    """The largest mask at each pixel."""
    canvas = np.zeros(size.shape, np.float32)
    for segment in segments:
        x1, y1, x2, y2 = segment.crop_region
        np.maximum(canvas[y1:y2, x1:x2], segment.cropped_mask, out=canvas[y1:y2, x1:x2])
    return canvas


def area(size: Size, x1: int, y1: int, x2: int, y2: int) -> Any:
    return size.shape, [Seg(None, np.ones((y2 - y1, x2 - x1), np.float32), 1.0, (x1, y1, x2, y2), (x1, y1, x2, y2), "")]


@example(width=64, height=65, side=64, overlap=0)  # the first tile is flush with the end, as in the original
@given(width=sides, height=sides, side=st.integers(8, 40).map(lambda n: 8 * n), overlap=st.integers(0, 512))
def test_tiles_of_one_size_cover_the_picture(width: int, height: int, side: int, overlap: int) -> None:
    picture = Size(width, height)
    found = list(tiles(picture, Box(0, 0, width, height), Tiling(side, overlap, 1.0).enlarged()))
    covered = np.zeros(picture.shape, bool)
    for tile in found:
        covered[int(tile.y1) : int(tile.y2), int(tile.x1) : int(tile.x2)] = True
    side = min(side, width, height)
    skipped = [int(length == side + 1) for length in (height, width)]  # an axis one pixel longer than a tile
    assert covered[skipped[0] :, skipped[1] :].all()
    assert {(tile.width, tile.height) for tile in found} == {(side, side)}
    assert all(tile.clipped(picture) == tile for tile in found)


def test_a_row_of_tiles_shares_out_what_is_left_over() -> None:
    found = made(Size(150, 64), crop_factor=1.0)
    assert [segment.bbox for segment in found] == [(0, 0, 64, 64), (43, 0, 107, 64), (86, 0, 150, 64)]
    assert all(segment.cropped_mask.min() == 1 and segment.crop_region == segment.bbox for segment in found)
    assert {(segment.label, segment.confidence, segment.cropped_image) for segment in found} == {("", 1.0, None)}


def test_a_crop_is_larger_than_its_tile() -> None:
    middle = made(Size(150, 64))[1]
    assert middle.crop_region == (27, 0, 123, 64)
    assert middle.cropped_mask.sum() == 64 * 64
    assert middle.cropped_mask[:, : 43 - 27].max() == 0


def test_only_what_is_let_in_is_tiled() -> None:
    size = Size(200, 160)
    found = made(size, filter_in_segs_opt=area(size, 90, 70, 130, 110))
    canvas = shown(size, found)
    assert canvas[70:109, 90:129].min() == 1
    # The last row and column are left over, as in the original: a combined segment's bbox ends on its last pixel.
    assert canvas.sum() == 39 * 39
    assert all(box[0] >= 90 and box[1] >= 70 for box in (segment.bbox for segment in found))


@pytest.mark.parametrize("empty", [((0, 0), []), ((160, 200), []), "black"])
def test_nothing_let_in_gives_no_tiles(empty: Any) -> None:
    size = Size(200, 160)
    if empty == "black":
        empty = (size.shape, [area(size, 0, 0, 50, 50)[1][0]._replace(cropped_mask=np.zeros((50, 50), np.float32))])
    assert made(size, filter_in_segs_opt=empty) == []
    assert len(made(size, filter_out_segs_opt=empty)) == len(made(size))


def test_what_is_kept_out_is_black_and_a_tile_without_anything_is_left_out() -> None:
    size = Size(192, 64)
    found = made(size, min_overlap=0, filter_out_segs_opt=area(size, 0, 0, 70, 64))
    assert [segment.bbox[0] for segment in found] == [64, 128]
    canvas = shown(size, found)
    assert canvas[:, :70].max() == 0
    assert canvas[:, 70:].min() == 1


def test_filters_grow_and_are_scaled() -> None:
    size, half = Size(128, 128), Size(64, 64)
    found = made(size, filter_segs_dilation=5, filter_out_segs_opt=area(half, 20, 20, 40, 40))
    black = shown(size, found) == 0
    rows = np.flatnonzero(black.any(axis=1))
    # 40 pixels of the picture, one more at each end where the scaled edge is soft, two of the square of 5.
    assert (rows.min(), rows.max() + 1) == (40 - 1 - 2, 80 + 1 + 2)


def test_masks_of_many_frames_count_in_all_of_them() -> None:
    size = Size(128, 64)
    header, (segment,) = area(size, 0, 0, 64, 64)
    moving = torch.zeros(2, 64, 64)
    moving[0, :, :32], moving[1, :, 32:] = 1, 1
    found = made(size, min_overlap=0, filter_out_segs_opt=(header, [segment._replace(cropped_mask=moving)]))
    assert [item.bbox[0] for item in found] == [64]


@pytest.mark.parametrize("mode", MODES)
def test_frayed_tiles_still_cover_the_picture(mode: str) -> None:
    size = Size(400, 300)
    tiling = Tiling(80, 16, 1.2, 0.4, mode)
    found = tile_segs(size, tiling)
    assert shown(size, found).min() > 0.5
    (first, *_), inner = found, [segment.cropped_mask for segment in found]
    assert first.bbox[2] - first.bbox[0] == 80 + 2 * max(6, int((128 if mode == MODES[0] else 512) * 0.4 / 4))
    assert all(mask.min() < 1 for mask in inner)
    for one, other in zip(found, tile_segs(size, tiling), strict=True):
        np.testing.assert_array_equal(one.cropped_mask, other.cropped_mask)


def test_one_frayed_mask_for_all_tiles_or_one_for_each() -> None:
    def middles(mode: str) -> list[Any]:
        segments = tile_segs(Size(600, 600), Tiling(100, 10, 1.0, 0.3, mode))
        inside = [one for one in segments if min(one.bbox[:2]) > 0 and max(one.bbox[2:]) < 600]
        return [one.cropped_mask for one in inside[:2]]

    assert np.array_equal(*middles(MODES[1]))
    assert not np.array_equal(*middles(MODES[3]))


def test_an_unknown_mode_is_named() -> None:
    with pytest.raises(UnknownNameError, match="no irregular_mask_mode named 'wild'"):
        made(Size(64, 64), irregular_mask_mode="wild")
