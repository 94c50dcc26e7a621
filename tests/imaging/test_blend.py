"""Pasting: recorded vectors, and the promise that nothing else changes."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from redetail.errors import RegionError
from redetail.imaging.blend import Layer, composited, paste, paste_change
from redetail.imaging.masks import feather, place_mask, resize_mask
from redetail.imaging.resample import crop, place
from redetail.region import Box, Size
from tests import recordings

FOLDER = recordings.GOLDEN
CASES = json.loads((FOLDER / "node.json").read_text())["cases"]
TENSORS = load_file(FOLDER / "node.safetensors")


def crops_are_recorded(name: str, alpha: int) -> bool:
    """Whether both the pasted frames and the crops that went into them were stored."""
    if f"{name}.pasted_alpha{alpha}" not in TENSORS:
        return False
    frames = CASES[name][f"paste_feather5_alpha{alpha}"]["frames"]
    return all(set(frames) <= set(out["stored_frames"]) for out in CASES[name]["out"])


RECORDED = [(name, alpha) for name in CASES for alpha in (255, 128) if crops_are_recorded(name, alpha)]


def golden_mask(case: dict, seg: dict, frame: int, size: Size) -> np.ndarray:
    """The feathered mask of one frame, from a mask that may have been made at another size."""
    stored = TENSORS[seg["mask"]].astype(np.float32) / np.float32(255)
    mask = stored if stored.ndim == 2 else stored[frame % len(stored)]
    if mask.shape != size.shape:
        mask = resize_mask(mask, size)
    return feather(mask, 5)


@pytest.mark.parametrize(("name", "alpha"), RECORDED)
def test_recorded_pastes(name: str, alpha: int) -> None:
    case, record = CASES[name], CASES[name][f"paste_feather5_alpha{alpha}"]
    wanted = TENSORS[f"{name}.pasted_alpha{alpha}"]
    for position, index in enumerate(record["frames"]):
        frame = (TENSORS["frames_u8"][index].astype(np.float32) + np.float32(0.7)) / np.float32(256)
        for number, (seg, out) in enumerate(zip(case["segs"], case["out"], strict=True)):
            box = Box(*out["crop_region"])
            crops = TENSORS[f"{name}.seg{number}.out_u8"][out["stored_frames"].index(index)]
            mask = golden_mask(case, seg, index, Size(int(box.width), int(box.height)))
            frame = paste(frame, crops.astype(np.float32) / np.float32(255), mask * np.float32(alpha / 255), box)
        x1, y1, x2, y2 = record["rect_xyxy"]
        np.testing.assert_allclose(frame[y1:y2, x1:x2], wanted[position], atol=2e-6)


def test_there_are_recorded_pastes() -> None:
    assert len(RECORDED) == 11


depths = st.sampled_from([np.uint8, np.uint16, np.float32, np.float64])


def picture(seed: int, dtype: type, shape: tuple[int, ...] = (48, 64, 3)) -> np.ndarray:
    generator = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return generator.random(shape).astype(dtype)
    return generator.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@settings(max_examples=60, deadline=None)
@given(depths, st.floats(-8, 60), st.floats(-8, 44), st.integers(6, 30), st.integers(0, 6), st.integers(0, 9))
def test_nothing_outside_the_mask_changes(dtype, x: float, y: float, side: int, amount: int, seed: int) -> None:
    """The whole way of a crop: cut out between pixels, made into something else, placed back and pasted."""
    frame, size, window = picture(seed, dtype), Size(64, 48), Box(x, y, x + side, y + side)
    if window.clipped(size) is None:
        return
    before = frame.copy()
    mask = np.zeros((side, side), np.float32)
    mask[2:-2, 2:-2] = 1
    soft, box = place_mask(feather(mask, amount), window, size)
    placed, _ = place(1 - crop(frame, window, Size(2 * side, 2 * side)), window, size)
    pasted = paste(frame, placed, soft, box)
    touched = np.zeros((48, 64), bool)
    touched[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)] = soft > 0
    np.testing.assert_array_equal(pasted[~touched], frame[~touched])
    np.testing.assert_array_equal(frame, before)
    assert pasted.dtype == frame.dtype
    assert pasted is not frame


@settings(max_examples=30, deadline=None)
@given(depths, st.integers(0, 20))
def test_a_mask_of_zeros_changes_nothing_whatever_the_crop_holds(dtype, seed: int) -> None:
    frame = picture(seed, dtype)
    crop_ = np.full((20, 30, 3), np.nan, np.float32)
    pasted = paste(frame, crop_, np.zeros((20, 30), np.float32), Box(5, 6, 35, 26))
    np.testing.assert_array_equal(pasted, frame)


@settings(max_examples=40, deadline=None)
@given(depths, st.floats(0, 30), st.floats(0, 15), st.floats(1, 3), st.integers(0, 20))
def test_an_unchanged_crop_changes_nothing_between_pixels_too(dtype, x, y, scale: float, seed: int) -> None:
    frame, window = picture(seed, dtype), Box(x, y, x + 30, y + 30)
    side = round(30 * scale)
    crops = crop(frame, window, Size(side, side))
    mask, box = place_mask(np.random.default_rng(seed).random((30, 30), np.float32), window, Size(64, 48))
    change, _ = place(crops - crops, window, Size(64, 48))
    np.testing.assert_array_equal(paste_change(frame, change, mask, box), frame)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_full_mask_gives_the_crop(dtype) -> None:
    frame, wanted = picture(0, dtype), picture(1, dtype, (20, 30, 3))
    values = wanted.astype(np.float32) / np.float32(np.iinfo(dtype).max)
    pasted = paste(frame, values, np.ones((20, 30), np.float32), Box(5, 6, 35, 26))
    np.testing.assert_array_equal(pasted[6:26, 5:35], wanted)


def test_halves_round_to_even_and_overshoots_are_limited() -> None:
    frame = np.array([[[0], [1], [2], [200], [200]]], np.uint8)
    crops = np.array([[[1], [2], [3], [400], [-300]]], np.float32) / np.float32(255)
    mask = np.full((1, 5), 0.5, np.float32)
    assert paste(frame, crops, mask, Box(0, 0, 5, 1)).ravel().tolist() == [0, 2, 2, 255, 0]


def test_a_change_is_added_under_the_mask() -> None:
    frame = np.full((4, 4, 3), 100, np.uint8)
    change = np.full((2, 2, 3), 40 / 255, np.float32)
    mask = np.array([[1, 0.5], [0, 0.25]], np.float32)
    pasted = paste_change(frame, change, mask, Box(1, 1, 3, 3))
    assert pasted[1:3, 1:3, 0].tolist() == [[140, 120], [100, 110]]
    assert pasted.sum() == frame.sum() + 3 * (40 + 20 + 10)


def test_nan_under_the_mask_is_an_error() -> None:
    with pytest.raises(RegionError, match="NaN"):
        paste(
            picture(0, np.uint8), np.full((2, 2, 3), np.nan, np.float32), np.ones((2, 2), np.float32), Box(0, 0, 2, 2)
        )


@pytest.mark.parametrize(
    ("box", "shape", "message"),
    [
        (Box(0.5, 0, 4.5, 4), (4, 4, 3), "are not whole numbers"),
        (Box(62, 0, 66, 4), (4, 4, 3), "extends beyond the 64x48-pixel frame"),
        (Box(-1, 0, 3, 4), (4, 4, 3), "extends beyond the 64x48-pixel frame"),
        (Box(0, 0, 5, 4), (4, 4, 3), "5x4-pixel box"),
        (Box(0, 0, 4, 4), (4, 4, 1), r"shape \(4, 4, 1\)"),
    ],
)
def test_what_does_not_fit_is_named(box: Box, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(RegionError, match=message):
        paste(picture(0, np.uint8), np.zeros(shape, np.float32), np.ones((4, 4), np.float32), box)


def layers_of(*levels):
    """Layers over the same 2x2 pixels: (change, mask) each."""
    box = Box(3, 5, 5, 7)
    return [
        Layer(np.full((2, 2, 3), change, np.float32), np.full((2, 2), mask, np.float32), box) for change, mask in levels
    ]


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([(0.4, 1)], 0.4),
        ([(0.4, 1), (0, 1)], 0.4),  # a change of nothing takes nothing
        ([(0.4, 0.5), (0.4, 0.5)], 0.4),  # two halves are a whole
        ([(0.4, 1), (0.4, 1)], 0.4),  # the same twice is made once
        ([(0.4, 1), (0.4, 1), (0.4, 1)], 0.4),
        ([(0.4, 1), (-0.4, 1)], 0),
        ([(0.4, 0.25), (0.2, 0.5)], 0.2),  # masks that sum up to less than 1 add
        ([(0.4, 1), (0.2, 1)], 0.6 / 1.5),
    ],
)
def test_changes_under_overlapping_masks_add_up_to_a_mean(levels, expected):
    total = sum(layer.change * layer.mask[..., None] for layer in composited(layers_of(*levels)))
    np.testing.assert_allclose(total, np.full((2, 2, 3), expected), atol=1e-6)


def test_a_faint_change_barely_weakens_a_strong_one():
    """What is composited depends continuously on what is pasted: nothing flips between almost nothing and nothing."""
    (layer,) = composited(layers_of((0.4, 1), (1e-4, 1)))
    np.testing.assert_allclose(layer.change, 0.4, atol=2e-4)


def test_layers_that_only_overlap_outside_their_masks_come_back_as_they_are():
    first, second = layers_of((0.4, 1), (0.2, 1))
    first.mask[:, 0] = second.mask[:, 1] = 0
    assert composited([first, second]) == [first, second]
    assert composited([]) == []
