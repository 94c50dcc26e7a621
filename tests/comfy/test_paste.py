"""Enlarged output: what Redetail Paste gives is what the library writes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from redetail.comfy.frames import ImageSource, enlarged_frames
from redetail.comfy.nodes.redetailer import RedetailPaste
from redetail.comfy.paste import pasted
from redetail.errors import SettingsError
from redetail.geometry.scale import Scale
from redetail.imaging.masks import feather_reach
from redetail.pipeline.paste import pasted_frames
from redetail.region import Box, Region, Size
from redetail.segs import Seg
from redetail.tracking.segments import fixed_region
from tests.comfy.test_tracked import CLIP, FRAME, detailed, smooth_frames

WINDOW, BOX = (12, 8, 44, 32), (20, 14, 36, 26)
LEVEL = 1.01 / 65535
"""The library rounds twice to 16 bits: the enlarged frame, and what it writes."""
SCALES = [pytest.param(2, id="twice"), pytest.param(1.25, id="whole numbers"), pytest.param(72, id="72 pixels high")]


def frames() -> NDArray[np.float32]:
    """On levels of 16 bits, as the library's frames are."""
    return (np.rint(smooth_frames() * 65535) / 65535).astype(np.float32)


def plain(pixels: NDArray[np.float32], change: float, side: int = 1) -> Seg:
    """A segment with crops ``side`` times as large as its window; its mask is far from the window's border."""
    x1, y1, x2, y2 = WINDOW
    mask = np.zeros((y2 - y1, x2 - x1), np.float32)
    mask[6:18, 8:24] = 1
    crops = np.repeat(np.repeat(pixels[:, y1:y2, x1:x2], side, 1), side, 2) + np.float32(change)
    return Seg(crops, mask, 0.9, WINDOW, BOX, "hand")


def library(pixels: NDArray[np.float32], region: Region, crops: Sequence[Any], scale: float) -> NDArray[np.float32]:
    """What a run of the library would write, 16 bits a value."""
    written = pasted_frames(
        ImageSource(pixels, "image_frames").frames(), [region], [crops], 3, Scale(scale).size(FRAME)
    )
    return np.stack([frame.result.pixels for frame in written]).astype(np.float32) / 65535


def node(pixels: NDArray[np.float32], segments: list[Seg], scale: float) -> NDArray[np.float32]:
    given = torch.from_numpy(pixels.copy())
    (out,) = RedetailPaste.doit(given, (FRAME.shape, segments), 3, 1.0, scale)
    assert torch.equal(given, torch.from_numpy(pixels))
    return np.asarray(out)


@pytest.mark.parametrize("scale", SCALES)
def test_tracked_segments_are_pasted_as_the_library_pastes_them(scale: float) -> None:
    """Masks of SEGS are soft to both sides of their edge, as in every pack; the library keeps the whole of a box."""
    pixels = frames()
    seg = detailed(pixels)
    assert seg.crops is not None
    out = node(pixels, [seg], scale)
    assert out.shape == (CLIP, *Scale(scale).size(FRAME).shape, 3)
    reach = feather_reach(3, seg.region.size)
    smaller = replace(seg.region, boxes=seg.region.boxes + np.array([reach, reach, -reach, -reach]))
    np.testing.assert_allclose(out, library(pixels, smaller, seg.crops, scale), atol=LEVEL)


@pytest.mark.parametrize(("scale", "side"), [(2, 1), (1.25, 2), (72, 1)])
def test_other_segments_are_pasted_as_the_library_pastes_a_fixed_region(scale: float, side: int) -> None:
    pixels = frames()
    seg = plain(pixels, 0.1, side)
    mask = [(seg.cropped_mask * 255).astype(np.uint8)]
    region = fixed_region("hand", 0.9, Box(*WINDOW), Box(*BOX), 0, CLIP, mask)
    expected = library(pixels, region, seg.cropped_image, scale)
    assert (
        np.abs(expected - np.asarray(enlarged_frames(torch.from_numpy(pixels), Scale(scale).size(FRAME)))).max() > 0.09
    )
    np.testing.assert_allclose(node(pixels, [seg], scale), expected, atol=LEVEL)


def test_where_nothing_was_changed_there_is_the_enlarged_frame() -> None:
    pixels = frames()
    enlarged = enlarged_frames(torch.from_numpy(pixels), Scale(1.25).size(FRAME))
    np.testing.assert_array_equal(node(pixels, [], 1.25), enlarged)
    np.testing.assert_allclose(node(pixels, [plain(pixels, 0)], 1.25), enlarged, atol=1e-6)


def test_a_scale_of_1_changes_nothing() -> None:
    pixels = torch.from_numpy(smooth_frames())
    segs = (FRAME.shape, [detailed(pixels.numpy()), plain(pixels.numpy(), 0.1)])
    (out,) = RedetailPaste.doit(pixels, segs, 3, 0.7)
    assert torch.equal(out, RedetailPaste.doit(pixels, segs, 3, 0.7, 1.0)[0])
    assert torch.equal(out, pasted(pixels, segs, 3, 255 * 0.7))


def test_of_two_segments_in_one_place_the_later_one_shows_at_every_size() -> None:
    pixels = frames()
    both, last = (node(pixels, [plain(pixels, change) for change in given], 2) for given in ((0.2, 0.1), (0.1,)))
    np.testing.assert_allclose(both[:, 36:44, 48:60], last[:, 36:44, 48:60], atol=1e-6)  # where the mask is 1


def test_strength_and_a_fourth_channel_in_an_enlarged_frame() -> None:
    pixels = frames()
    alpha = np.full((*pixels.shape[:3], 1), 0.3, np.float32)
    given = torch.from_numpy(np.concatenate([pixels, alpha], -1))
    for segment in (detailed(pixels), plain(pixels, 0.1)):
        none, half, whole = (
            RedetailPaste.doit(given, (FRAME.shape, [segment]), 3, strength, 2)[0] for strength in (0, 0.5, 1)
        )
        assert torch.equal(none, enlarged_frames(given, Size(120, 96)))
        np.testing.assert_allclose(half - none, (whole - none) / 2, atol=1e-5)  # some values are limited to 1
        np.testing.assert_allclose(whole[..., 3], 0.3, atol=1e-6)
        assert float((whole - none).max()) == pytest.approx(0.1, abs=2e-3)


@pytest.mark.parametrize(("scale", "said"), [(9, "factor from 1 to 8"), (24, "the source's height, 48 pixels")])
def test_a_scale_that_cannot_be(scale: float, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        node(frames(), [], scale)


def test_the_number_of_threads_changes_no_pixel() -> None:
    rng = np.random.default_rng(4)
    pixels = torch.from_numpy(rng.random((2, 350, 350, 3), np.float32))
    crops = rng.random((2, 320, 300, 3), np.float32)
    window = (20, 10, 320, 330)
    seg = Seg(crops, np.ones((320, 300), np.float32), 1.0, window, window, "face")
    pictures = []
    for threads in (1, 2):
        with threadpool_limits(threads, "blas"):  # products that it splits over threads are rounded differently
            pictures.append(pasted(pixels, ((350, 350), [seg]), feather=5, scale=Scale(2)))
    assert torch.equal(*pictures)
