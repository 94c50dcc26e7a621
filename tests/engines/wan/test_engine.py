"""Wan as an engine: diffusers' pipelines on equal noise, clips off the grid, masks over grouped frames, windows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from redetail.engines import Engine, enhance_arrays, load_engine
from redetail.engines.base import CropSource, Request
from redetail.engines.latent import LatentEngine
from redetail.engines.memory import Memory
from redetail.engines.spec import ModelSpec
from redetail.engines.wan.network import Prompt, WanModel, WanNetwork
from redetail.engines.wan.text import WanText
from redetail.errors import ModelError, SettingsError
from redetail.geometry.latent_grid import WAN
from redetail.sampling import Guidance, RectifiedFlow, initial_noise
from redetail.settings import resolve
from tests.engines.thin_wan import CHANNELS, SHIFT, pipeline_parts

Array = NDArray[np.float32]
HEIGHT, WIDTH = 32, 48
# Both compute in float32; what differs is the order of operations in the VAE's normalisation and in the steps.
EQUAL = 1e-4


def clip(frames: int, seed: int = 3) -> Array:
    return np.random.default_rng(seed).random((frames, HEIGHT, WIDTH, 3), dtype=np.float32)


def opened(frames: int = 1) -> Array:
    return np.ones((frames, HEIGHT, WIDTH), np.float32)


def enhanced(engine: Engine, crops: Array, mask: Array | None = None, **values: Any) -> Array:
    asked = {"prompt": "a face", "negative": "bad", "steps": 2, **values}
    settings = resolve(asked, engine.capabilities.defaults, engine.capabilities.presets)
    return enhance_arrays(engine, crops, opened() if mask is None else mask, settings)


def noise(frames: int, seed: int) -> Tensor:
    """The noise of a run as diffusers' pipelines take it, (1, C, T, h, w)."""
    shape = (WAN.latents(frames), CHANNELS, HEIGHT // 8, WIDTH // 8)
    return initial_noise(shape, seed).movedim(0, 1)[None]


def typed(sigmas: Tensor) -> str:
    return ", ".join(repr(float(sigma)) for sigma in sigmas)


# --- the reference


@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_all_noise_gives_what_the_pipeline_gives(wan: Engine, cfg: float) -> None:
    import diffusers

    pipeline = diffusers.WanPipeline(**pipeline_parts())
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(
        "a face", "bad", height=HEIGHT, width=WIDTH, num_frames=9, num_inference_steps=4, guidance_scale=cfg,
        latents=noise(9, 5), output_type="np",
    ).frames[0]  # fmt: skip
    sigmas = pipeline.scheduler.sigmas
    assert sigmas[0] == 1
    result = enhanced(wan, clip(9), scheduler=typed(sigmas), steps=4, denoise=1.0, cfg=cfg, seed=5)
    assert np.abs(result - expected).max() < EQUAL
    assert np.abs(result - enhanced(wan, clip(9), scheduler=typed(sigmas), steps=4, denoise=1.0, seed=6)).max() > 0.1


def test_a_partial_strength_gives_what_the_video_pipeline_gives(wan: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    import diffusers
    from diffusers.pipelines.wan import pipeline_wan_video2video as module

    parts = pipeline_parts()
    pipeline = diffusers.WanVideoToVideoPipeline(**parts)
    pipeline.set_progress_bar_config(disable=True)
    monkeypatch.setattr(module, "ftfy", SimpleNamespace(fix_text=str), raising=False)  # plain words need no repair
    monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: noise(9, 5))
    expected = pipeline(
        list(clip(9)), "a face", "bad", height=HEIGHT, width=WIDTH, num_inference_steps=6, strength=0.5,
        guidance_scale=4.0, output_type="np",
    ).frames[0]  # fmt: skip
    sigmas = parts["scheduler"].sigmas[3:]
    assert 0.3 < sigmas[0] < 0.9
    result = enhanced(wan, clip(9), scheduler=typed(sigmas), steps=3, denoise=1.0, cfg=4.0, seed=5)
    assert np.abs(result - expected).max() < EQUAL


# --- frames


@pytest.mark.parametrize("frames", [1, 2, 5, 16, 17, 23, 24])
def test_a_clip_off_the_grid_is_that_of_a_mirrored_one(wan: Engine, frames: int) -> None:
    crops = clip(frames)
    padded = crops[WAN.padded_indices(frames)]
    assert len(padded) % 4 == 1
    result = enhanced(wan, crops)
    assert result.shape == crops.shape
    np.testing.assert_array_equal(result, enhanced(wan, padded)[:frames])


def test_only_the_latents_under_the_mask_change(wan: Engine) -> None:
    """Frames 5 to 8 are one latent: one open frame of them opens it, and the causal decoder shows it from there on."""
    crops, mask = clip(13), np.zeros((13, HEIGHT, WIDTH), np.float32)
    mask[7] = 1
    changed = enhanced(wan, crops, mask, denoise=0.6)
    kept = round_trip(wan, crops)
    np.testing.assert_allclose(changed[:5], kept[:5], atol=1e-6)
    assert np.abs(changed[5:9] - kept[5:9]).mean() > 1e-4


def test_a_soft_mask_lies_between(wan: Engine) -> None:
    crops = clip(5)
    kept = round_trip(wan, crops)
    half, whole = (enhanced(wan, crops, opened() * np.float32(share), mask_feather=0) for share in (0.5, 1))
    assert 0 < np.abs(half - kept).mean() < np.abs(whole - kept).mean()


def round_trip(engine: Engine, crops: Array) -> Array:
    """What the VAE alone makes of crops."""
    assert isinstance(engine, LatentEngine)
    source, written = CropSource.of(crops), list[Array]()
    with torch.inference_mode():
        latents = engine.codec.encode(source, lambda: None)
        engine.codec.decode(latents, source, lambda _, pixels: written.append(pixels), lambda: None)
    return np.concatenate(written)


def test_windows_count_in_frames(wan: Engine) -> None:
    """A window of 9 frames is three latents: of a clip of 17 frames, with 4 in common, two windows of them."""
    crops = clip(17)
    whole = enhanced(wan, crops)
    windows = enhanced(wan, crops, context_length=9, context_overlap=4)
    assert np.abs(windows - whole).max() > 1e-4
    np.testing.assert_array_equal(enhanced(wan, crops, context_length=17, context_overlap=4), whole)


def test_an_overlap_as_long_as_a_window_is_refused_in_frames(wan: Engine) -> None:
    with pytest.raises(SettingsError, match="context-overlap is 81, but the context windows have a length of 81"):
        enhanced(wan, clip(1), context_overlap=81)


def test_a_part_of_a_segment_gets_the_noise_of_the_whole(wan: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """With windows of one latent and nothing left of the crops, a latent shows its own noise alone."""
    assert isinstance(wan, LatentEngine)
    decoded: list[Tensor] = []
    monkeypatch.setattr(wan.codec, "decode", lambda latents, crops, write, tick: decoded.append(latents))

    def latents(frames: int, first_frame: int) -> Tensor:
        alone = {"context_length": 1, "context_overlap": 0, "denoise": 1.0, "steps": 2}
        request = Request(
            crops=CropSource.of(clip(frames)),
            mask=lambda start, stop: opened(),
            write=lambda start, pixels: None,
            settings=resolve(alone, wan.capabilities.defaults),
            shared_mask=True,
            first_frame=first_frame,
            total_frames=17,
        )
        wan.run(request)
        return decoded.pop()

    whole, part = latents(17, 0), latents(9, 8)
    torch.testing.assert_close(part, whole[2:])
    assert (latents(9, 4) - whole[2:]).abs().max() > 0.1


# --- settings


class Counting:
    """A transformer that says nothing, and counts."""

    def __init__(self) -> None:
        self.calls = 0
        self.patch_embedding = torch.nn.Linear(1, 1)

    def __call__(self, hidden_states: Tensor, **_: Any) -> tuple[Tensor]:
        self.calls += 1
        return (torch.zeros_like(hidden_states),)


@pytest.mark.parametrize(("cfg", "calls"), [(1.0, 1), (4.0, 2)])
def test_no_guidance_is_one_call(cfg: float, calls: int) -> None:
    transformer, asked = Counting(), []

    def encode(prompt: str) -> Tensor:
        asked.append(prompt)
        return torch.zeros(1, 512, 16)

    network = WanNetwork(lambda sigma: transformer, RectifiedFlow.wan(1.0))
    guided = Guidance(network, Prompt(encode, "good"), Prompt(encode, "bad"), cfg)
    guided(torch.zeros(3, CHANNELS, 4, 6), 0.5)
    assert transformer.calls == calls
    assert asked == ["good", "bad"][:calls]


def test_a_negative_prompt_is_not_encoded_without_guidance(wan: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(wan, LatentEngine)
    asked: list[str] = []

    def encode(text: WanText, prompt: str) -> Tensor:
        asked.append(prompt)
        return torch.zeros(1, 512, 16)

    monkeypatch.setattr(WanText, "__call__", encode)
    enhanced(wan, clip(1), cfg=1.0)
    assert asked == ["a face"]
    enhanced(wan, clip(1), cfg=2.0)
    assert asked == ["a face", "a face", "bad"]


# --- two experts


def two_experts() -> dict[str, Any]:
    """The parts of Wan 2.2: two transformers that differ, and the noise level between them."""
    parts = pipeline_parts()
    with torch.random.fork_rng():
        torch.manual_seed(12)
        low = type(parts["transformer"]).from_config(parts["transformer"].config)
        torch.nn.init.normal_(low.proj_out.weight, std=0.2)
    return {**parts, "transformer_2": low.eval(), "boundary_ratio": 0.8}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Any:
    import diffusers

    folder = tmp_path_factory.mktemp("wan22")
    diffusers.WanPipeline(**two_experts()).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("offload", [False, True])
def test_both_experts_give_what_the_pipeline_gives(both: Any, offload: bool) -> None:
    import diffusers

    pipeline = diffusers.WanPipeline(**two_experts())
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(
        "a face", "bad", height=HEIGHT, width=WIDTH, num_frames=5, num_inference_steps=6, guidance_scale=3.0,
        latents=noise(5, 5), output_type="np",
    ).frames[0]  # fmt: skip
    sigmas = pipeline.scheduler.sigmas
    assert sum(sigma >= 0.8 for sigma in sigmas) in range(2, 6)
    spec = ModelSpec(checkpoint=both, low_noise_checkpoint=both)
    engine = load_engine(spec, device="cpu", memory=Memory(offload=offload))
    asked = {"scheduler": typed(sigmas), "steps": 6, "denoise": 1.0, "cfg": 3.0, "seed": 5}
    assert np.abs(enhanced(engine, clip(5), **asked) - expected).max() < EQUAL
    assert np.abs(enhanced(load_engine(both, device="cpu"), clip(5), **asked) - expected).max() > 1e-2


def test_two_experts_must_be_two_and_of_one_model(both: Any, wan_folder: Any) -> None:
    with pytest.raises(ModelError, match=r"Both experts are .*transformer; leave --low-noise-checkpoint out"):
        load_engine(ModelSpec(checkpoint=wan_folder, low_noise_checkpoint=wan_folder), device="cpu")
    lora = ModelSpec(checkpoint=both, high_noise_loras=("a.safetensors",))
    with pytest.raises(
        ModelError, match="is for the high-noise expert, but only one expert is used; give the LoRA with --lora"
    ):
        load_engine(lora, device="cpu")


def test_the_shift_is_the_models_own_unless_it_is_given(wan: Engine) -> None:
    """sigma = shift * t / (1 + (shift - 1) * t)."""
    assert isinstance(wan, LatentEngine)

    def level(**values: Any) -> float | None:
        asked = {"scheduler": "simple", "steps": 10, "denoise": 0.5, **values}
        return wan.noise_level(resolve(asked, wan.capabilities.defaults))

    assert level(shift=1.0) == pytest.approx(0.5, abs=1e-6)
    assert level(shift=8.0) == pytest.approx(8 / 9, abs=1e-6)
    assert level(shift=0.0) == pytest.approx(SHIFT / (SHIFT + 1), abs=1e-6)
    assert level() == level(shift=1.0)


def test_the_published_preset_starts_low(wan: Engine) -> None:
    assert isinstance(wan, LatentEngine)
    settings = resolve({"preset": "wan-low-noise"}, wan.capabilities.defaults, wan.capabilities.presets)
    assert (settings.shift, settings.denoise, settings.steps, settings.cfg) == (1, 0.25, 10, 4)
    assert wan.noise_level(settings) == pytest.approx(0.25, abs=1e-6)


@pytest.mark.parametrize("shift", [1.0, 3.0, 8.0])
@pytest.mark.parametrize("strength", [0.15, 0.3, 0.6])
def test_a_strength_is_the_noise_level_whatever_the_shift(wan: Engine, strength: float, shift: float) -> None:
    assert isinstance(wan, LatentEngine)
    asked = {"strength": strength, "shift": shift, "steps": 10, "denoise": 1.0}
    settings = resolve(asked, wan.capabilities.defaults)
    # Whole numbers of steps come this near.
    assert wan.noise_level(settings) == pytest.approx(strength, abs=0.04)


def test_without_a_network_cancelling_the_vae_gives_the_source(wan: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the network changes nothing of comes back as it was, not as the VAE leaves it."""
    crops = clip(9)
    assert isinstance(wan, LatentEngine)
    monkeypatch.setattr(LatentEngine, "_sampled", lambda self, latents, segment, meter: latents.clone())
    assert np.abs(enhanced(wan, crops) - crops).mean() > 0.05
    # The losses are kept in half precision.
    np.testing.assert_allclose(enhanced(wan, crops, cancel_vae=True), crops, atol=5e-4)


def test_cancelling_the_vae_adds_the_change_to_the_source(wan: Engine) -> None:
    crops = clip(6) * 0.5 + 0.25
    kept, plain = round_trip(wan, crops), enhanced(wan, crops, denoise=0.8)
    expected = np.clip(crops + plain - kept, 0, 1)
    np.testing.assert_allclose(enhanced(wan, crops, denoise=0.8, cancel_vae=True), expected, atol=5e-4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prompt": "a (face:1.2)"}, "The prompt contains weights or BREAK, which Wan cannot read"),
        ({"negative": "a BREAK b"}, "The negative prompt contains weights or BREAK"),
        ({"prompt": "0: a; 4: b"}, "The prompt changes over time"),
        ({"clip_skip": 2}, "clip-skip is 2, but Wan reads only the last layer"),
        ({"scheduler": "AYS SD1"}, "no scheduler named"),
        ({"scheduler": "GITS[coeff=1.2]"}, "the noise levels of this model lie between 0 and 1"),
        ({"scheduler": "14.6, 3.0, 0"}, "the noise levels of this model lie between 0 and 1"),
    ],
)
def test_what_wan_does_not_have_is_refused(wan: Engine, values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        enhanced(wan, clip(1), **values)


def test_a_shift_is_refused_where_there_is_none() -> None:
    with pytest.raises(SettingsError, match=r"shift is 3, but the model .* has no shift; leave shift out"):
        enhanced(load_engine(device="cpu"), np.zeros((1, 64, 64, 3), np.float32), np.ones((1, 64, 64)), shift=3.0)


def test_the_bundled_model_has_no_vae_to_cancel() -> None:
    with pytest.raises(SettingsError, match="has no VAE; leave out the setting cancel-vae"):
        enhanced(load_engine(device="cpu"), np.zeros((1, 64, 64, 3), np.float32), np.ones((1, 64, 64)), cancel_vae=True)


def test_what_the_vae_loses_is_given_back(wan: Engine) -> None:
    """source + decode(refined) - decode(encode(source)): of a VAE that was never trained nearly all is lost."""
    assert isinstance(wan, LatentEngine)
    crops, source = clip(6), CropSource.of(clip(6))
    there_and_back = np.zeros_like(crops)

    def write(start: int, pixels: Array) -> None:
        there_and_back[start : start + len(pixels)] = pixels

    with torch.inference_mode():
        wan.codec.decode(wan.codec.encode(source, lambda: None), source, write, lambda: None)
    plain, cancelled = enhanced(wan, crops), enhanced(wan, crops, cancel_vae=True)
    assert np.abs(there_and_back - crops).max() > 0.1
    # What was lost waits in half precision.
    np.testing.assert_allclose(cancelled, np.clip(plain + crops - there_and_back, 0, 1), atol=5e-4)


def test_a_prompt_is_encoded_once_for_all_subjects_and_parts(wan: Engine) -> None:
    assert isinstance(wan, LatentEngine)
    assert isinstance(wan.model, WanModel)
    read: list[Any] = []
    hook = wan.model.networks()["text encoder"].register_forward_hook(lambda *_: read.append(1))
    try:
        first = enhanced(wan, clip(1), prompt="one", negative="two")
        again = enhanced(wan, clip(1), prompt="one", negative="two")
        assert len(read) == 2
        enhanced(wan, clip(1), prompt="three", negative="two")
        assert len(read) == 3
        enhanced(wan, clip(1), prompt="four", cfg=1.0)
        assert len(read) == 4, "without guidance the negative prompt is not read"
    finally:
        hook.remove()
    np.testing.assert_array_equal(first, again)


def test_half_precision_leaves_the_vae_in_float32(wan_folder: Any) -> None:
    engine = load_engine(wan_folder, device="cpu", memory=Memory(dtype="bfloat16"))
    result, exact = enhanced(engine, clip(5)), enhanced(load_engine(wan_folder, device="cpu"), clip(5))
    # bfloat16 has 8 bits of mantissa; two guided steps of a thin network add up to a few of its roundings.
    assert 0 < np.abs(result - exact).max() < 0.1


def test_offloaded_parts_give_what_resident_ones_give(wan: Engine, wan_folder: Any) -> None:
    engine = load_engine(wan_folder, device="cpu", memory=Memory(offload=True))
    np.testing.assert_array_equal(enhanced(engine, clip(5)), enhanced(wan, clip(5)))


def test_blocks_that_come_one_by_one_give_what_resident_ones_give(wan: Engine, wan_folder: Any) -> None:
    engine = load_engine(wan_folder, device="cpu", memory=Memory(block_offload=True))
    assert isinstance(engine, LatentEngine)
    assert isinstance(engine.model, WanModel)
    blocks = engine.model.networks()["transformer"].blocks
    before = [weight.data_ptr() for weight in blocks.parameters()]
    np.testing.assert_array_equal(enhanced(engine, clip(5)), enhanced(wan, clip(5)))
    assert [weight.data_ptr() for weight in blocks.parameters()] == before, "the weights in main memory are the same"


@pytest.mark.parametrize(("frames", "length"), [(81, 0), (82, 0), (82, 33)])
def test_long_clips_have_no_step_of_colour_at_their_joints(wan: Engine, frames: int, length: int) -> None:
    """A still: what its mean colour does from frame to frame where windows meet, it also does inside of one window."""
    crops = np.repeat(clip(1), frames, 0)

    def steps(**windows: int) -> Array:
        result = enhanced(wan, crops, steps=1, cfg=1.0, **windows)
        assert result.shape == crops.shape
        assert result[-1].std() > 0.01  # neither noise nor nothing at the end
        return np.abs(np.diff(result.mean((1, 2)), axis=0)).max(1)

    whole, windowed = steps(context_length=97), steps(context_length=length)
    assert windowed.max() <= 1.5 * whole.max()
