"""Aligned differences: nothing where frames are one moving picture, the damage where they are not."""

import numpy as np
import pytest

from redetail.imaging.align import TRUSTED, Motion, aligned_differences, frame_motion
from redetail.imaging.resample import crop
from redetail.region import Box, Size

pytest.importorskip("cv2")


def pan(frames: int, side: int = 128, speed: float = 2.0) -> np.ndarray:
    """A picture with structure of several pixels that moves to the right, float32 0..1."""
    rng = np.random.default_rng(4)
    wide = crop(rng.random((side // 8, side // 8 + 8, 3), np.float32), Box(0, 0, side // 8 + 8, side // 8),
                Size(side + 64, side))  # fmt: skip
    return np.stack([crop(wide, Box(32 - speed * t, 0, 32 - speed * t + side, side), Size(side, side))
                     for t in range(frames)])  # fmt: skip


def differences(frames: np.ndarray, reach: int) -> np.ndarray:
    return np.stack(list(aligned_differences(frames, reach)))


INNER = (..., slice(24, -24), slice(24, -24), slice(None))


def test_a_moving_picture_does_not_differ_from_itself() -> None:
    frames = pan(5)
    found = differences(frames, 2)
    assert found.shape == (5, 4, 128, 128, 3)
    assert found.dtype == np.float32
    unaligned = np.abs(np.diff(frames, axis=0))[INNER].mean()
    assert np.abs(found[2])[INNER].mean() < 0.15 * unaligned  # flow at half the size: a fraction of a pixel off


@pytest.mark.parametrize("reach", [1, 3])
def test_the_mean_of_the_neighbours_tells_the_noise(reach: int) -> None:
    clean = pan(7)
    noisy = clean + np.random.default_rng(1).normal(0, 0.01, clean.shape).astype(np.float32)
    found = differences(noisy, reach)
    guess = found[3].mean(axis=0)[INNER]
    noise = (noisy - clean)[3][INNER]
    # The noise of the frame itself is in every difference; that of the neighbours averages out.
    assert np.corrcoef(-guess.ravel(), noise.ravel())[0, 1] > (0.7 if reach == 1 else 0.8)


def test_neighbours_are_in_the_order_of_time() -> None:
    frames = np.full((5, 32, 32, 3), 0.5, np.float32) + np.arange(5, dtype=np.float32)[:, None, None, None] * 0.01
    found = differences(frames, 2).mean(axis=(2, 3, 4))
    steps = np.array([-0.02, -0.01, 0.01, 0.02])
    expected = steps * np.exp(-np.square(steps / TRUSTED))
    np.testing.assert_allclose(found[2], expected, rtol=1e-4)
    np.testing.assert_allclose(found[0], [0, 0, *expected[2:]], rtol=1e-4)
    np.testing.assert_allclose(found[4], [*expected[:2], 0, 0], rtol=1e-4)


def test_reversed_time_swaps_the_sides() -> None:
    frames = pan(4)
    forward, backward = differences(frames, 2), differences(frames[::-1], 2)
    np.testing.assert_allclose(backward, forward[::-1, ::-1], atol=1e-6)


def test_what_differs_too_much_does_not_count() -> None:
    frames = np.zeros((2, 32, 32, 3), np.float32)
    frames[1] = 0.5
    assert np.abs(differences(frames, 1)).max() < 1e-6
    assert np.abs(differences(pan(4, speed=9.0), 1)).max() <= TRUSTED * np.exp(-0.5) / np.sqrt(2) + 1e-6


def test_bytes_are_read_as_fractions() -> None:
    frames = np.rint(pan(3) * 255).clip(0, 255).astype(np.uint8)
    np.testing.assert_allclose(differences(frames, 1), differences(frames / np.float32(255), 1), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 32, 48, 3), (3, 8, 8, 3), (2, 33, 47, 3)])
def test_short_clips_and_small_or_odd_sizes_are_taken(shape: tuple[int, ...]) -> None:
    frames = np.random.default_rng(0).random(shape, np.float32)
    found = differences(frames, 3)
    assert found.shape == (shape[0], 6, *shape[1:])
    assert not found[0, :3].any()


def test_a_known_motion_is_taken() -> None:
    frames = pan(4)
    motion = frame_motion(frames)
    known = np.stack(list(aligned_differences(frames, 2, motion)))
    assert np.array_equal(known, differences(frames, 2))
    elsewhere = np.stack(list(aligned_differences(frames[::-1], 2, motion)))
    assert not np.allclose(elsewhere, differences(frames[::-1], 2), atol=1e-3)


def test_motion_is_that_of_half_the_size() -> None:
    motion = frame_motion(pan(3))
    assert motion.after[2] is None
    assert motion.before[0] is None
    for flow, speed in ((motion.after[0], 1.0), (motion.before[2], -1.0)):
        assert flow.shape == (64, 64, 2)
        np.testing.assert_allclose(np.median(flow[16:-16, 16:-16], axis=(0, 1)), [speed, 0], atol=0.1)
    assert frame_motion(pan(3)[:0]) == Motion([], [])


def test_any_number_of_threads_gives_equal_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = pan(7)
    found = []
    for threads in (1, 3):
        monkeypatch.setattr("redetail.imaging.align._threads", lambda threads=threads: threads)
        found.append(np.stack(list(aligned_differences(frames, 2))))
    np.testing.assert_array_equal(found[0], found[1])
