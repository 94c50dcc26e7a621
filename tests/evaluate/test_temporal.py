"""Figures over time: what moves smoothly is calm, what flickers is not, and every changed pixel is counted."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from redetail.errors import InputError
from redetail.evaluate.temporal import FEWEST, UntouchedCheck, WarpedError, window_jitter
from redetail.imaging.resample import crop
from redetail.region import Box, Size

av = pytest.importorskip("av")
pytest.importorskip("cv2")

SUBJECT = Box(40, 40, 120, 120)


def clip(frames: int = 6) -> list[np.ndarray]:
    """A textured picture that drifts by 1.5 pixels a frame, uint8."""
    coarse = np.random.default_rng(4).random((60, 60, 3), np.float32)
    wide = crop(coarse, Box(0, 0, 60, 60), Size(240, 240))
    drifting = [crop(wide, Box(1.5 * i, i, 160 + 1.5 * i, 160 + i), Size(160, 160)) for i in range(frames)]
    return [np.rint(frame * 255).astype(np.uint8) for frame in drifting]


def measured(source: list[np.ndarray], output: list[np.ndarray], **options):
    error = WarpedError()
    for index, (before, after) in enumerate(zip(source, output, strict=True)):
        error.add(index, before, after, SUBJECT, **options)
    return error.figures


def flickering(frames: list[np.ndarray], level: int) -> list[np.ndarray]:
    return [np.clip(frame.astype(int) + level * (-1) ** i, 0, 255).astype(np.uint8) for i, frame in enumerate(frames)]


def test_an_unchanged_clip_has_the_ratio_one() -> None:
    figures = measured(clip(), clip())
    assert figures.ratio == 1
    assert figures.frames == 5
    assert figures.ratio_per_detail == 1
    # 1.85 levels are what the search and bilinear interpolation leave of a drifting texture of contrast 200.
    assert figures.source == figures.output < 2.2
    assert 0.8 * 5 * 6400 < figures.pixels <= 5 * 6400


def test_flicker_is_measured_in_levels() -> None:
    still = [clip(1)[0] // 2 + 64] * 6
    figures = measured(still, flickering(still, 5))
    assert figures.source == pytest.approx(0, abs=1e-4)
    assert figures.output == pytest.approx(10, abs=1e-3)
    assert figures.output_mse == pytest.approx(100, abs=1e-2)
    assert measured(clip(), flickering(clip(), 4)).ratio > 3


def test_a_source_that_stands_still_has_no_ratio() -> None:
    still = [np.full((160, 160, 3), 90, np.uint8)] * 3
    assert measured(still, still).ratio is None


def test_flicker_outside_the_subject_or_its_mask_does_not_count() -> None:
    source = clip()
    output = [frame.copy() for frame in source]
    for index, frame in enumerate(output):
        frame[:, :40] = 255 * (index % 2)
    assert measured(source, output).ratio == 1
    everywhere = flickering(source, 9)
    mask = np.zeros((160, 160), np.float32)
    assert measured(source, everywhere, mask=mask).ratio is None
    mask[60:80, 60:80] = 1
    assert measured(source, everywhere, mask=mask).pixels <= 5 * 400


def test_a_frame_without_its_predecessor_is_only_remembered() -> None:
    error, frames = WarpedError(), clip(4)
    for index in (0, 2, 4):
        error.add(index, frames[index // 2], frames[index // 2], SUBJECT)
    assert error.figures.frames == 0
    assert error.figures.source is None
    error.add(5, frames[3], frames[3], SUBJECT)
    assert error.figures.frames == 1


def test_what_is_covered_is_left_out() -> None:
    """A bar crosses the subject: its pixels have no partner in the frame before, so they do not count as flicker."""
    source = clip()
    for index, frame in enumerate(source):
        frame[:, 20 + 12 * index : 36 + 12 * index] = (250, 20, 20)
    figures = measured(source, source)
    assert figures.frames == 5
    assert figures.pixels < 5 * 6400
    crude = [np.abs(b.astype(float) - a)[40:120, 40:120].mean() for a, b in itertools.pairwise(source)]
    assert figures.source < 0.35 * np.mean(crude)


def test_the_subject_may_leave_the_frame() -> None:
    error = WarpedError()
    for index, box in enumerate([Box(150, 150, 190, 190), Box(170, 170, 200, 200), Box(300, 300, 310, 310)]):
        error.add(index, clip(1)[0], clip(1)[0], box)
    assert error.figures.frames <= 1


def test_figures_of_a_real_clip() -> None:
    with av.open(Path(__file__).parents[1] / "data/clips/guitarist.mp4") as container:
        frames = [
            frame.to_ndarray(format="rgb24") for frame, _ in zip(container.decode(video=0), range(5), strict=False)
        ]
    error, noisy = WarpedError(), WarpedError()
    generator = np.random.default_rng(0)
    face = Box(135, 45, 215, 160)
    for index, frame in enumerate(frames):
        grain = np.clip(frame + generator.normal(0, 6, frame.shape), 0, 255).astype(np.uint8)
        error.add(index, frame, frame, face)
        noisy.add(index, frame, grain, face)
    assert error.figures.ratio == 1
    assert 0.5 < error.figures.source < 4
    assert noisy.figures.source == error.figures.source
    assert noisy.figures.ratio > 2


def test_a_steady_gain_of_detail_is_told_from_flicker() -> None:
    """Twice the contrast doubles both the difference and the detail: the picture is as calm as it was."""
    source = [frame // 2 for frame in clip()]
    figures = measured(source, [2 * frame for frame in source])
    assert figures.ratio == pytest.approx(2)
    assert figures.output_detail == pytest.approx(2 * figures.source_detail)
    assert figures.ratio_per_detail == pytest.approx(1)
    ramp = np.tile(np.arange(160, dtype=np.uint8), (160, 1))[..., None].repeat(3, 2)
    assert measured([ramp] * 2, [ramp] * 2).source_detail == pytest.approx(0.5)  # one level across, none down


def test_pictures_of_two_sizes_are_an_error() -> None:
    with pytest.raises(InputError, match=r"\(160, 160, 3\) and \(159, 160, 3\)"):
        WarpedError().add(0, clip(1)[0], clip(1)[0][1:], SUBJECT)


def test_every_pixel_that_changed_where_nothing_was_pasted_is_counted() -> None:
    check, source = UntouchedCheck(), clip(1)[0]
    output, touched = source.copy(), np.zeros((160, 160), bool)
    touched[10:20, 10:20] = True
    output[10:20, 10:20] ^= 1
    check.add(source, output, touched)
    assert (check.frames, check.differing) == (1, 0)
    output[50, 50, 1] ^= 1
    output[70, 70:73] ^= 128
    check.add(source, output, touched)
    assert (check.frames, check.differing) == (2, 4)
    with pytest.raises(InputError, match="differ in size or depth"):
        check.add(source, output, touched[1:])


def test_a_smooth_path_has_no_jitter_and_a_shaky_box_has() -> None:
    frames = np.arange(20.0)
    path = np.stack([3 * frames, 2 * frames], axis=1)
    corners = path + np.where(np.arange(20)[:, None] % 2, 1.0, -1.0) * (1, 0)
    boxes = np.concatenate([corners, corners + 50], axis=1)
    jitter = window_jitter(path, boxes)
    assert jitter.window == pytest.approx(0, abs=1e-12)
    assert jitter.box == pytest.approx(4)  # +1, -1, +1: a second difference of 4
    assert window_jitter(corners, boxes).ratio == pytest.approx(1)
    assert window_jitter(path[:2], boxes[:2]).window == 0


@pytest.mark.parametrize("frames", [2, FEWEST, FEWEST + 1])
def test_few_pairs_have_no_ratio(frames: int) -> None:
    ratio = measured(clip(frames), flickering(clip(frames), 9)).ratio
    assert (ratio is None) == (frames <= FEWEST)
