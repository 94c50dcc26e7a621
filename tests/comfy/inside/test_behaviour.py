"""What the detailer does in ComfyUI where the original fails, and what its users' models, clips and hands do to it."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from redetail.errors import InputError, ModelError, RegionError, UnknownNameError
from redetail.segs import Seg

HEIGHT, WIDTH = 96, 112
REGION, BOX = (24, 16, 72, 48), (32, 22, 64, 44)
# Of 0..1: what scaling up and back down again costs the soft pattern of these frames, with a margin of four.
ROUND_TRIP = 2 / 255
Detail = Callable[..., tuple[tuple[Any, list[Any]], list[Tensor]]]


def pattern(frames: int, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """Waves too long for scaling to hurt, and steep enough for a shift by a pixel to show; every frame is another."""
    f, y, x, c = torch.meshgrid(*map(torch.arange, (frames, height, width, 3)), indexing="ij")
    return 0.5 + 0.2 * torch.sin(0.35 * x + 0.5 * c + f) + 0.2 * torch.cos(0.3 * y + 0.7 * f)


def seg(mask: Any, region: tuple[int, ...] = REGION, box: tuple[float, ...] = BOX, image: Any = None) -> Seg:
    return Seg(image, mask, 0.9, region, box, "face")


def full_mask(region: tuple[int, ...] = REGION, value: float = 1.0) -> np.ndarray:
    x1, y1, x2, y2 = region
    return np.full((y2 - y1, x2 - x1), value, np.float32)


def centre_mask() -> np.ndarray:
    mask = full_mask(value=0)
    mask[8:24, 8:40] = 1
    return mask


def segs(*segments: Seg, header: tuple[int, int] = (HEIGHT, WIDTH)) -> tuple[tuple[int, int], list[Seg]]:
    return header, list(segments)


def under(frames: Tensor, region: tuple[int, ...] = REGION) -> Tensor:
    x1, y1, x2, y2 = region
    return frames[:, y1:y2, x1:x2]


@pytest.fixture
def detail(nodes: dict[str, type], toys: ModuleType) -> Detail:
    """The detailer as ComfyUI calls it, with values of the first recording where none are given."""

    def run(frames: Tensor, segments: Any, pipe: Any = None, **asked: Any) -> Any:
        values: dict[str, Any] = {
            "guide_size": 64.0,
            "guide_size_for": False,
            "max_size": 768.0,
            "seed": 777,
            "steps": 4,
            "cfg": 3.0,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 0.5,
            "refiner_ratio": 0.2,
            "noise_mask_feather": 20,
        }
        with torch.inference_mode():
            return nodes["SEGSDetailerForAnimateDiff"]().doit(
                image_frames=frames, segs=segments, basic_pipe=pipe or toys.pipe(), **{**values, **asked}
            )

    return run


def pictures(result: Any, index: int = 0) -> np.ndarray:
    return np.asarray(result[0][1][index].cropped_image)


# Geometry --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guide_size", [64.0, 76.0, 101.0])
@pytest.mark.parametrize("region", [(10, 11, 47, 56), (3, 5, 70, 38)])
def test_pixels_stay_where_they_are(
    detail: Detail, toys: ModuleType, region: tuple[int, ...], guide_size: float
) -> None:
    """Whatever the size of the crop, with a codec that loses nothing and a mask that lets nothing change."""
    frames = pattern(2)
    pipe = toys.pipe(vae=toys.vae_of(toys.LosslessAutoencoder()))
    closed = segs(seg(full_mask(region, 0.0), region, region))
    out = pictures(detail(frames, closed, pipe, guide_size=guide_size, noise_mask_feather=0))
    here = under(frames, region).numpy()
    assert np.abs(out - here).max() < ROUND_TRIP
    for axis in (1, 2):
        assert np.abs(out - np.roll(here, 1, axis))[:, 2:-2, 2:-2].max() > 5 * ROUND_TRIP


def test_each_axis_is_scaled_by_its_own_ratio(detail: Detail, toys: ModuleType) -> None:
    frames = pattern(3)
    pipe = toys.pipe(vae=toys.vae_of(toys.LosslessAutoencoder()))
    mask = np.zeros((16, 24), np.float32)
    result = detail(
        frames, segs(seg(mask, (12, 8, 36, 24), (16, 11, 32, 22)), header=(48, 112)), pipe, noise_mask_feather=0
    )
    (header, (segment,)), _ = result
    assert tuple(header) == (HEIGHT, WIDTH)
    assert tuple(segment.crop_region) == (12, 16, 36, 48)
    assert tuple(segment.bbox) == (16, 22, 32, 44)
    assert np.asarray(segment.cropped_mask).shape == (32, 24)
    assert np.abs(pictures(result) - under(frames, (12, 16, 36, 48)).numpy()).max() < ROUND_TRIP


def test_crops_of_an_earlier_detailer_are_used_frame_by_frame(detail: Detail, toys: ModuleType) -> None:
    crops = pattern(6, 32, 48) * 0.5
    pipe = toys.pipe(vae=toys.vae_of(toys.LosslessAutoencoder()))
    out = pictures(detail(pattern(6), segs(seg(full_mask(value=0), image=crops.numpy())), pipe, noise_mask_feather=0))
    assert out.shape == (6, 32, 48, 3)
    assert np.abs(out - crops.numpy()).max() < ROUND_TRIP


def test_a_condition_mask_lies_on_the_image(detail: Detail, toys: ModuleType) -> None:
    """Two texts, each with its half of the image, whose border crosses the crop in the middle of its latents."""
    frames, segments = pattern(3), segs(seg(full_mask()))
    left = torch.zeros(1, HEIGHT, WIDTH)
    left[:, :, :48] = 1
    texts = (0.5, 0.5, 0.3, 0.4), (-0.6, 0.2, 0.9, 0.1)
    halves = [part for p, mask in zip(texts, (left, 1 - left), strict=True) for part in toys.text(*p, mask=mask)]
    asked = {"cfg": 1.0, "noise_mask_feather": 0}
    both = pictures(detail(frames, segments, toys.pipe(positive=halves), **asked))
    one, other = (pictures(detail(frames, segments, toys.pipe(positive=toys.text(*p)), **asked)) for p in texts)
    np.testing.assert_allclose(both[:, :, :18], one[:, :, :18], atol=1e-5)  # scaling spreads a few columns
    np.testing.assert_allclose(both[:, :, 30:], other[:, :, 30:], atol=1e-5)
    assert np.abs(one - other).max() > 0.1


# Masks -----------------------------------------------------------------------------------------------------------


def test_another_number_of_masks_than_frames_is_an_error(detail: Detail) -> None:
    with pytest.raises(RegionError, match=r"3 masks.* 6 frames") as caught:
        detail(pattern(6), segs(seg(np.stack([full_mask()] * 3))))
    assert "face" in str(caught.value)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float64, torch.float16])
def test_masks_of_any_kind_mean_the_same(detail: Detail, dtype: Any) -> None:
    mask = centre_mask()
    as_float = pictures(detail(pattern(2), segs(seg(mask))))
    if dtype is torch.float16:
        other = torch.from_numpy(mask).half()
    else:
        other = (mask * (255 if dtype is np.uint8 else 1)).astype(dtype)
    np.testing.assert_array_equal(pictures(detail(pattern(2), segs(seg(other)))), as_float)


def test_no_mask_means_all_of_the_crop(detail: Detail) -> None:
    np.testing.assert_array_equal(
        pictures(detail(pattern(2), segs(seg(None)))), pictures(detail(pattern(2), segs(seg(full_mask()))))
    )


def test_one_step_is_sampled(detail: Detail) -> None:
    """Where the first and the last timestep are one, no threshold lies between them."""
    changed = pictures(detail(pattern(2), segs(seg(full_mask())), steps=1))
    kept = pictures(detail(pattern(2), segs(seg(full_mask(value=0))), steps=1))
    assert np.isfinite(changed).all()
    assert np.abs(changed - kept).max() > 1e-3


@pytest.mark.parametrize("feather", [0, 20])
def test_a_mask_function_of_the_users_own_is_kept(detail: Detail, toys: ModuleType, feather: int) -> None:
    seen = []

    def closed(sigma: Tensor, denoise_mask: Tensor, extra_options: dict[str, Any]) -> Tensor:
        seen.append(float(sigma[0]))
        return torch.zeros_like(denoise_mask)

    model = toys.model_of()
    model.set_model_denoise_mask_function(closed)
    out = pictures(detail(pattern(2), segs(seg(full_mask())), toys.pipe(model), noise_mask_feather=feather))
    assert len(seen) == 4
    kept = pictures(detail(pattern(2), segs(seg(full_mask(value=0))), noise_mask_feather=0))
    np.testing.assert_array_equal(out, kept)


# Clips -----------------------------------------------------------------------------------------------------------


def test_a_long_clip_is_sampled_together(detail: Detail, toys: ModuleType) -> None:
    """Without a motion model nothing limits the frames; a short clip's noise is the beginning of a long one's."""
    model = toys.model_of(toys.BLIND)
    whole = pictures(detail(pattern(70), segs(seg(full_mask())), toys.pipe(model)))
    assert whole.shape == (70, 32, 48, 3)
    assert {shape[0] for shape, _ in model.model.seen} <= {70, 140}
    np.testing.assert_allclose(
        pictures(detail(pattern(5), segs(seg(full_mask())), toys.pipe(model))), whole[:5], atol=1e-6
    )


@pytest.mark.parametrize(("frames", "latents"), [(1, 1), (2, 2), (5, 2), (6, 3), (9, 3), (17, 5)])
def test_video_models_get_clips_on_their_grid(detail: Detail, toys: ModuleType, frames: int, latents: int) -> None:
    model, vae = toys.video_model(), toys.video_vae()
    clip, half = pattern(frames), full_mask()
    half[:, :24] = 0
    out = pictures(detail(clip, segs(seg(half)), toys.pipe(model, vae), noise_mask_feather=0))
    assert out.shape == (frames, 32, 48, 3)
    assert {shape[1:] for shape, _ in model.model.seen} == {(768, latents, 8, 12)}
    encoded = [shape for kind, shape in vae.first_stage_model.calls if kind == "encode"]
    assert encoded == [(1, 3, 4 * latents - 3, 64, 96)]
    kept, changed = np.abs(out - under(clip).numpy())[:, :, :20], np.abs(out - under(clip).numpy())[:, :, 28:]
    assert kept.max() < ROUND_TRIP
    assert changed.max(axis=(1, 2, 3)).min() > 5 * ROUND_TRIP


def test_a_mask_for_each_frame_of_a_video_model(detail: Detail, toys: ModuleType) -> None:
    """Of nine frames only the third is open: with it the latent of frames 1 to 4, and no other."""
    masks = np.zeros((9, 32, 48), np.float32)
    masks[2] = 1
    clip = pattern(9)
    pipe = toys.pipe(toys.video_model(), toys.video_vae())
    out = pictures(detail(clip, segs(seg(masks)), pipe, noise_mask_feather=0))
    off = np.abs(out - under(clip).numpy()).max(axis=(1, 2, 3))
    assert off[[0, 5, 6, 7, 8]].max() < ROUND_TRIP
    assert off[2] > 5 * ROUND_TRIP


@pytest.mark.parametrize("video", [False, True], ids=["frames are the batch", "a clip"])
def test_context_windows_of_the_core_are_used(detail: Detail, toys: ModuleType, video: bool) -> None:
    """Frames that do not see one another come out the same, whatever windows they are sampled in."""
    windows = pytest.importorskip("comfy.context_windows", reason="This ComfyUI has no context windows of its own.")
    model, vae = (toys.video_model(toys.BLIND), toys.video_vae()) if video else (toys.model_of(toys.BLIND), None)
    frames, segments = pattern(17), segs(seg(full_mask()))
    whole = pictures(detail(frames, segments, toys.pipe(model, vae)))
    windowed = model.clone()
    windowed.model_options["context_handler"] = windows.IndexListContextHandler(
        context_schedule=windows.get_matching_context_schedule("standard_static"),
        fuse_method=windows.get_matching_fuse_method("pyramid"),
        context_length=3,
        context_overlap=1,
        dim=2 if video else 0,
    )
    model.model.seen.clear()
    np.testing.assert_allclose(pictures(detail(frames, segments, toys.pipe(windowed, vae))), whole, atol=1e-5)
    assert {shape[2] if video else shape[0] // 2 for shape, _ in model.model.seen} == {3}


def test_pictures_with_alpha_lose_it(detail: Detail) -> None:
    frames = pattern(2)
    with_alpha = torch.cat([frames, torch.rand(*frames.shape[:3], 1)], dim=-1)
    np.testing.assert_array_equal(
        pictures(detail(with_alpha, segs(seg(full_mask())))), pictures(detail(frames, segs(seg(full_mask()))))
    )


# The user's own ----------------------------------------------------------------------------------------------------


def test_equal_seeds_give_equal_results(detail: Detail) -> None:
    runs = []
    for number, seed in enumerate((4, 4, 5)):
        torch.manual_seed(number)
        runs.append(pictures(detail(pattern(3), segs(seg(full_mask())), seed=seed, sampler_name="euler_ancestral")))
    np.testing.assert_array_equal(runs[0], runs[1])
    assert np.abs(runs[0] - runs[2]).max() > 1e-2


def test_nothing_of_the_users_changes(detail: Detail, toys: ModuleType) -> None:
    pipe, refiner = toys.pipe(), toys.refiner_pipe()
    frames, mask = pattern(2), centre_mask()
    told = toys.text(*toys.POSITIVE, mask=torch.ones(1, HEIGHT, WIDTH))
    pipe = (*pipe[:3], told, pipe[4])
    models = pipe[0], refiner[0]
    before = [state(model) for model in models]
    details, mask_before, frames_before = dict(told[0][1]), mask.copy(), frames.clone()
    segments = segs(seg(mask))
    detail(frames, segments, pipe, refiner_basic_pipe_opt=refiner, refiner_ratio=0.5)
    assert [state(model) for model in models] == before
    assert told[0][1].keys() == details.keys()
    assert all(told[0][1][key] is details[key] for key in details)
    assert torch.equal(details["mask"], torch.ones(1, HEIGHT, WIDTH))
    assert torch.equal(frames, frames_before)
    np.testing.assert_array_equal(mask, mask_before)
    assert segments[1][0].cropped_image is None


def state(model: Any) -> Any:
    options = {key: dict(value) if isinstance(value, dict) else value for key, value in model.model_options.items()}
    return options, dict(model.patches), dict(model.object_patches), id(model.model.model_sampling)


@pytest.mark.parametrize("part", ["encode", "decode"])
def test_a_vae_that_overflows_is_an_error_not_a_black_frame(detail: Detail, toys: ModuleType, part: str) -> None:
    vae = toys.vae_of()
    sound = getattr(vae.first_stage_model, part)
    setattr(vae.first_stage_model, part, lambda values: sound(values) * float("nan"))
    with pytest.raises(ModelError, match=r"The VAE produced .* not finite numbers; start ComfyUI with --fp32-vae"):
        detail(pattern(2), segs(seg(full_mask())), toys.pipe(vae=vae))


def test_a_model_that_overflows_is_an_error_not_a_black_frame(detail: Detail, toys: ModuleType) -> None:
    pipe = toys.pipe()
    pipe[0].model.denoised = lambda x, sigmas, texts: x * float("nan")
    with pytest.raises(
        ModelError, match="The model produced latents with values that are not finite numbers; start ComfyUI"
    ):
        detail(pattern(2), segs(seg(full_mask())), pipe)


def test_stop_takes_effect_within_a_step(detail: Detail, toys: ModuleType) -> None:
    """The second of two evaluations of a step is already not made."""
    import comfy.model_management as management

    pipe = toys.pipe()
    network = pipe[0].model

    def stop(model: Any) -> None:
        if len(model.seen) == 2:
            management.interrupt_current_processing()

    network.interfere = stop
    with pytest.raises(management.InterruptProcessingException):
        detail(pattern(2), segs(seg(full_mask())), pipe, sampler_name="heun", steps=20)
    assert len(network.seen) == 3  # the one that was running when the user pressed the button is the last
    network.interfere = None
    assert np.isfinite(pictures(detail(pattern(2), segs(seg(full_mask())), pipe))).all()


def test_an_interruption_from_within_passes_unchanged(detail: Detail, toys: ModuleType) -> None:
    import comfy.model_management as management

    stopped = management.InterruptProcessingException()

    def stop(model: Any) -> None:
        raise stopped

    pipe = toys.pipe()
    pipe[0].model.interfere = stop
    with pytest.raises(management.InterruptProcessingException) as caught:
        detail(pattern(2), segs(seg(full_mask())), pipe)
    assert caught.value is stopped


@pytest.mark.parametrize("scheduler", ["AYS SD1", "AYS SDXL", "AYS SVD", "GITS[coeff=1.2]", "karras", "beta"])
def test_schedulers_beside_the_recorded_ones(detail: Detail, scheduler: str) -> None:
    out = pictures(detail(pattern(2), segs(seg(full_mask())), scheduler=scheduler, steps=6))
    assert np.isfinite(out).all()
    assert np.abs(out - pictures(detail(pattern(2), segs(seg(full_mask())), steps=6))).max() > 1e-3


def test_wrong_inputs_are_named(detail: Detail, toys: ModuleType) -> None:
    segments = segs(seg(full_mask()))
    with pytest.raises(UnknownNameError, match=r"no scheduler named 'karas'; did you mean 'karras'\? Choose one of: "):
        detail(pattern(1), segments, scheduler="karas")
    with pytest.raises(UnknownNameError, match=r"no sampler named 'eulr'; did you mean 'euler'\? Choose one of: "):
        detail(pattern(1), segments, sampler_name="eulr")
    with pytest.raises(InputError, match="basic_pipe"):
        detail(pattern(1), segments, toys.pipe()[:4])
    with pytest.raises(InputError, match="refiner_basic_pipe_opt"):
        detail(pattern(1), segments, refiner_basic_pipe_opt=(1, 2))
    with pytest.raises(InputError, match="image_frames"):
        detail(pattern(1)[0], segments)
    with pytest.raises(RegionError, match="bbox of 0x22"):
        detail(pattern(1), segs(seg(full_mask(), box=(32, 22, 32, 44))))
    with pytest.raises(RegionError, match=r"outside the .*-pixel frame"):
        detail(pattern(1), segs(seg(full_mask(), region=(200, 16, 248, 48))))


# ControlNet ------------------------------------------------------------------------------------------------------


class Wrapper:
    """A control_net_wrapper of another pack, known by its method alone."""

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}

    def apply(self, positive: Any, negative: Any, image: Any, mask: Any = None, use_acn: bool = False) -> Any:
        self.given = {"image": image, "mask": mask, "use_acn": use_acn}
        return [[positive[0][0], {**positive[0][1], "seen": True}]], negative, [image[:1], image[1:]]


def test_another_packs_control_net_gets_the_scaled_crop(detail: Detail) -> None:
    wrapper = Wrapper()
    segment = seg(full_mask())._replace(control_net_wrapper=wrapper)
    (_, (out,)), hints = detail(pattern(3), segs(segment))
    assert tuple(wrapper.given["image"].shape) == (3, 64, 96, 3)
    assert wrapper.given["use_acn"]
    assert [tuple(hint.shape) for hint in hints] == [(1, 64, 96, 3), (2, 64, 96, 3)]
    assert out.control_net_wrapper is None


def called(name: str, nodes: dict[str, type], segments: Any, *more: Any) -> Any:
    """A detailer's ``do_detail`` with everything by position, as other packs call it, and without an instance."""
    widgets = (64.0, False, 768.0, 777, 4, 3.0, "euler", "normal", 0.5)
    with torch.inference_mode():
        return nodes[name].do_detail(pattern(3), segments, *widgets, *more)


def test_other_packs_call_do_detail(detail: Detail, nodes: dict[str, type], toys: ModuleType) -> None:
    """Positions, defaults and the answer of the contract: no placeholder where there is no ControlNet."""
    given = segs(seg(full_mask()), seg(centre_mask()))
    answer, images = called("SEGSDetailerForAnimateDiff", nodes, given, toys.pipe())
    assert images == []
    expected, (placeholder,) = detail(pattern(3), given, noise_mask_feather=0)
    assert placeholder.shape == (1, 64, 64, 3)
    for index in range(2):
        np.testing.assert_array_equal(pictures((answer, images), index), pictures((expected, []), index))
    refined = (toys.pipe(), 0.5, toys.refiner_pipe(), 20, None)
    by_name = {"refiner_ratio": 0.5, "refiner_basic_pipe_opt": toys.refiner_pipe(), "noise_mask_feather": 20}
    assert np.array_equal(
        pictures(called("SEGSDetailerForAnimateDiff", nodes, given, *refined)),
        pictures(detail(pattern(3), given, **by_name)),
    )


def test_the_detailer_that_pastes_has_do_detail_too(nodes: dict[str, type], toys: ModuleType) -> None:
    given, pipe = segs(seg(full_mask())), toys.pipe()
    frames, (_, (out,)), passed, images = called("DetailerForEachPipeForAnimateDiff", nodes, given, 5, pipe)
    assert (images, passed) == ([], pipe)
    assert frames.shape == pattern(3).shape
    assert np.asarray(out.cropped_image).shape == (3, 32, 48, 3)
    node = nodes["DetailerForEachPipeForAnimateDiff"]
    widgets = (64.0, False, 768.0, 777, 4, 3.0, "euler", "normal", 0.5, 5)
    with torch.inference_mode():
        through_doit = node.doit(pattern(3), given, *widgets, pipe)
    assert torch.equal(through_doit[0], frames)
    assert [tuple(image.shape) for image in through_doit[3]] == [(1, 64, 64, 3)]
