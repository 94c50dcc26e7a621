"""The codec: residual latents and back."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from redetail.engines.base import CropSource
from redetail.engines.restoration import NetworkConfig, ResidualCodec
from redetail.engines.restoration.codec import TOGETHER
from redetail.errors import RegionError
from redetail.imaging.align import TRUSTED, Motion, aligned_differences
from tests.engines.coding import decoded, encoded

CODEC = ResidualCodec(NetworkConfig(residual_std=0.1))


def pixels(seed: int, frames: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).random((frames, 32, 48, 3), np.float32)


def test_untouched_crops_come_back_bit_by_bit() -> None:
    crops = pixels(0)
    latents = encoded(CODEC, crops)
    assert latents.shape == (2, 48, 8, 12)
    assert not latents.any()
    assert np.array_equal(decoded(CODEC, latents, crops), crops)


def test_residual_leads_to_its_target() -> None:
    crops, targets = pixels(1), pixels(2)
    restored = CODEC.restored(CODEC.residual(crops, targets), crops)
    np.testing.assert_allclose(restored, targets, atol=1e-6)  # float32 rounding of values around 10


def test_output_is_clamped() -> None:
    crops = pixels(3)
    restored = CODEC.restored(torch.full((2, 48, 8, 12), 50.0), crops)
    assert restored.dtype == np.float32
    assert np.array_equal(restored, np.ones_like(crops))


def test_condition_holds_the_pixels_of_each_cell() -> None:
    crops = pixels(4, frames=1)
    cell = CODEC.condition(crops)[0, :, 1, 2].reshape(3, 4, 4)
    np.testing.assert_allclose(cell.numpy(), crops[0, 4:8, 8:12].transpose(2, 0, 1) * 2 - 1, atol=1e-6)


def test_condition_holds_the_neighbours_beside_the_crop() -> None:
    pytest.importorskip("cv2")
    codec = ResidualCodec(NetworkConfig(residual_std=0.1, reach=1))
    crops = np.full((3, 32, 48, 3), 0.5, np.float32)
    crops[1] += 0.02
    condition = codec.condition(crops)
    assert condition.shape == (3, 144, 8, 12)
    assert torch.equal(condition[:, :48], CODEC.condition(crops))
    change = -0.04 * float(np.exp(-np.square(0.02 / TRUSTED)))  # in units of -1..1
    torch.testing.assert_close(condition[1, 48:], torch.full((96, 8, 12), change), atol=1e-5, rtol=0)
    assert not condition[0, 48:96].any()  # there is no frame before the first
    assert not condition[2, 96:].any()


def test_a_draft_is_told_as_its_residual_and_its_own_neighbours() -> None:
    pytest.importorskip("cv2")
    codec = ResidualCodec(NetworkConfig(residual_std=0.1, reach=1))
    crops, drafts = np.full((3, 32, 48, 3), 0.5, np.float32), np.full((3, 32, 48, 3), 0.6, np.float32)
    drafts[2] += 0.02
    told = codec.drafted(drafts, crops, codec.neighbours(CropSource.of(drafts), codec.motion(CropSource.of(crops))))
    assert told.shape == codec.condition(crops).shape
    torch.testing.assert_close(told[:2, :48], torch.full((2, 48, 8, 12), 0.2))
    torch.testing.assert_close(told[2, :48], torch.full((48, 8, 12), 0.24))
    change = 0.04 * float(np.exp(-np.square(0.02 / TRUSTED)))  # in units of -1..1
    torch.testing.assert_close(told[1, 96:], torch.full((48, 8, 12), change), atol=1e-5, rtol=0)
    assert not told[1, 48:96].any()


def test_a_part_of_a_clip_is_told_the_neighbours_it_has_in_the_whole() -> None:
    pytest.importorskip("cv2")
    codec = ResidualCodec(NetworkConfig(residual_std=0.1, reach=2))
    crops = pixels(5, frames=7)
    neighbours = codec.neighbours(CropSource.of(crops))
    parts = [codec.condition(crops[some], neighbours) for some in (slice(0, 3), slice(3, 6), slice(6, 9))]
    assert torch.equal(torch.cat(parts), codec.condition(crops))


def test_neighbours_of_a_long_clip_are_found_a_few_frames_at_a_time() -> None:
    pytest.importorskip("cv2")
    clip, longest = pixels(8, frames=TOGETHER + 5), 0

    def read(start: int, stop: int) -> np.ndarray:
        nonlocal longest
        longest = max(longest, stop - start)
        return clip[start:stop]

    codec = ResidualCodec(NetworkConfig(reach=2))
    found = np.stack(list(codec.neighbours(replace(CropSource.of(clip), read=read))))
    np.testing.assert_array_equal(found, np.stack(list(aligned_differences(clip, 2))))
    assert longest == TOGETHER + 2


def test_where_no_neighbour_is_seen_no_motion_is_looked_for() -> None:
    assert CODEC.motion(CropSource.of(pixels(6))) == Motion([], [])


@pytest.mark.parametrize("shape", [(2, 30, 48, 3), (2, 32, 40, 3), (32, 48, 3), (2, 32, 48, 4)])
def test_unfit_crops_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(RegionError, match="multiples of 16"):
        CODEC.condition(np.zeros(shape, np.float32))
