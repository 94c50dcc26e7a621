"""Hints of drawn pictures: where edges must be, and that they stand still when nothing moves."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from redetail.errors import DependencyError, UnknownNameError
from redetail.imaging.hints import hint_names, make_hint

Array = NDArray[np.float32]
DRAWN = ("canny", "lineart", "softedge")


def squares(frames: int = 3, side: int = 128, level: float = 0.8) -> Array:
    """A bright square on a dark ground."""
    crops = np.full((frames, side, side, 3), 0.2, np.float32)
    crops[:, side // 4 : -side // 4, side // 4 : -side // 4] = level
    return crops


def noisy(crops: Array, seed: int = 1, amount: float = 0.01) -> Array:
    return (crops + np.random.default_rng(seed).normal(0, amount, crops.shape)).clip(0, 1).astype(np.float32)


@pytest.mark.parametrize("name", hint_names())
def test_every_hint_has_the_shape_and_range_of_the_crops(name: str) -> None:
    crops = noisy(squares(2, 96))[:, :64]
    crops.flags.writeable = False  # as a file mapped into memory is
    hint = make_hint(name, crops)
    assert (hint.shape, hint.dtype) == (crops.shape, np.float32)
    assert hint.min() >= 0
    assert hint.max() <= 1
    assert not np.shares_memory(hint, crops)


@pytest.mark.parametrize("name", DRAWN)
def test_edges_are_where_the_square_ends_and_nowhere_else(name: str) -> None:
    hint = make_hint(name, squares())[0, ..., 0]
    near = np.zeros(hint.shape, bool)
    near[32 - 4 : 96 + 4, 32 - 4 : 96 + 4] = True
    near[32 + 4 : 96 - 4, 32 + 4 : 96 - 4] = False
    assert hint[~near].max() == 0
    across = hint[64]  # one row through the middle: both sides of the square, white
    assert across[28:36].max() == across[92:100].max() == 1


def test_canny_draws_lines_of_one_pixel() -> None:
    hint = make_hint("canny", squares())[0, ..., 0]
    assert set(np.unique(hint)) == {0, 1}
    assert hint[64].sum() == 2


def test_lineart_draws_dark_lines_white_and_leaves_bright_ones_black() -> None:
    crops = np.full((1, 128, 128, 3), 0.5, np.float32)
    crops[:, 40:42, 20:-20] = 0.1
    crops[:, 90:92, 20:-20] = 0.9
    hint = make_hint("lineart", crops)[0, :, 64, 0]
    assert hint[40:42].min() > 0.9
    assert hint[90:92].max() == 0  # its dark borders are lines, itself it is none


@pytest.mark.parametrize("name", DRAWN)
def test_a_flat_noisy_crop_has_hardly_any_edges(name: str) -> None:
    hint = make_hint(name, noisy(np.full((4, 128, 128, 3), 0.5, np.float32), amount=1 / 255))
    assert hint.mean() < 0.1


@pytest.mark.parametrize("name", DRAWN)
def test_one_threshold_for_all_frames(name: str) -> None:
    """A frame's hint changes with its own picture alone where the segment's statistics stay: no flicker."""
    still = noisy(squares(1))
    crops = np.concatenate([still, still, squares(1, level=0.21), still])
    hint = make_hint(name, crops)
    np.testing.assert_array_equal(hint[0], hint[1])
    np.testing.assert_array_equal(hint[0], hint[3])
    # A threshold of its own would make the faint square as white as the others.
    assert hint[2].mean() < 0.3 * hint[0].mean()


@pytest.mark.parametrize("name", DRAWN)
def test_light_that_flickers_moves_no_edges(name: str) -> None:
    light = np.array([1.0, 0.93, 1.05, 0.97], np.float32)[:, None, None, None]
    hint = make_hint(name, squares(4) * light)[..., 0] > 0.5
    assert (hint != hint[0]).mean() < 0.002


@pytest.mark.parametrize("name", DRAWN)
def test_hints_grow_with_the_crop(name: str) -> None:
    small, large = make_hint(name, squares(1, 128)), make_hint(name, squares(1, 256))
    places = [np.argwhere(hint[0, ..., 0] > 0.5) / hint.shape[1] for hint in (small, large)]
    np.testing.assert_allclose(places[0].min(axis=0), places[1].min(axis=0), atol=2 / 128)
    np.testing.assert_allclose(places[0].max(axis=0), places[1].max(axis=0), atol=2 / 128)


def test_tile_is_the_crop_blur_has_no_detail_and_none_is_black() -> None:
    crops = noisy(squares(2, 128), amount=0.1)
    np.testing.assert_array_equal(make_hint("tile", crops), crops)
    blurred = make_hint("blur", crops)
    np.testing.assert_allclose(blurred.mean(axis=(1, 2)), crops.mean(axis=(1, 2)), atol=0.01)
    assert np.abs(np.diff(blurred, axis=1)).mean() < 0.5 * np.abs(np.diff(crops, axis=1)).mean()
    assert not make_hint("none", crops).any()


def test_an_unknown_hint_lists_those_that_exist() -> None:
    with pytest.raises(UnknownNameError, match="no hint named 'depth'; choose one of: canny, lineart, softedge, tile"):
        make_hint("depth", squares())


@pytest.mark.parametrize("name", ["canny", "lineart"])
def test_without_opencv_the_message_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(DependencyError, match="opencv-python-headless is not installed"):
        make_hint(name, squares(1, 32))


def test_opencv_is_imported_only_when_needed() -> None:
    code = "import sys, redetail.imaging.hints; sys.exit('cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
