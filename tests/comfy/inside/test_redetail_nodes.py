"""Redetail's own nodes with ComfyUI's objects: tracked subjects through a toy model."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from redetail.comfy.registry import node_mappings
from redetail.comfy.tracked import TrackedSeg
from redetail.errors import InputError, RegionError, UnknownNameError
from redetail.pipeline.crop_store import HeldCrops
from redetail.segs import Seg

FRAMES, HEIGHT, WIDTH = 9, 72, 104


@pytest.fixture(scope="module")
def own() -> dict[str, type]:
    return node_mappings()[0]


def frames() -> Tensor:
    y, x, t = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), torch.arange(FRAMES), indexing="ij")
    planes = [0.5 + 0.3 * torch.sin(0.09 * x + 0.06 * k * y + 0.1 * t) for k in (1, 2, 3)]
    return torch.stack(planes, -1).movedim(2, 0).contiguous()


def masks() -> Tensor:
    """A square that wanders to the right."""
    shown = torch.zeros(FRAMES, HEIGHT, WIDTH)
    for index in range(FRAMES):
        shown[index, 24:48, 12 + 6 * index : 36 + 6 * index] = 1
    return shown


def widgets(node: type, **changed: Any) -> dict[str, Any]:
    """Every widget at its default."""
    kinds = ("INT", "FLOAT", "BOOLEAN", "STRING")
    inputs = {**node.INPUT_TYPES()["required"], **node.INPUT_TYPES().get("optional", {})}
    known = {
        name: extra.get("default", kind[0] if isinstance(kind, list) else None)
        for name, (kind, extra) in inputs.items()
        if isinstance(kind, list) or kind in kinds
    }
    return {**known, **changed}


def tracked(own: dict[str, type]) -> Any:
    node = own["RedetailTrack"]
    return node().doit(image_frames=frames(), masks=masks(), **widgets(node, crop_factor=1.5))[0]


def detailed(own: dict[str, type], segs: Any, **changed: Any) -> tuple[Any, list[Tensor]]:
    node = own["RedetailDetailer"]
    quick = {"guide_size": 64, "max_size": 128, "steps": 3, "cfg": 1.5, "denoise": 0.6, "sampler_name": "euler"}
    with torch.inference_mode():
        return node().doit(**{"image_frames": frames(), **widgets(node, **quick), "segs": segs, **changed})


def test_a_moving_subject_is_detailed_and_pasted(own: dict[str, type], toys: ModuleType) -> None:
    segs = tracked(own)
    assert np.ptp(segs[1][0].region.path[:, 0]) > 30
    result, images = detailed(own, segs, basic_pipe=toys.pipe())
    assert result[0] == (HEIGHT, WIDTH)
    (seg,) = result[1]
    assert isinstance(seg, TrackedSeg)
    assert [image.shape for image in images] == [(1, 64, 64, 3)]
    given = frames()
    (out,) = own["RedetailPaste"]().doit(image_frames=given, segs=result, feather=2, strength=1.0)
    assert torch.equal(given, frames())
    assert out.shape == given.shape
    changed = (out - given).abs().amax(-1) > 1e-4
    wide = torch.nn.functional.max_pool2d(masks()[:, None], 9, 1, 4)[:, 0] > 0
    assert not (changed & ~wide).any()  # the mask and its feather
    assert (changed & (masks() > 0)).float().sum() > 0.5 * masks().sum()
    (none,) = own["RedetailPaste"]().doit(image_frames=given, segs=result, feather=2, strength=0.0)
    assert torch.equal(none, given)
    (untouched,) = own["RedetailPaste"]().doit(image_frames=given, segs=segs, feather=2, strength=1.0)
    assert torch.equal(untouched, given)


def test_equal_seeds_give_equal_crops(own: dict[str, type], toys: ModuleType) -> None:
    one, again, other = (
        detailed(own, tracked(own), basic_pipe=toys.pipe(), seed=seed)[0][1][0].cropped_image for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-3


def test_colours_follow_the_clip_where_asked(own: dict[str, type], toys: ModuleType) -> None:
    def shift(**changed: Any) -> float:
        result, _ = detailed(own, tracked(own), basic_pipe=toys.pipe(), denoise=1.0, **changed)
        (out,) = own["RedetailPaste"]().doit(image_frames=frames(), segs=result, feather=0, strength=1.0)
        inside = masks()[..., None].bool().expand(-1, -1, -1, 3)
        return float((out - frames())[inside].mean().abs())

    assert shift(color_match=True) < 0.3 * shift(color_match=False)


def test_plain_segments_are_detailed_where_they_are(own: dict[str, type], toys: ModuleType) -> None:
    seg = Seg(None, np.ones((40, 48), np.float32), 0.8, (20, 10, 68, 50), (30, 20, 60, 45), "hand")
    result, _ = detailed(own, ((HEIGHT, WIDTH), [seg]), basic_pipe=toys.pipe())
    (out,) = result[1]
    assert (out.label, out.crop_region, out.bbox) == ("hand", (20, 10, 68, 50), (30, 20, 60, 45))
    assert out.cropped_image.shape == (FRAMES, 40, 48, 3)


def test_crops_that_a_segment_carries_are_what_is_detailed(own: dict[str, type], toys: ModuleType) -> None:
    still = np.full((1, 40, 48, 3), 0.9, np.float32)
    seg = Seg(still, None, 0.8, (20, 10, 68, 50), (20, 10, 68, 50), "hand")
    low = {"denoise": 0.05, "steps": 1, "noise_mask_feather": 0, "sampler_name": "euler"}
    result, _ = detailed(own, ((HEIGHT, WIDTH), [seg]), basic_pipe=toys.pipe(), **low)
    own_frames, _ = detailed(own, ((HEIGHT, WIDTH), [seg._replace(cropped_image=None)]), basic_pipe=toys.pipe(), **low)
    assert np.abs(result[1][0].cropped_image - 0.9).mean() < np.abs(own_frames[1][0].cropped_image - 0.9).mean() / 2


def test_a_second_detailer_goes_on_from_the_first(own: dict[str, type], toys: ModuleType) -> None:
    header, (seg,) = tracked(own)
    bright = HeldCrops((FRAMES, *seg.region.size.shape, 3))
    for index in range(FRAMES):
        bright.write(index, np.full((1, *seg.region.size.shape, 3), 0.9, np.float32))
    first = header, [seg.with_crops(frames().numpy(), bright)]
    low = {"denoise": 0.05, "steps": 1, "noise_mask_feather": 0, "color_match": False}
    second, alone = (detailed(own, segs, basic_pipe=toys.pipe(), **low)[0][1][0] for segs in (first, (header, [seg])))
    off = [np.mean([np.abs(result.crops[index] - 0.9).mean() for index in range(FRAMES)]) for result in (second, alone)]
    assert off[0] < off[1] / 2


def test_refiner_and_schedule_take_part(own: dict[str, type], toys: ModuleType) -> None:
    (schedule,) = own["RedetailScheduler"]().doit("normal", "9, 3, 1, 0.3, 0.1, 0")
    plain, with_schedule, with_refiner = (
        detailed(own, tracked(own), basic_pipe=toys.pipe(), **extra)[0][1][0].cropped_image
        for extra in (
            {},
            {"scheduler_func_opt": schedule},
            {"refiner_basic_pipe_opt": toys.refiner_pipe(), "refiner_ratio": 0.5},
        )
    )
    assert np.abs(plain - with_schedule).max() > 1e-3
    assert np.abs(plain - with_refiner).max() > 1e-3


def test_a_named_schedule_is_comfyuis(own: dict[str, type], toys: ModuleType) -> None:
    import comfy.samplers

    model = toys.model_of()
    (schedule,) = own["RedetailScheduler"]().doit("karras", "")
    expected = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "karras", 7)
    torch.testing.assert_close(schedule(model, "euler", 7), expected)


class Net:
    """A ControlNet wrapper that only says what it got."""

    def __init__(self) -> None:
        self.got: list[tuple[int, ...]] = []

    def apply(self, positive: Any, negative: Any, image: Any, mask: Any, use_acn: bool = False) -> Any:
        self.got.append(tuple(image.shape))
        return positive, negative, [image[:1]]


def test_the_control_net_of_a_tracked_segment_is_applied_to_its_crops(own: dict[str, type], toys: ModuleType) -> None:
    net, (header, (seg,)) = Net(), tracked(own)
    result, images = detailed(own, (header, [seg._replace(control_net_wrapper=net)]), basic_pipe=toys.pipe())
    assert len(net.got) == len(images) == 1
    assert net.got[0][0] == FRAMES
    assert result[1][0].control_net_wrapper is None


def test_masks_of_the_prompt_follow_the_window(own: dict[str, type], toys: ModuleType) -> None:
    model = toys.model_of()
    ramp = torch.linspace(0, 1, WIDTH).repeat(HEIGHT, 1)[None]
    told = toys.text(*toys.POSITIVE, mask=ramp, mask_strength=1.0)
    segs = tracked(own)
    with_mask, _ = detailed(own, segs, basic_pipe=toys.pipe(model, positive=told))
    without, _ = detailed(own, segs, basic_pipe=toys.pipe())
    assert np.isfinite(with_mask[1][0].cropped_image).all()
    from redetail.comfy.conditions import followed_conditions
    from redetail.region import Size

    region = segs[1][0].region
    windows = [region.window(index) for index in range(len(region))]
    ((_, details),) = followed_conditions(told, windows, Size(WIDTH, HEIGHT), 0, FRAMES)
    assert details["mask"].shape == (FRAMES, *region.size.shape)
    starts = details["mask"][:, 0, 0] * (WIDTH - 1)
    np.testing.assert_allclose(starts, region.path[:, 0].round(), atol=0.51)
    assert without[1][0].label == with_mask[1][0].label


def test_a_video_model_is_given_a_clip(own: dict[str, type], toys: ModuleType) -> None:
    model = toys.video_model()
    result, _ = detailed(own, tracked(own), basic_pipe=toys.pipe(model, toys.video_vae()), sampler_name="euler")
    assert result[1][0].cropped_image.shape[0] == FRAMES
    assert {len(shape) for shape, _ in model.model.seen} == {5}


def test_without_a_pipe_the_bundled_model_runs(own: dict[str, type]) -> None:
    result, images = detailed(own, tracked(own), seed=3)
    assert len(images) == 1
    (seg,) = result[1]
    assert len(seg.crops) == len(seg.region)
    assert np.isfinite(seg.cropped_image).all()
    # As set in the node: eight times the residual is another picture.
    strong, _ = detailed(own, tracked(own), bundled_settings=False, cfg=8.0, denoise=1.0, steps=1)
    assert np.abs(strong[1][0].cropped_image - seg.cropped_image).max() > 0.02


class Clip:
    """Reads every text as the refiner's."""

    def __init__(self, toys: ModuleType) -> None:
        self._toys = toys

    def tokenize(self, text: str) -> str:
        return text

    def encode_from_tokens_scheduled(self, tokens: str) -> Any:
        return self._toys.text(*self._toys.REFINER_POSITIVE)


def test_a_subject_has_a_prompt_and_settings_of_its_own(own: dict[str, type], toys: ModuleType) -> None:
    one, other = (
        Seg(None, np.ones((40, 48), np.float32), 0.8, (x, 10, x + 48, 50), (x + 8, 20, x + 40, 45), label)
        for x, label in ((8, "face"), (50, "hand"))
    )
    model, _, vae, positive, negative = toys.pipe()
    given = {"basic_pipe": (model, Clip(toys), vae, positive, negative), "steps": 2}
    text = '[[subject]]\ntrack = "face"\nprompt = "old"\nseed = 5\ndenoise = 0.3\n[[subject]]\ntrack = 2\nskip = true'
    result, _ = detailed(own, ((HEIGHT, WIDTH), [one, other]), **given, subjects=text)
    assert [seg.label for seg in result[1]] == ["face", "hand"]
    assert result[1][1].cropped_image is None
    told = toys.pipe(positive=toys.text(*toys.REFINER_POSITIVE))
    alone, _ = detailed(own, ((HEIGHT, WIDTH), [one]), basic_pipe=told, steps=2, seed=5, denoise=0.3)
    np.testing.assert_array_equal(result[1][0].cropped_image, alone[1][0].cropped_image)
    with pytest.raises(UnknownNameError, match="no sampler named 'magic'"):
        detailed(own, ((HEIGHT, WIDTH), [one, other]), **given, subjects="[[subject]]\ntrack = 2\nsampler = 'magic'")


def test_strength_is_the_share_of_noise_and_is_said(own: dict[str, type], toys: ModuleType, monkeypatch: Any) -> None:
    said: list[tuple[str, str]] = []
    instance = SimpleNamespace(last_node_id="7", send_progress_text=lambda text, node: said.append((text, node)))
    server = SimpleNamespace(PromptServer=SimpleNamespace(instance=instance))
    monkeypatch.setitem(sys.modules, "server", server)
    model = toys.model_of()
    detailed(own, tracked(own), basic_pipe=toys.pipe(model), strength=0.5)
    first = model.model.seen[0][1]
    assert first / (1 + first) == pytest.approx(0.5, abs=0.03)
    assert said == [(f"{tracked(own)[1][0].label} starts from {first / (1 + first):.0%} noise", "7")]


def test_what_the_vae_loses_is_given_back_where_asked(own: dict[str, type], toys: ModuleType) -> None:
    def lost(**changed: Any) -> float:
        low = {"denoise": 0.05, "steps": 1, "noise_mask_feather": 0, "color_match": False}
        result, _ = detailed(own, tracked(own), basic_pipe=toys.pipe(), **low, **changed)
        (out,) = own["RedetailPaste"]().doit(image_frames=frames(), segs=result, feather=0, strength=1.0)
        return float((out - frames()).abs().mean())

    assert lost(cancel_vae=True) < 0.5 * lost()


def test_the_preview_shows_the_crop_in_its_place(own: dict[str, type], toys: ModuleType, monkeypatch: Any) -> None:
    import comfy.utils
    from PIL import Image

    previewer = SimpleNamespace(
        decode_latent_to_preview_image=lambda kind, x0: (kind, Image.new("RGB", x0.shape[-1:-3:-1], (255, 0, 255)), 512)
    )
    module = SimpleNamespace(get_previewer=lambda device, latent_format: previewer)
    monkeypatch.setitem(sys.modules, "latent_preview", module)
    shown: list[Any] = []
    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", lambda done, total, preview, **_: shown.append(preview))
    detailed(own, tracked(own), basic_pipe=toys.pipe())
    pictures = [preview for preview in shown if preview is not None]
    assert pictures
    kind, picture, side = pictures[0]
    assert (kind, side, max(picture.size)) == ("JPEG", 512, 512)
    pixels = np.asarray(picture).astype(int)
    painted = (np.abs(pixels - (255, 0, 255)).max(-1) < 8).mean()
    assert 0.02 < painted < 0.5


def test_interruption_passes_through(own: dict[str, type], toys: ModuleType, tmp_path: Any, monkeypatch: Any) -> None:
    import comfy.model_management

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model, stopped = toys.model_of(), comfy.model_management.InterruptProcessingException

    def interfere(network: Any) -> None:
        if len(network.seen) == 1:
            comfy.model_management.interrupt_current_processing()

    model.model.interfere = interfere
    with pytest.raises(stopped):
        detailed(own, tracked(own), basic_pipe=toys.pipe(model))
    assert len(model.model.seen) <= 3
    assert list(tmp_path.iterdir()) == []
    comfy.model_management.interrupt_current_processing()
    node = own["RedetailTrack"]
    with pytest.raises(stopped):
        node().doit(image_frames=frames(), **widgets(node))
    comfy.model_management.interrupt_current_processing(False)


def test_what_is_wrong_is_told_with_the_inputs_name(own: dict[str, type], toys: ModuleType) -> None:
    segs = tracked(own)
    with pytest.raises(RegionError, match="tracked in 9 frames, but image_frames has 4"):
        detailed(own, segs, image_frames=frames()[:4], basic_pipe=toys.pipe())
    with pytest.raises(InputError, match="image_frames must be an IMAGE"):
        detailed(own, segs, image_frames=frames()[0], basic_pipe=toys.pipe())
    with pytest.raises(InputError, match="basic_pipe is not a BASIC_PIPE"):
        detailed(own, segs, basic_pipe=object())
    with pytest.raises(InputError, match="refiner_basic_pipe_opt is not a BASIC_PIPE"):
        detailed(own, segs, basic_pipe=toys.pipe(), refiner_basic_pipe_opt=3)
    with pytest.raises(UnknownNameError, match="no sampler named 'magic'"):
        detailed(own, segs, basic_pipe=toys.pipe(), sampler_name="magic")
    node = own["RedetailTrack"]
    with pytest.raises(InputError, match="segs and masks are connected"):
        node().doit(image_frames=frames(), segs=segs, masks=masks(), **widgets(node))


def test_no_subject_is_no_error(own: dict[str, type], toys: ModuleType) -> None:
    result, images = detailed(own, ((HEIGHT, WIDTH), []), basic_pipe=toys.pipe())
    assert result == ((HEIGHT, WIDTH), [])
    assert len(images) == 1
    (out,) = own["RedetailPaste"]().doit(image_frames=frames(), segs=result, feather=2, strength=1.0)
    assert torch.equal(out, frames())
