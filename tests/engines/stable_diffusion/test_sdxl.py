"""Stable Diffusion XL with its motion module, loaded by the path that users take, against diffusers over the same
weights: its converters, its pipeline, its folders."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from redetail.engines import enhance_arrays, load_engine, memory
from redetail.engines.architectures.sdxl import SDXL_CONVENTIONS
from redetail.engines.device import Placement
from redetail.engines.memory import GIB
from redetail.engines.spec import ModelSpec
from redetail.engines.stable_diffusion.checkpoint import open_checkpoint
from redetail.engines.stable_diffusion.codec import VaeCodec
from redetail.engines.stable_diffusion.components import Components, load_components
from redetail.engines.stable_diffusion.noise import noise_table
from redetail.errors import ModelError
from redetail.sampling import NoiseTable, initial_noise
from redetail.settings import Settings, resolve
from tests.engines import originals as made
from tests.engines.coding import encoded

CPU = Placement(torch.device("cpu"), torch.float32)
# What AnimateDiff's authors publish with the module, in diffusers' terms.
BETAS = {"beta_start": 0.00085, "beta_end": 0.020, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
# What a person who knows the thin model writes down; the code under test tells it from the tensors.
UNET_CONFIG: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "block_out_channels": [32, 64, 128],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 2,
    "transformer_layers_per_block": [1, 1, 2],
    "attention_head_dim": [1, 1, 2],
    "cross_attention_dim": 160,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 32 + 6 * 256,
}
MOTION_CONFIG: dict[str, Any] = {
    "_class_name": "MotionAdapter",
    "block_out_channels": [32, 64, 128],
    "use_motion_mid_block": False,
}


@pytest.fixture(scope="module")
def parts(xl_spec: ModelSpec) -> Components:
    return load_components(xl_spec, CPU)


def refused(spec: ModelSpec) -> str:
    """The message; one sentence on one line."""
    with pytest.raises(ModelError) as caught:
        load_engine(spec, device="cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def converted(kind: str, file: Path, config: dict[str, Any], folder: Path) -> Any:
    """diffusers' own conversion."""
    diffusers = pytest.importorskip("diffusers")
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    return getattr(diffusers, kind).from_single_file(str(file), config=str(folder), local_files_only=True).eval()


# --- the same as diffusers


def test_unet_and_motion_module_agree_with_diffusers(xl_folder: Path, parts: Components, tmp_path: Path) -> None:
    diffusers = pytest.importorskip("diffusers")
    flat = converted("UNet2DConditionModel", xl_folder / "xl.safetensors", UNET_CONFIG, tmp_path / "unet")
    adapter = converted("MotionAdapter", xl_folder / "mm.ckpt", MOTION_CONFIG, tmp_path / "motion")
    peer = diffusers.UNetMotionModel.from_unet2d(flat, adapter).eval()
    # diffusers 0.42 joins everything but this, which it leaves random.
    peer.add_embedding.load_state_dict(flat.add_embedding.state_dict())
    assert parts.unet.state_dict().keys() == peer.state_dict().keys()
    assert json.loads(json.dumps(dict(parts.unet.config))) == json.loads(json.dumps(dict(peer.config)))
    generator = torch.manual_seed(0)
    latents, text, whole = (torch.randn(s, generator=generator) for s in ((1, 4, 3, 8, 8), (3, 77, 160), (1, 32)))
    added = {"text_embeds": whole, "time_ids": torch.tensor([[64, 64, 0, 0, 64, 64]])}
    with torch.no_grad():
        ours, theirs = (unet(latents, 500, text, added_cond_kwargs=added).sample for unet in (parts.unet, peer))
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)  # the same sums
    assert ours.std() > 0.01


def test_the_second_text_encoder_agrees_with_diffusers(xl_folder: Path, parts: Components) -> None:
    """OpenCLIP's fused projections, through diffusers' own converter."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("diffusers")
    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint
    from safetensors.torch import load_file

    config = transformers.CLIPTextConfig(
        hidden_size=96, intermediate_size=384, num_hidden_layers=2, num_attention_heads=1, hidden_act="gelu",
        projection_dim=32, eos_token_id=49407,
    )  # fmt: skip
    peer = transformers.CLIPTextModelWithProjection(config).eval()
    given = load_file(xl_folder / "xl.safetensors")
    peer.load_state_dict(convert_open_clip_checkpoint(peer, given, prefix=made.TEXTS_XL[1]))
    text = parts.texts[1]
    ids = text.tokenizer("a face", padding="max_length", max_length=77, return_tensors="pt").input_ids
    with torch.no_grad():
        ours, theirs = (network(ids, output_hidden_states=True) for network in (text.encoder, peer))
    torch.testing.assert_close(ours.text_embeds, theirs.text_embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.hidden_states[-2], theirs.hidden_states[-2], atol=1e-5, rtol=0)


def test_prompts_are_padded_as_each_encoder_was_trained(parts: Components) -> None:
    one, two = (
        text.tokenizer("a face", padding="max_length", max_length=77).input_ids[:6] for text in parts.texts
    )  # fmt: skip
    assert one == [49406, 320, 1710, 49407, 49407, 49407]
    assert two == [49406, 320, 1710, 49407, 0, 0]


def crops_of(frames: int = 3, height: int = 64, width: int = 48) -> NDArray[np.float32]:
    return np.random.default_rng(3).random((frames, height, width, 3), dtype=np.float32)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' scheduler, numpy 2
@pytest.mark.parametrize("negative", ["blur", ""])
def test_the_engine_agrees_with_the_pipeline(xl_spec: ModelSpec, parts: Components, negative: str) -> None:
    """Three Euler steps from pure noise: prompts, pooled text, sizes, noise levels and VAE, all at once.

    diffusers' pipeline starts from latents that it is given, ours from the encoded crops and the noise of the seed. No
    negative prompt is None there.
    """
    diffusers = pytest.importorskip("diffusers")
    crops, loaded = crops_of(), load_engine(xl_spec, device="cpu")
    asked = {"prompt": "smile", "negative": negative, "cfg": 4.0, "steps": 3, "sampler": "euler",
             "scheduler": "normal", "denoise": 1.0, "seed": 9}  # fmt: skip
    settings = resolve(asked, loaded.capabilities.defaults)
    ours = enhance_arrays(loaded, crops, np.ones((1, 64, 48), np.float32), settings)

    scheduler = diffusers.EulerDiscreteScheduler(**BETAS, timestep_spacing="linspace")
    (one, two), idle = parts.texts, diffusers.MotionAdapter((8,), motion_norm_num_groups=4)
    pipeline = diffusers.AnimateDiffSDXLPipeline(
        parts.vae, one.encoder, two.encoder, one.tokenizer, two.tokenizer, parts.unet, idle, scheduler
    )
    pipeline.set_progress_bar_config(disable=True)
    scheduler.set_timesteps(3)
    top = noise_table(BETAS, SDXL_CONVENTIONS.betas).sigma_max
    noise = initial_noise((3, 4, 8, 6), 9)
    started = encoded(VaeCodec(parts.vae), crops) + noise * (top**2 + 1) ** 0.5
    theirs = pipeline(
        prompt="smile", negative_prompt=negative or None, num_frames=3, height=64, width=48, num_inference_steps=3,
        guidance_scale=4.0, latents=(started / scheduler.init_noise_sigma).movedim(0, 1)[None], output_type="np",
    ).frames[0]  # fmt: skip
    # float32 in another order (ours keeps x0, theirs steps in eps), through three steps from sigma 64 and the VAE.
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert ours.std() > 0.01


def test_the_noise_is_that_of_the_motion_module(parts: Components) -> None:
    """AnimateDiff's authors sample it with scaled-linear betas that end at 0.020; diffusers' example is linear."""
    diffusers = pytest.importorskip("diffusers")
    peer = diffusers.EulerDiscreteScheduler(**BETAS).alphas_cumprod.double()
    table = noise_table(parts.scheduler, parts.family.betas)
    np.testing.assert_allclose(table.sigmas, ((1 - peer) / peer).sqrt(), rtol=1e-3)  # a float32 product of a thousand
    assert math.isclose(table.sigma_max, 65.93, abs_tol=0.01)
    base = {**BETAS, "beta_end": 0.012}
    assert noise_table(base, SDXL_CONVENTIONS.betas).sigmas == table.sigmas
    linear = {**base, "beta_schedule": "linear"}
    assert noise_table(linear, SDXL_CONVENTIONS.betas).sigmas == NoiseTable.animatediff().sigmas


def test_noise_that_ends_without_signal() -> None:
    """Sigmas rise to the end, though the module's noise leaves less before it than the least that is kept there."""
    table = noise_table({**BETAS, "rescale_betas_zero_snr": True}, SDXL_CONVENTIONS.betas)
    assert 4096 < table.sigmas[-2] < table.sigma_max < 20000
    plain = noise_table(BETAS, SDXL_CONVENTIONS.betas)
    assert math.isclose(table.sigma_min, plain.sigma_min, rel_tol=1e-6)  # the first timestep stays


@pytest.mark.parametrize(("marks", "prediction"), [((), "epsilon"), (("v_pred", "ztsnr"), "v_prediction")])
def test_predictions_are_told(xl_thinnest: ModelSpec, tmp_path: Path, marks: tuple[str, ...], prediction: str) -> None:
    shapes = made.thinnest_sdxl_shapes() | dict.fromkeys(marks, (1,))
    path = made.save(tmp_path / "x.safetensors", made.filled(shapes, 1))
    scheduler = open_checkpoint(replace(xl_thinnest, checkpoint=path)).scheduler
    assert scheduler["prediction_type"] == prediction
    assert scheduler.get("rescale_betas_zero_snr", False) == bool(marks)


def test_the_vae_has_its_scale_and_its_precision(xl_thinnest: ModelSpec, tmp_path: Path) -> None:
    half = load_components(xl_thinnest, replace(CPU, dtype=torch.bfloat16))
    assert (half.unet.dtype, half.vae.dtype) == (torch.bfloat16, torch.float32)
    assert [text.encoder.dtype for text in half.texts] == [torch.bfloat16, torch.bfloat16]
    path = made.save(tmp_path / "vae.safetensors", made.filled(made.vae_shapes(prefix=""), 4))
    for vae in (half.vae, load_components(replace(xl_thinnest, vae=path), CPU).vae):
        assert vae.config.scaling_factor == 0.13025


def test_defaults_are_those_of_the_family(xl_thinnest: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Crops of the size that the model was trained on, and a window of as many as half of the memory takes."""
    monkeypatch.setattr(memory, "device_memory", lambda device: 16 * GIB)
    capabilities = load_engine(xl_thinnest, device="cpu").capabilities
    settings = resolve({"preset": "lightning"}, capabilities.defaults, capabilities.presets)
    assert (settings.guide_size, settings.max_size, settings.clip_skip) == (1024, 1024, 2)
    assert (settings.sampler, settings.steps, settings.cfg) == ("euler", 4, 1)
    assert (capabilities.context_length, capabilities.size_multiple) == (5, 2)


# --- folders in the diffusers layout


@pytest.fixture(scope="module")
def saved(parts: Components, xl_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The thin model as the hub has such models, with the motion module beside it."""
    diffusers = pytest.importorskip("diffusers")
    root = tmp_path_factory.mktemp("hub")
    folder = root / "xl"
    flat = converted("UNet2DConditionModel", xl_folder / "xl.safetensors", UNET_CONFIG, root / "unet")
    flat.save_pretrained(folder / "unet")
    adapter = converted("MotionAdapter", xl_folder / "mm.ckpt", MOTION_CONFIG, root / "motion")
    adapter.save_pretrained(folder / "motion_adapter")
    parts.vae.save_pretrained(folder / "vae")
    for text, layout in zip(parts.texts, SDXL_CONVENTIONS.texts, strict=True):
        text.encoder.save_pretrained(folder / layout.part)
        text.tokenizer.save_pretrained(folder / layout.tokenizer)
    diffusers.EulerDiscreteScheduler(**{**BETAS, "beta_end": 0.012}).save_pretrained(folder / "scheduler")
    return folder


def test_a_folder_gives_what_the_files_give(saved: Path, xl_spec: ModelSpec) -> None:
    crops, mask = crops_of(2, 32, 32), np.ones((1, 32, 32), np.float32)
    settings = Settings(prompt="a (face:1.2)", negative="blur", steps=2, clip_skip=2)
    one, two = (enhance_arrays(load_engine(model, device="cpu"), crops, mask, settings) for model in (saved, xl_spec))
    np.testing.assert_allclose(one, two, atol=1e-5)  # the same sums


@pytest.mark.parametrize("part", ["text_encoder_2", "tokenizer_2"])
def test_missing_parts_are_named(saved: Path, tmp_path: Path, part: str) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "xl"))
    shutil.rmtree(folder / part)
    assert f"lacks {part};" in refused(ModelSpec(checkpoint=folder))


def test_the_refiners_folder_says_what_works(saved: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "xl"))
    shutil.rmtree(folder / "text_encoder")
    message = refused(ModelSpec(checkpoint=folder))
    assert (
        "is the refiner of Stable Diffusion XL, and no motion module exists for the refiner; give a complete"
    ) in message


def test_text_encoders_of_other_widths(saved: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "xl"))
    config = json.loads((folder / "text_encoder_2/config.json").read_text())
    for changed, words in (
        ({"hidden_size": 100}, "text encoders of {} produce 164 features, but the UNet takes 160"),
        ({"projection_dim": 48}, "text encoders of {} produce 48 pooled features, but the UNet takes 32"),
    ):
        (folder / "text_encoder_2/config.json").write_text(json.dumps(config | changed))
        assert words.format(folder) in refused(ModelSpec(checkpoint=folder))


# --- what does not belong together


@pytest.fixture(scope="module")
def sd15(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    folder = tmp_path_factory.mktemp("sd15")
    made.save(folder / "sd.safetensors", made.filled(made.sd1_shapes(), 1))
    made.save(folder / "mm.ckpt", made.filled(made.motion_shapes("v3"), 2))
    return ModelSpec(checkpoint=folder / "sd.safetensors", motion_module=folder / "mm.ckpt")


def test_motion_modules_of_the_other_base(xl_thinnest: ModelSpec, sd15: ModelSpec) -> None:
    assert "mm.ckpt is an AnimateDiff v3 motion module for Stable Diffusion 1.x; give a motion " \
        "module for Stable Diffusion XL" in refused(replace(xl_thinnest, motion_module=sd15.motion_module))  # fmt: skip
    assert "is an AnimateDiff SDXL motion module for Stable Diffusion XL; give a motion module for " \
        "Stable Diffusion 1.x" in refused(replace(sd15, motion_module=xl_thinnest.motion_module))  # fmt: skip


def test_hotshot_is_refused(xl_thinnest: ModelSpec, tmp_path: Path) -> None:
    tensors = {"down_blocks.0.temporal_attentions.0.norm.weight": torch.ones(32)}
    message = refused(replace(xl_thinnest, motion_module=made.save(tmp_path / "hsxl.safetensors", tensors)))
    assert "hsxl.safetensors is a HotShot-XL motion module" in message


def test_refiners(xl_thinnest: ModelSpec, sd15: ModelSpec, tmp_path: Path) -> None:
    shapes = made.unet_shapes(linear=True, label=96, context=1280) | made.open_clip_shapes()
    refiner = made.save(tmp_path / "refiner.safetensors", made.filled(shapes))
    message = refused(replace(xl_thinnest, refiner_checkpoint=refiner))
    assert message == (
        f"{refiner} is the refiner of Stable Diffusion XL, and no motion module exists for the refiner; give a "
        "complete "
        "Stable Diffusion XL checkpoint instead, which can also refine."
    )
    message = refused(replace(xl_thinnest, refiner_checkpoint=sd15.checkpoint))
    assert (
        f"The refiner {sd15.checkpoint} is a Stable Diffusion 1.x model, but the checkpoint is a Stable Diffusion XL "
        "model" in message
    )


def test_a_checkpoint_refines_itself(xl_thinnest: ModelSpec) -> None:
    """A refiner of the same weights continues where the model stopped; ratio 0 is exactly none."""
    crops, mask = crops_of(2, 32, 32), np.ones((1, 32, 32), np.float32)
    both = load_engine(replace(xl_thinnest, refiner_checkpoint=xl_thinnest.checkpoint), device="cpu")
    settings = Settings(prompt="a", steps=4, clip_skip=2, mask_feather=0, refiner_ratio=0.0)
    alone = enhance_arrays(load_engine(xl_thinnest, device="cpu"), crops, mask, settings)
    np.testing.assert_array_equal(enhance_arrays(both, crops, mask, settings), alone)
    np.testing.assert_allclose(
        enhance_arrays(both, crops, mask, replace(settings, refiner_ratio=0.5)), alone, atol=1e-4
    )


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        (f"{made.TEXTS_XL[0]}final_layer_norm.bias", "text encoder of {} lacks tensors such as"),
        (f"{made.TEXTS_XL[1]}text_projection", "text encoder of {} lacks 'text_projection'"),
        (f"{made.TEXTS_XL[1]}transformer.resblocks.1.attn.in_proj_bias", "(3 in all); download it again"),
        (f"{made.UNET}label_emb.0.2.bias", "lacks tensors such as add_embedding.linear_2.bias"),
    ],
)
def test_damaged_checkpoints(xl_thinnest: ModelSpec, tmp_path: Path, missing: str, words: str) -> None:
    shapes = {name: shape for name, shape in made.thinnest_sdxl_shapes().items() if name != missing}
    path = made.save(tmp_path / "x.safetensors", made.filled(shapes))
    assert words.format(path) in refused(replace(xl_thinnest, checkpoint=path))


def test_a_vae_folder_of_the_other_family(xl_thinnest: ModelSpec, tmp_path: Path) -> None:
    diffusers = pytest.importorskip("diffusers")
    vae = diffusers.AutoencoderKL(block_out_channels=(32,), latent_channels=4)  # scaled by 0.18215
    vae.save_pretrained(tmp_path / "mse")
    message = refused(replace(xl_thinnest, vae=tmp_path / "mse"))
    assert (
        "is for Stable Diffusion 1.x, which scales latents by 0.18215, but the checkpoint scales them by 0.13"
        in message
    )
