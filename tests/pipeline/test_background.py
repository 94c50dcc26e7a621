"""The background enlarged by the engine: tiles that cover, weights that add up, and whole runs in closed form."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import redetail
from redetail.engines import FakeEngine
from redetail.errors import SettingsError, UnknownNameError
from redetail.imaging import resample
from redetail.pipeline.background import OVERLAP, SIDE, background_crops, spans, weights
from redetail.pipeline.stretches import Budgets
from redetail.region import Box, Size
from redetail.settings import Settings
from tests.clips import clip_frames

RNG = np.random.default_rng(4)
FRAMES = RNG.integers(0, 256, (3, 90, 130, 3), np.uint8)
SMALL = {"max_size": 64, "steps": 1, "guide_size": 32, "crop_factor": 1.5}
"""Settings with which a frame has several tiles each way."""


BUDGETS = Budgets(10**7)


def identity(crops):
    return crops


def brighter(crops):
    return crops * 0.5 + 0.25


def enlarged(frames, size):
    whole = Box(0, 0, frames.shape[2], frames.shape[1])
    return np.stack([resample.from_float(resample.crop(frame, whole, size), np.uint8) for frame in frames])


@given(st.integers(1, 5000), st.integers(2, 600), st.data())
def test_pieces_cover_an_axis_and_share_enough(length, side, data):
    overlap = data.draw(st.integers(1, max(1, side // 4)))
    pieces = spans(length, side, overlap)
    assert (pieces[0][0], pieces[-1][1]) == (0, length)
    assert all(stop - start <= side for start, stop in pieces)
    assert all(one[1] - two[0] >= overlap for one, two in pairwise(pieces))
    assert len({stop - start for start, stop in pieces}) == 1
    assert len(pieces) == 1 or length > (len(pieces) - 1) * (side - overlap) + overlap  # one fewer would not reach


@given(st.integers(1, 900), st.integers(8, 200), st.floats(1, 8))
def test_weights_add_up_to_one_and_end_inside_their_piece(length, side, scale):
    pieces, pixels = spans(length, side, side // 4), round(length * scale)
    counted = weights(pieces, pixels)
    np.testing.assert_allclose(counted.sum(0), 1, atol=1e-6)
    places = (np.arange(pixels) + 0.5) * length / pixels
    for (start, stop), own in zip(pieces, counted, strict=True):
        assert not own[(places < start) | (places > stop)].any()


def test_a_ramp_takes_the_middle_half_of_what_two_tiles_share():
    first, second = weights([(0, 60), (40, 100)], 100)
    assert not second[:45].any()
    np.testing.assert_allclose(second[45:55], (np.arange(10) + 0.5) / 10, atol=1e-6)
    np.testing.assert_allclose(first, second[::-1], atol=1e-6)


@pytest.mark.parametrize(("limit", "worked_on"), [(0, 2.0), (1.3, 1.3)])
def test_tiles_are_worked_on_at_the_output_s_scale_unless_the_engine_wants_less(limit, worked_on):
    settings = Settings(max_upscale=limit, mask_shape="head", paste_feather=9)
    tiles = background_crops(range(4, 50), Size(1280, 720), Size(2560, 1440), settings, 8, BUDGETS)
    assert len({tile.region.label for tile in tiles}) == len(tiles)
    for tile in tiles:
        assert max(tile.working.width, tile.working.height) <= SIDE
        assert tile.scale == pytest.approx(worked_on, abs=0.01)
        assert (tile.region.start, len(tile.region), tile.region.fixed) == (4, 46, True)
        assert (tile.region.mask(0) == 1).all()
    rows = sorted({tuple(tile.region.boxes[0, 1::2]) for tile in tiles})
    assert all((above[1] - below[0]) * worked_on >= OVERLAP - 2 for above, below in pairwise(rows))


def test_a_tile_does_not_grow_with_the_frame():
    sizes = [Size(640, 360), Size(3840, 2160)]
    most = [
        max(
            max(tile.padding.padded(tile.working).shape)
            for tile in background_crops(range(9), size, Size(2 * size.width, 2 * size.height), Settings(), 8, BUDGETS)
        )
        for size in sizes
    ]
    assert max(most) <= SIDE


@pytest.mark.parametrize("scale", [1.5, 2, 3])
def test_an_engine_that_changes_nothing_gives_exactly_the_filter_s_picture(scale):
    job = redetail.Job().overlay(source=FRAMES, scale=scale, background="model", box=(30, 20, 60, 60), **SMALL)
    result = redetail.run(job, engine=FakeEngine(identity, noise=0))
    assert len(result.report.plan.background) >= 6
    np.testing.assert_array_equal(result.frames, enlarged(FRAMES, job.output_size(Size(130, 90))))


def test_a_change_has_no_seams_between_tiles_or_around_subjects():
    """The same change everywhere: frames come out changed as if there were no tiles."""
    ramp = np.rint(np.linspace(0, 255, 130)).astype(np.uint8)
    smooth = np.broadcast_to(ramp[:, None], (2, 90, 130, 3)).copy()
    engine = FakeEngine(brighter, noise=0)
    options = {"scale": 2, "box": (30, 20, 60, 60), "color_match": False, "denoise": 1.0, **SMALL}
    result = redetail.detail(smooth, engine=engine, background="model", **options)
    expected = enlarged(smooth, Size(260, 180)).astype(float) * 0.5 + 255 / 4
    assert np.abs(result.frames - expected).max() <= 2
    plain = redetail.detail(smooth, engine=engine, **options)
    assert np.abs(plain.frames - expected).max() > 50


def test_frames_without_a_subject_are_enlarged_too():
    still = np.full((2, 90, 130, 3), 100, np.uint8)
    options = {"scale": 2, "box": (30, 20, 60, 60), "min_size": 500, "color_match": False, "denoise": 1.0, **SMALL}
    result = redetail.detail(still, engine=FakeEngine(brighter, noise=0), background="model", **options)
    assert result.regions == []
    np.testing.assert_allclose(result.frames, 100 * 0.5 + 255 / 4, atol=0.5)


def test_a_subject_keeps_its_own_change():
    """The background does not count where a subject is pasted in full."""
    still, box = np.full((2, 90, 130, 3), 100, np.uint8), (40, 30, 70, 60)
    options = {"scale": 2, "box": box, "color_match": False, **SMALL}
    subjects = [redetail.Subject(1, settings={"denoise": 0.0001})]
    engine = FakeEngine(brighter, noise=0)
    result = redetail.detail(still, engine=engine, background="model", subjects=subjects, denoise=1.0, **options)
    np.testing.assert_allclose(result.frames[0, 64:116, 84:136], 100, atol=0.5)
    np.testing.assert_allclose(result.frames[0, :20, :20], 100 * 0.5 + 255 / 4, atol=0.5)


@pytest.mark.parametrize("scale", [1, 90])
def test_what_is_not_enlarged_has_no_background_to_enlarge(scale):
    with pytest.raises(SettingsError, match="background is model, but the output is as large as the source"):
        redetail.detail(FRAMES, engine=FakeEngine(), scale=scale, background="model")


def test_a_background_that_does_not_exist():
    with pytest.raises(UnknownNameError, match=r"background.*lanczos, model"):
        redetail.detail(FRAMES, engine=FakeEngine(), scale=2, background="modell")


def test_a_preview_shows_the_filter_s_background():
    options = {"engine": FakeEngine(), "scale": 2, "box": (40, 30, 70, 60), "moments": 1, **SMALL}
    shown, plain = (redetail.preview(FRAMES, background=name, **options) for name in ("model", "lanczos"))
    np.testing.assert_array_equal(shown.stills[0].results, plain.stills[0].results)


def test_the_bundled_model_shows_no_tiles():
    """Several tiles give about the picture of a single one, and a sharper one than the filter."""
    frames = np.stack(clip_frames("guitarist")[:3])[:, 10:130, 150:290]
    frames = np.stack([cv2.blur(frame, (3, 3)) for frame in frames])
    engine, options = redetail.load_engine(device="cpu"), {"scale": 1.5, "box": (40, 30, 80, 80), "skip": 1}
    whole, tiled = (
        redetail.detail(frames, engine=engine, background="model", max_size=side, **options) for side in (512, 112)
    )
    assert [len(one.report.plan.background) for one in (whole, tiled)] == [1, 4]
    filtered = redetail.detail(frames, engine=engine, **options).frames.astype(float)
    change = np.abs(whole.frames - filtered).mean()
    assert change > 1
    assert np.abs(whole.frames.astype(float) - tiled.frames).mean() < 0.5 * change
    sharper = np.mean([cv2.Laplacian(one.frames[1], cv2.CV_64F).std() for one in (whole, tiled)])
    assert sharper > 1.05 * cv2.Laplacian(filtered[1], cv2.CV_64F).std()
