"""What counts as invented, and what does not."""

from __future__ import annotations

import numpy as np
import pytest


def grey(picture: np.ndarray) -> np.ndarray:
    """(h, w) as a clip of one frame."""
    return np.repeat(picture[None, ..., None], 3, axis=-1)


def test_a_pattern_on_smooth_skin_is_a_rise(script) -> None:
    harm = script("harm")
    skin = np.ones((96, 96), bool)
    before = grey(np.full((96, 96), 120, np.uint8))
    board = np.indices((96, 96)).sum(axis=0) % 2
    after = grey((120 + board).astype(np.uint8))
    rise = harm.rises(before, after, skin)
    assert rise.min() == rise.max() == pytest.approx((4 + 0.5) / 0.5, rel=1e-5)  # a board of one level: 4 of Laplacian
    assert harm.rises(before, before, skin).max() == 1
    assert harm.rises(before, after, ~skin).size == 0


def test_only_places_beside_edges_are_beside_edges(script) -> None:
    harm = script("harm")
    step = np.full((64, 128), 90, np.uint8)
    step[:, 64:] = 110
    found = harm.beside_edges(grey(step))[0]
    assert found[:, 56:72].all()
    assert not found[:, :44].any()
    assert not found[:, 84:].any()


def test_rounding_a_smooth_picture_again_is_not_an_invention(script) -> None:
    harm = script("harm")
    ramp = np.linspace(100, 104, 128, dtype=np.float32)[None].repeat(96, axis=0)
    before, moved = grey(np.rint(ramp).astype(np.uint8)), grey(np.rint(ramp).astype(np.float32) + ramp * 0.01)
    skin = np.ones((96, 128), bool)
    assert harm.rises(before, moved, skin).max() < 1.05
