import numpy as np
import pytest

from redetail.errors import SettingsError
from redetail.region import Size
from redetail.tracking import Track, regions_from_tracks

FRAME = Size(640, 360)


def track(start: int, frames: int, center: tuple[float, float], side: float, step: float = 0.0) -> Track:
    x = center[0] + step * np.arange(frames)
    y = np.full(frames, center[1])
    boxes = np.stack([x - side / 2, y - side / 2, x + side / 2, y + side / 2], axis=1)
    return Track("face", 0.9, start, boxes, np.ones(frames, dtype=bool))


def test_the_most_prominent_comes_first() -> None:
    tracks = [track(0, 10, (100, 100), 40), track(5, 30, (300, 200), 60), track(0, 30, (500, 100), 40)]
    regions = regions_from_tracks(tracks, FRAME, crop_factor=2.0)
    assert [(r.label, r.start, len(r)) for r in regions] == [("face 1", 5, 30), ("face 2", 0, 30), ("face 3", 0, 10)]
    assert regions[0].size == Size(120, 120)
    assert len(regions_from_tracks(tracks, FRAME, crop_factor=2.0, max_regions=1)) == 1
    assert regions_from_tracks([], FRAME, crop_factor=2.0) == []


def test_a_steady_walk_keeps_its_boxes() -> None:
    walking = track(0, 60, (100, 100), 40, step=5)
    (region,) = regions_from_tracks([walking], FRAME, crop_factor=2.0)
    np.testing.assert_allclose(region.boxes, walking.boxes, atol=1e-6)
    assert not region.fixed


def test_a_trembling_box_gives_a_mask_that_does_not_tremble() -> None:
    steady = track(0, 60, (200, 100), 40)
    rng = np.random.default_rng(0)
    shaken = Track("face", 0.9, 0, steady.boxes + rng.normal(size=(60, 4)), steady.detected)
    (region,) = regions_from_tracks([shaken], FRAME, crop_factor=2.0)
    assert region.fixed
    change = np.mean([np.abs(region.mask(i + 1) - region.mask(i)).sum() for i in range(59)])
    raw = np.abs(np.diff(shaken.boxes, axis=0)).sum(axis=1).mean() * 40  # pixels that change with the raw boxes
    assert change < raw / 4


def test_boxes_at_the_edge_are_cut() -> None:
    (region,) = regions_from_tracks([track(0, 20, (10, 100), 40)], FRAME, crop_factor=3.0)
    assert region.boxes[:, 0].min() == 0
    assert (region.path >= 0).all()


def test_somebody_outside_the_frame_is_left_out() -> None:
    assert regions_from_tracks([track(0, 20, (-100, 100), 40)], FRAME, crop_factor=3.0) == []


def test_crop_factor_out_of_range() -> None:
    with pytest.raises(SettingsError, match="crop-factor is nan"):
        regions_from_tracks([track(0, 20, (100, 100), 40)], FRAME, crop_factor=float("nan"))
