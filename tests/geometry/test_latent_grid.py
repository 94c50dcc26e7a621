"""Which frames and pixels a latent holds: closed forms, recordings of the real VAEs, properties."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redetail.geometry.latent_grid import IMAGE, LTX, WAN, WAN_5B, LatentGrid, open_latents
from redetail.region import Size

RECORDED: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "golden" / "flow" / "frames_flow.json").read_text()
)["vae"]
GRIDS = {"wan2.1 / wan2.2 14B VAE": WAN, "wan2.2 5B VAE": WAN_5B, "ltxv VAE": LTX}
grids = st.builds(LatentGrid, st.integers(1, 32), st.integers(1, 8), st.integers(1, 8))
counts = st.integers(1, 300)


@pytest.mark.parametrize("name", RECORDED)
def test_real_vaes(name: str) -> None:
    rules, grid = RECORDED[name], GRIDS[name]
    assert (grid.spatial, grid.temporal) == (rules["spatial_factor"], rules["temporal_factor"])
    for frames, latents in rules["encode_frames_to_latent_frames"].items():
        assert grid.complete_latents(int(frames)) == latents
    for latents, frames in rules["decode_latent_frames_to_frames"].items():
        assert grid.frames(int(latents)) == frames
    _, _, _, height, width = rules["encode_shape_example"]["input"]
    assert grid.latent_size(Size(width, height)).shape == tuple(rules["encode_shape_example"]["output"][-2:])


@pytest.mark.parametrize("name", RECORDED)
def test_a_latent_hears_of_no_frame_after_its_own(name: str) -> None:
    """Real encoders are causal: the first latent that a frame changes is the one that holds it."""
    for frame, latents in RECORDED[name]["latent_frames_that_change_when_pixel_frame_changes"].items():
        assert GRIDS[name].latent_of(int(frame)) == latents[0]


def test_an_image_vae_has_a_latent_for_each_frame() -> None:
    for frames in range(1, 20):
        assert IMAGE.latents(frames) == IMAGE.complete_latents(frames) == IMAGE.frames(frames) == frames
        assert IMAGE.padded_indices(frames).tolist() == [*range(frames)]
    assert IMAGE.latent_size(Size(512, 384)) == Size(64, 48)


@pytest.mark.parametrize(
    ("grid", "frames", "latents", "padded"),
    [(WAN, 1, 1, 1), (WAN, 2, 2, 5), (WAN, 5, 2, 5), (WAN, 81, 21, 81), (WAN, 80, 21, 81), (LTX, 10, 3, 17)],
)
def test_clips_off_the_grid_go_on_to_the_next_count(grid: LatentGrid, frames: int, latents: int, padded: int) -> None:
    assert (grid.latents(frames), grid.padded_frames(frames)) == (latents, padded)


def test_a_grid_without_a_latent_for_the_first_frame() -> None:
    plain = LatentGrid(8, temporal=4, first=4)
    assert [plain.latents(frames) for frames in (1, 4, 5, 8, 9)] == [1, 1, 2, 2, 3]
    assert [plain.frames(latents) for latents in (1, 2, 3)] == [4, 8, 12]


@given(grids, counts)
def test_every_frame_has_one_latent(grid: LatentGrid, frames: int) -> None:
    held = [frame for latent in range(grid.latents(frames)) for frame in grid.frames_of(latent)]
    assert held == [*range(grid.padded_frames(frames))]
    assert all(frame in grid.frames_of(grid.latent_of(frame)) for frame in held)


@given(grids, counts)
def test_padding_is_the_least_that_is_on_the_grid(grid: LatentGrid, frames: int) -> None:
    padded = grid.padded_frames(frames)
    assert padded >= frames
    assert grid.latents(padded) == grid.complete_latents(padded) == grid.latents(frames)
    if grid.latents(frames) > 1:
        assert grid.frames(grid.latents(frames) - 1) < frames


@given(grids, counts)
def test_a_clip_goes_on_mirrored_and_cut_back_is_itself(grid: LatentGrid, frames: int) -> None:
    clip = np.arange(frames)
    more = grid.padded_frames(frames) - frames
    expected = np.pad(clip, (0, more), mode="reflect" if frames > 1 else "edge")
    places = grid.padded_indices(frames)
    np.testing.assert_array_equal(clip[places], expected)
    np.testing.assert_array_equal(clip[places][:frames], clip)


@given(grids, st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_masks_are_united_over_the_frames_of_a_latent(grid: LatentGrid, frames: int, seed: int) -> None:
    masks = np.random.default_rng(seed).random((frames, 2), np.float32)
    united = open_latents(masks, grid)
    for latent, mask in enumerate(united):
        own = [frame for frame in grid.frames_of(latent) if frame < frames]
        np.testing.assert_array_equal(mask, masks[own].max(axis=0))


@pytest.mark.parametrize("wrong", [(0, 1, 1), (8, 0, 1), (8, 4, 0)])
def test_latents_of_nothing_are_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="at least one pixel and one frame"):
        LatentGrid(*wrong)
