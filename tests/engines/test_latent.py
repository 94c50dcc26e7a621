"""LatentEngine with closed-form parts: order of the wrappers, windows, masks, failures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from redetail.engines import LatentEngine, Request, enhance_arrays
from redetail.engines.base import Capabilities, CropSource, Read, Write
from redetail.engines.device import place
from redetail.engines.latent import DenoiserFor, InpaintCondition, LatentModel
from redetail.engines.prompt import KeyFrame, key_frames
from redetail.errors import InputError, ModelError, SettingsError
from redetail.geometry.context import Frames, shuffled_frames
from redetail.geometry.latent_grid import LatentGrid
from redetail.imaging.masks import resize_mask
from redetail.progress import Progress
from redetail.region import Size
from redetail.sampling import NoisePath, StepIndex, VarianceExploding, initial_noise, sampler_names, scheduler_names
from redetail.settings import Settings, resolve

Array = NDArray[np.float32]


class EveryOther:
    """A codec that keeps every second pixel; decoding repeats it."""

    grid = LatentGrid(2)

    def calls(self, shape: tuple[int, ...]) -> int:
        return 2 * shape[0]

    def encode(self, crops: CropSource, tick: Callable[[], None]) -> Tensor:
        for _ in range(crops.frames):
            tick()
        return torch.from_numpy(crops.all()[:, ::2, ::2].copy()).movedim(-1, 1)

    def decode(self, latents: Tensor, crops: CropSource, write: Write, tick: Callable[[], None]) -> None:
        for frame in range(crops.frames):
            tick()
            write(frame, latents[frame : frame + 1].movedim(1, -1).numpy().repeat(2, axis=1).repeat(2, axis=2))


class Position:
    """Predicts the frame's own position in the segment, and notes which frames it was asked for."""

    def noise_path(self, settings: Settings) -> NoisePath:
        return VarianceExploding.stable_diffusion()

    def __init__(self, value: Callable[[int], float] = lambda frame: frame / 64) -> None:
        self.value, self.asked, self.seen, self.settings = value, [], [], []

    def calls(self, frames: int, settings: Settings) -> int:
        return 0

    def condition(self, crops: CropSource, settings: Settings, tick: Callable[[], None]) -> DenoiserFor:
        self.settings.append(settings)

        def denoiser_for(frames: Frames) -> Callable[[Tensor, float], Tensor]:
            shown = np.arange(crops.frames)[frames].tolist()
            values = torch.tensor([self.value(frame) for frame in shown])

            def denoise(x: Tensor, sigma: float, /) -> Tensor:
                self.asked.append((shown[0], shown[-1] + 1))
                self.seen.append((shown, x))
                self.sigma = sigma
                return values.float()[:, None, None, None].expand_as(x)

            return denoise

        return denoiser_for


def engine(
    model: LatentModel, context: int | None = None, limit: int | None = None, refiner: LatentModel | None = None
) -> LatentEngine:
    abilities = Capabilities(
        name="closed form",
        size_multiple=2,
        context_length=context,
        samplers=sampler_names(),
        schedulers=scheduler_names(),
    )
    return LatentEngine(EveryOther(), model, abilities, place("cpu"), context_limit=limit, refiner=refiner)


def crops_of(frames: int) -> Array:
    return np.full((frames, 8, 12, 3), 0.5, np.float32)


def full(crops: Array) -> Array:
    return np.ones((1, *crops.shape[1:3]), np.float32)


def test_every_frame_gets_its_own_prediction() -> None:
    crops = crops_of(40)
    result = enhance_arrays(engine(Position(), 16), crops, full(crops), Settings(steps=2))
    expected = np.arange(40, dtype=np.float32)[:, None, None, None] / 64
    # The windows' weights sum to one up to a rounding of float32.
    np.testing.assert_allclose(result, np.broadcast_to(expected, result.shape), atol=1e-6)


def test_windows_are_made_as_long_as_the_model_wants_and_cover_all() -> None:
    model, crops = Position(), crops_of(40)
    enhance_arrays(engine(model, 16), crops, full(crops), Settings(steps=1))
    assert {stop - start for start, stop in model.asked} == {16}
    assert {frame for start, stop in model.asked for frame in range(start, stop)} == set(range(40))


def test_settings_choose_other_windows() -> None:
    model, crops = Position(), crops_of(10)
    settings = Settings(steps=1, context_length=6, context_overlap=2)
    enhance_arrays(engine(model, 16), crops, full(crops), settings)
    assert model.asked == [(0, 6), (4, 10)]


def test_a_model_without_a_limit_sees_all_frames_together() -> None:
    model, crops = Position(), crops_of(40)
    enhance_arrays(engine(model), crops, full(crops), Settings(steps=1))
    assert model.asked == [(0, 40)]


def test_windows_longer_than_the_motion_layers_reach_are_refused() -> None:
    crops = crops_of(3)
    with pytest.raises(
        SettingsError, match=("context-length is 33, but this model's motion layers can process at most 32 frames")
    ):
        enhance_arrays(engine(Position(), 16, 32), crops, full(crops), Settings(context_length=33))


@pytest.mark.parametrize("asked", [{"context_length": 33}, {"context_overlap": 16}])
def test_windows_that_cannot_be_are_told_before_any_work(asked: Mapping[str, int]) -> None:
    with pytest.raises(SettingsError, match="context-"):
        engine(Position(), 16, 32).check(Settings(**asked))


def test_windows_of_a_small_memory_overlap_by_less_unless_it_is_asked_for() -> None:
    """A window of 4 frames leaves no room for the usual overlap of 4."""
    small = engine(Position(), 4, 32)
    small.check(resolve({}, small.capabilities.defaults))
    assert resolve({}, small.capabilities.defaults).context_overlap == 1
    assert "context_overlap" not in engine(Position(), 5, 32).capabilities.defaults
    with pytest.raises(SettingsError, match="context-overlap is 4, but the context windows have a length of 4"):
        small.check(resolve({"context_overlap": 4}, small.capabilities.defaults))


def test_progress_counts_network_calls_of_all_windows() -> None:
    crops, reports = crops_of(28), []
    enhance_arrays(engine(Position(), 16), crops, full(crops), Settings(steps=3), progress=reports.append)
    assert [report.done for report in reports] == list(range(1, 2 * 28 + 3 * 2 + 1))
    assert reports[-1] == Progress("enhance", 62, 62, "model calls")


def test_a_constant_mask_blends_the_latents() -> None:
    """At the last step the prediction is taken as it is: clean + mask * (prediction - clean)."""
    crops = crops_of(3)
    mask = np.broadcast_to(np.linspace(0, 1, 6, dtype=np.float32).repeat(2), (1, 8, 12))
    result = enhance_arrays(engine(Position()), crops, mask, Settings(steps=2, mask_feather=0))
    small = resize_mask(mask, Size(6, 4))[0]
    predicted = np.arange(3, dtype=np.float32)[:, None, None] / 64
    expected = 0.5 + small * (predicted - 0.5)
    np.testing.assert_allclose(result[:, ::2, ::2, 0], expected, atol=1e-6)  # float32 rounding
    np.testing.assert_array_equal(result[:, :, :2], crops[:, :, :2])  # mask 0: to the last bit


def test_a_feathered_mask_opens_gradually() -> None:
    """Half-open areas are re-diffused fully once the threshold has passed them, not half."""
    crops = crops_of(1)
    mask = np.full((1, 8, 12), 0.5, np.float32)
    result = enhance_arrays(engine(Position()), crops, mask, Settings(steps=4, mask_feather=20))
    np.testing.assert_allclose(result, 0.0, atol=1e-6)
    constant = enhance_arrays(engine(Position()), crops, mask, Settings(steps=4, mask_feather=0))
    np.testing.assert_allclose(constant, 0.25, atol=1e-6)


def test_an_overflowing_network_is_an_error_not_a_black_frame() -> None:
    crops = crops_of(2)
    model = Position(lambda frame: float("nan") if frame else 0.0)
    with pytest.raises(ModelError, match="On cpu in float32, the model produced values that are not finite"):
        enhance_arrays(engine(model), crops, full(crops), Settings(steps=1))


def test_an_overflowing_codec_is_an_error_not_a_black_frame() -> None:
    crops, model = crops_of(2), Position()

    class Spoiled(EveryOther):
        def decode(self, latents: Tensor, crops: CropSource, write: Write, tick: Callable[[], None]) -> None:
            super().decode(latents * float("nan"), crops, write, tick)

    abilities = engine(model).capabilities
    spoiled = LatentEngine(Spoiled(), model, abilities, place("cpu"))
    with pytest.raises(
        ModelError, match=r"On cpu in float32, the engine .* not finite from frame 0 on; use dtype float32"
    ):
        enhance_arrays(spoiled, crops, full(crops), Settings(steps=1))


def test_pixels_pass_through_a_few_frames_at_a_time() -> None:
    """A codec that takes one frame at a time is all that decides how many are in memory."""
    crops, longest = crops_of(100), [0, 0, 0]

    def pieces(place: int, pixels: Array) -> Read:
        def read(start: int, stop: int) -> Array:
            longest[place] = max(longest[place], stop - start)
            return pixels[start:stop]

        return read

    class OneByOne(EveryOther):
        def encode(self, crops: CropSource, tick: Callable[[], None]) -> Tensor:
            return torch.cat(
                [EveryOther.encode(self, CropSource.of(crops.read(*one)), tick) for one in crops.ranges(1)]
            )

    request = Request(
        crops=replace(CropSource.of(crops), read=pieces(0, crops)),
        mask=pieces(1, np.repeat(full(crops), 100, axis=0)),
        write=lambda start, pixels: longest.__setitem__(2, max(longest[2], len(pixels))),
        settings=Settings(steps=1),
    )
    abilities = engine(Position(), 16).capabilities
    LatentEngine(OneByOne(), Position(), abilities, place("cpu")).run(request)
    assert longest == [1, 16, 1]


def test_full_memory_names_what_did_not_fit() -> None:
    def hungry(frame: int) -> float:
        raise torch.OutOfMemoryError

    crops = crops_of(2)
    message = "cpu ran out of memory for 2 crops of 12x8 pixels; make guide-size or max-size smaller"
    with pytest.raises(ModelError, match=message):
        enhance_arrays(engine(Position(hungry)), crops, full(crops), Settings())


def test_windows_over_every_second_frame_come_in_the_first_half_of_the_steps() -> None:
    model, crops = Position(), crops_of(16)
    reports: list[Progress] = []
    settings = Settings(steps=4, context_length=8, context_overlap=0, context_stride=2)
    result = enhance_arrays(engine(model, 16), crops, full(crops), settings, progress=reports.append)
    near, far = [[*range(8)], [*range(8, 16)]], [[*range(0, 16, 2)], [*range(1, 16, 2)]]
    assert [frames for frames, _ in model.seen] == [*near, *far, *near, *far, *near, *near]
    np.testing.assert_allclose(result[:, 0, 0, 0], np.arange(16) / 64, atol=1e-6)  # float32 sums of weights
    assert {report.total for report in reports} == {2 * 16 + 12}


def test_windows_of_a_loop_go_on_at_the_beginning() -> None:
    model, crops = Position(), crops_of(10)
    settings = Settings(steps=1, context_length=4, context_overlap=1, context_loop=True)
    result = enhance_arrays(engine(model, 16), crops, full(crops), settings)
    assert [7, 8, 9, 0] in [frames for frames, _ in model.seen]
    np.testing.assert_allclose(result[:, 0, 0, 0], np.arange(10) / 64, atol=1e-6)


@pytest.mark.parametrize("first_frame", [0, 5])
def test_free_noise_gives_later_windows_the_noise_of_the_first(first_frame: int) -> None:
    """The first call sees crop + sigma * noise; with one crop for all frames the noise can be read off."""
    model, crops = Position(), crops_of(24)
    settings = Settings(steps=1, seed=3, context_length=8, context_overlap=2, free_noise=True)
    enhance_arrays(engine(model, 16), crops, full(crops), settings, first_frame=first_frame)
    noise, order = initial_noise((8, 3, 4, 6), 3), shuffled_frames(0, 40, 8, 6, 3)
    for frame, x in ((frame, x) for frames, part in model.seen for frame, x in zip(frames, part, strict=True)):
        distances = ((x - 0.5) / model.sigma - noise).abs().amax(dim=(1, 2, 3))
        assert distances.min() < 1e-5  # float32 rounding
        assert distances.argmin() == order[first_frame + frame]


def test_a_refiner_takes_over_the_last_steps_with_prompts_of_its_own() -> None:
    base, refiner, crops = Position(), Position(lambda frame: 0.25), crops_of(3)
    settings = Settings(steps=10, refiner_ratio=0.3, prompt="a face", negative="blur", refiner_prompt="pores")
    result = enhance_arrays(engine(base, refiner=refiner), crops, full(crops), settings)
    assert (len(base.asked), len(refiner.asked)) == (7, 3)
    np.testing.assert_allclose(result, 0.25, atol=1e-6)  # what it predicts last
    ((told,), (own,)) = base.settings, refiner.settings
    assert (told.prompt, own.prompt, own.negative) == ("a face", "pores", "blur")


@pytest.mark.parametrize("feather", [0, 20])
def test_a_refiner_with_no_share_is_as_if_it_were_not_there(feather: int) -> None:
    crops, refiner = crops_of(3), Position(lambda frame: 0.25)
    mask = np.broadcast_to(np.linspace(0, 1, 12, dtype=np.float32), (1, 8, 12))
    settings = Settings(steps=5, refiner_ratio=0, mask_feather=feather)
    with_one = enhance_arrays(engine(Position(), refiner=refiner), crops, mask, settings)
    np.testing.assert_array_equal(with_one, enhance_arrays(engine(Position()), crops, mask, settings))
    assert refiner.asked == refiner.settings == []


class Shown(Position):
    """Predicts the hint named "edges"."""

    def controlled(
        self,
        crops: CropSource,
        settings: Settings,
        hints: Mapping[str, CropSource],
        index: StepIndex,
        inpaint: InpaintCondition,
    ) -> DenoiserFor:
        self.index = index
        small = torch.from_numpy(hints["edges"].all()[:, ::2, ::2].copy()).movedim(-1, 1)
        return lambda frames: lambda x, sigma: small[frames] + 0 * x


def test_a_model_with_controls_is_shown_the_hints_of_each_window() -> None:
    model, crops = Shown(), crops_of(10)
    hints = np.random.default_rng(0).random(crops.shape, np.float32)
    settings = Settings(steps=4, denoise=0.5, context_length=4, context_overlap=1, context_loop=True)
    result = enhance_arrays(engine(model), crops, full(crops), settings, hints={"edges": hints})
    np.testing.assert_allclose(result[:, ::2, ::2], hints[:, ::2, ::2], atol=1e-6)
    assert model.index.steps == 4
    assert model.index.sigmas[0] < 3  # half the noise: the sampled part of the schedule, not all of it


class Inpainting(Position):
    """Predicts what it is shown of the crops, and keeps all that it is shown."""

    def controlled(
        self,
        crops: CropSource,
        settings: Settings,
        hints: Mapping[str, CropSource],
        index: StepIndex,
        inpaint: InpaintCondition,
    ) -> DenoiserFor:
        self.inpaint = inpaint()
        assert inpaint() is self.inpaint
        return lambda frames: lambda x, sigma: self.inpaint[frames, 1:] + 0 * x


@pytest.mark.parametrize("each", [False, True])
def test_an_inpainting_model_is_shown_the_mask_and_grey_under_it(each: bool) -> None:
    model, crops = Inpainting(), crops_of(3)
    mask = np.zeros((3 if each else 1, *crops.shape[1:3]), np.float32)
    mask[:, 2:6, 4:] = 1
    done = enhance_arrays(engine(model), crops, mask, Settings(steps=4, context_length=2, context_overlap=1))
    covered = np.where(mask[..., None] > 0.5, 0.5, crops)
    small = torch.from_numpy(mask[:, ::2, ::2].copy())[:, None].expand(3, -1, -1, -1)
    torch.testing.assert_close(model.inpaint[:, :1], small)
    np.testing.assert_allclose(model.inpaint[:, 1:].movedim(1, -1), covered[:, ::2, ::2])
    np.testing.assert_allclose(done[:, ::2, ::2], covered[:, ::2, ::2], atol=1e-6)


def test_a_refiner_is_shown_no_hints() -> None:
    base, refiner, crops = Shown(), Position(lambda frame: 0.25), crops_of(2)
    result = enhance_arrays(
        engine(base, refiner=refiner), crops, full(crops), Settings(steps=4), hints={"edges": crops}
    )
    np.testing.assert_allclose(result, 0.25, atol=1e-6)


def test_hints_for_a_model_without_controls_are_refused() -> None:
    crops = crops_of(2)
    with pytest.raises(SettingsError, match="The hints 'edges' are not used, because this engine has no ControlNet"):
        enhance_arrays(engine(Position()), crops, full(crops), Settings(), hints={"edges": crops})


@pytest.mark.parametrize("wrong", [crops_of(3), crops_of(2)[:, :4], (crops_of(2) * 255).astype(np.uint8)])
def test_hints_of_another_size_or_number_are_refused(wrong: Array) -> None:
    crops = crops_of(2)
    with pytest.raises(InputError, match=r"The hints 'edges' are .*; 2 crops of 12x8 pixels need"):
        enhance_arrays(engine(Shown()), crops, full(crops), Settings(), hints={"edges": wrong})


def test_a_prompt_over_time_goes_on_in_a_later_part() -> None:
    """The model counts from the first of the crops that it gets."""
    model, crops = Position(), crops_of(4)
    enhance_arrays(
        engine(model), crops, full(crops), Settings(steps=1, prompt="0: a; 24: b", negative="c"), first_frame=10
    )
    assert key_frames(model.settings[0].prompt) == (KeyFrame(-10, "a"), KeyFrame(14, "b"))
    assert model.settings[0].negative == "c"
