"""LatentEngine with closed-form parts: order of the wrappers, windows, masks, failures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from redetail.engines import LatentEngine
from redetail.engines.base import Capabilities
from redetail.engines.device import place
from redetail.engines.latent import DenoiserFor, latent_mask
from redetail.errors import ModelError, SettingsError
from redetail.progress import Progress
from redetail.sampling import NoiseTable, sampler_names, scheduler_names
from redetail.settings import Settings

Array = NDArray[np.float32]


class EveryOther:
    """A codec that keeps every second pixel; decoding repeats it."""

    size_multiple = 2

    def calls(self, shape: tuple[int, ...]) -> int:
        return 2 * shape[0]

    def encode(self, crops: Array, tick: Callable[[], None]) -> Tensor:
        for _ in crops:
            tick()
        return torch.from_numpy(crops[:, ::2, ::2].copy()).movedim(-1, 1)

    def decode(self, latents: Tensor, crops: Array, tick: Callable[[], None]) -> Array:
        for _ in crops:
            tick()
        return latents.movedim(1, -1).numpy().repeat(2, axis=1).repeat(2, axis=2)


class Position:
    """Predicts the frame's own position in the segment, and notes which frames it was asked for."""

    table = NoiseTable.stable_diffusion()

    def __init__(self, value: Callable[[int], float] = lambda frame: frame / 64) -> None:
        self.value, self.asked = value, []

    def condition(self, crops: Array, settings: Settings) -> DenoiserFor:
        def denoiser_for(frames: slice) -> Callable[[Tensor, float], Tensor]:
            values = torch.tensor([self.value(frame) for frame in range(len(crops))[frames]])

            def denoise(x: Tensor, sigma: float, /) -> Tensor:
                self.asked.append((frames.start, frames.stop))
                return values.float()[:, None, None, None].expand_as(x)

            return denoise

        return denoiser_for


def engine(model: Position, context: int | None = None, limit: int | None = None) -> LatentEngine:
    abilities = Capabilities(
        name="closed form",
        size_multiple=2,
        context_length=context,
        samplers=sampler_names(),
        schedulers=scheduler_names(),
    )
    return LatentEngine(EveryOther(), model, abilities, place("cpu"), context_limit=limit)


def crops_of(frames: int) -> Array:
    return np.full((frames, 8, 12, 3), 0.5, np.float32)


def full(crops: Array) -> Array:
    return np.ones((1, *crops.shape[1:3]), np.float32)


def test_every_frame_gets_its_own_prediction() -> None:
    crops = crops_of(40)
    result = engine(Position(), 16).enhance(crops, full(crops), Settings(steps=2))
    expected = np.arange(40, dtype=np.float32)[:, None, None, None] / 64
    # The windows' weights sum to one up to a rounding of float32.
    np.testing.assert_allclose(result, np.broadcast_to(expected, result.shape), atol=1e-6)


def test_windows_are_made_as_long_as_the_model_wants_and_cover_all() -> None:
    model, crops = Position(), crops_of(40)
    engine(model, 16).enhance(crops, full(crops), Settings(steps=1))
    assert {stop - start for start, stop in model.asked} == {16}
    assert {frame for start, stop in model.asked for frame in range(start, stop)} == set(range(40))


def test_settings_choose_other_windows() -> None:
    model, crops = Position(), crops_of(10)
    settings = Settings(steps=1, context_length=6, context_overlap=2)
    engine(model, 16).enhance(crops, full(crops), settings)
    assert model.asked == [(0, 6), (4, 10)]


def test_a_model_without_a_limit_sees_all_frames_together() -> None:
    model, crops = Position(), crops_of(40)
    engine(model).enhance(crops, full(crops), Settings(steps=1))
    assert model.asked == [(0, 40)]


def test_windows_longer_than_the_motion_layers_reach_are_refused() -> None:
    crops = crops_of(3)
    with pytest.raises(SettingsError, match="context-length is 33, but this model's motion layers reach 32 frames"):
        engine(Position(), 16, 32).enhance(crops, full(crops), Settings(context_length=33))


def test_progress_counts_network_calls_of_all_windows() -> None:
    crops, reports = crops_of(28), []
    engine(Position(), 16).enhance(crops, full(crops), Settings(steps=3), progress=reports.append)
    assert [report.done for report in reports] == list(range(1, 2 * 28 + 3 * 2 + 1))
    assert reports[-1] == Progress("enhance", 62, 62, "model calls")


def test_a_constant_mask_blends_the_latents() -> None:
    """At the last step the prediction is taken as it is: clean + mask * (prediction - clean)."""
    crops = crops_of(3)
    mask = np.broadcast_to(np.linspace(0, 1, 6, dtype=np.float32).repeat(2), (1, 8, 12))
    result = engine(Position()).enhance(crops, mask, Settings(steps=2, mask_feather=0))
    small = latent_mask(mask, torch.zeros(3, 3, 4, 6)).numpy()[0, 0]
    predicted = np.arange(3, dtype=np.float32)[:, None, None] / 64
    expected = 0.5 + small * (predicted - 0.5)
    np.testing.assert_allclose(result[:, ::2, ::2, 0], expected, atol=1e-6)  # float32 rounding
    np.testing.assert_array_equal(result[:, :, :2], crops[:, :, :2])  # mask 0: to the last bit


def test_a_feathered_mask_opens_gradually() -> None:
    """Half-open areas are re-diffused fully once the threshold has passed them, not half."""
    crops = crops_of(1)
    mask = np.full((1, 8, 12), 0.5, np.float32)
    result = engine(Position()).enhance(crops, mask, Settings(steps=4, mask_feather=20))
    np.testing.assert_allclose(result, 0.0, atol=1e-6)
    constant = engine(Position()).enhance(crops, mask, Settings(steps=4, mask_feather=0))
    np.testing.assert_allclose(constant, 0.25, atol=1e-6)


def test_masks_of_one_stay_one_at_latent_size() -> None:
    """Differential diffusion compares with 1 at its first step: 0.9999999 would leave the area closed."""
    mask = np.ones((2, 64, 96), np.float32)
    small = latent_mask(mask, torch.zeros(2, 4, 8, 12))
    assert small.shape == (2, 1, 8, 12)
    assert (small == 1).all()


def test_an_overflowing_network_is_an_error_not_a_black_frame() -> None:
    crops = crops_of(2)
    model = Position(lambda frame: float("nan") if frame else 0.0)
    with pytest.raises(ModelError, match="not finite numbers, computed on cpu in float32"):
        engine(model).enhance(crops, full(crops), Settings(steps=1))


def test_full_memory_names_what_did_not_fit() -> None:
    def hungry(frame: int) -> float:
        raise torch.OutOfMemoryError

    crops = crops_of(2)
    message = "memory of cpu did not suffice for 2 crops of 12x8 pixels; make guide-size or max-size smaller"
    with pytest.raises(ModelError, match=message):
        engine(Position(hungry)).enhance(crops, full(crops), Settings())
