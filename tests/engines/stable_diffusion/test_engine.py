"""The whole engine against diffusers' own pipeline over the same weights, and its parts against closed forms."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from redetail.engines import enhance_arrays, load_engine
from redetail.engines.architectures.stable_diffusion import SD_CONVENTIONS
from redetail.engines.device import Placement
from redetail.engines.spec import ModelSpec
from redetail.engines.stable_diffusion.codec import VaeCodec
from redetail.engines.stable_diffusion.components import Components, load_components
from redetail.engines.stable_diffusion.conditions import TextCondition
from redetail.engines.stable_diffusion.folder import open_folder
from redetail.engines.stable_diffusion.network import MotionNetwork
from redetail.engines.stable_diffusion.noise import noise_table, prediction_of
from redetail.errors import ModelError
from redetail.geometry.latent_grid import LatentGrid
from redetail.sampling import NoiseTable, VarianceExploding, initial_noise
from redetail.settings import Settings
from tests.engines.coding import decoded, encoded

Array = NDArray[np.float32]
CPU = Placement(torch.device("cpu"), torch.float32)
LINEAR = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear", "num_train_timesteps": 1000}


def no_tick() -> None:
    """Nobody counts."""


@pytest.fixture(scope="module")
def parts(model_folder: Path) -> Components:
    return load_components(ModelSpec(checkpoint=model_folder), CPU)


def crops_of(frames: int, height: int = 16, width: int = 24) -> Array:
    return np.random.default_rng(3).random((frames, height, width, 3), dtype=np.float32)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' scheduler, numpy 2
@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_the_engine_agrees_with_the_animatediff_pipeline(model_folder: Path, cfg: float) -> None:
    """Four Euler steps from pure noise, at the whole timesteps 999, 666, 333 and 0 that both visit.

    diffusers' pipeline starts from latents that it is given, ours from the encoded crops and the noise of the seed.
    """
    diffusers = pytest.importorskip("diffusers")
    crops = crops_of(5)
    settings = Settings(
        prompt="smile", negative="blur", cfg=cfg, steps=4, sampler="euler", scheduler="normal", denoise=1.0, seed=9
    )
    ours = enhance_arrays(load_engine(model_folder, device="cpu"), crops, np.ones((1, 16, 24), np.float32), settings)

    peers = load_components(ModelSpec(checkpoint=model_folder), CPU)
    scheduler = diffusers.EulerDiscreteScheduler(**LINEAR, timestep_spacing="linspace")
    pipeline = diffusers.AnimateDiffPipeline(
        peers.vae, peers.texts[0].encoder, peers.texts[0].tokenizer, peers.unet, _no_adapter(diffusers), scheduler
    )
    pipeline.set_progress_bar_config(disable=True)
    scheduler.set_timesteps(4)
    top = NoiseTable.animatediff().sigma_max
    noise = initial_noise((5, 4, 2, 3), 9)
    started = encoded(VaeCodec(peers.vae), crops) + noise * (top**2 + 1) ** 0.5
    theirs = pipeline(
        prompt="smile",
        negative_prompt="blur",
        num_frames=5,
        height=16,
        width=24,
        num_inference_steps=4,
        guidance_scale=cfg,
        latents=(started / scheduler.init_noise_sigma).movedim(0, 1)[None],
        output_type="np",
    ).frames[0]
    # float32 in another order (ours keeps x0, theirs steps in eps), through four steps from sigma 25 and the VAE.
    np.testing.assert_allclose(ours, theirs, atol=2e-4)
    assert ours.std() > 0.01


def _no_adapter(diffusers: Any) -> Any:
    """The pipeline wants one beside a UNet that already holds its motion layers; it is not used then."""
    return diffusers.MotionAdapter(block_out_channels=(8,), motion_norm_num_groups=4, motion_num_attention_heads=1)


def test_the_network_is_fed_as_it_was_trained(parts: Components) -> None:
    """One condition at a time, by hand: x0 = x - sigma * eps(x / sqrt(sigma^2 + 1), t)."""
    path = VarianceExploding.animatediff()
    network = MotionNetwork(parts.unet, path)
    x = torch.randn(3, 4, 4, 6, generator=torch.manual_seed(0)) * 5
    positive, negative = (torch.randn(1, 77, 32, generator=torch.manual_seed(n)) for n in (1, 2))
    sigma = path.sigmas[400]
    with torch.no_grad():
        both = network(x, sigma, [TextCondition(positive), TextCondition(negative)])
        for x0, text in zip(both, (positive, negative), strict=True):
            eps = parts.unet(path.scaled_input(x, sigma).movedim(0, 1)[None], 400, text.expand(3, -1, -1)).sample
            # The same sums in batches of another size.
            torch.testing.assert_close(x0, x - sigma * eps[0].movedim(1, 0), atol=1e-5, rtol=1e-5)
    assert (both[0] - both[1]).abs().max() > 1e-4


def test_joining_gives_what_diffusers_joins(model_folder: Path, parts: Components) -> None:
    diffusers = pytest.importorskip("diffusers")
    unet = diffusers.UNet2DConditionModel.from_pretrained(model_folder / "unet")
    adapter = diffusers.MotionAdapter.from_pretrained(model_folder / "motion_adapter")
    expected = diffusers.UNetMotionModel.from_unet2d(unet, adapter)
    ours, theirs = parts.unet.state_dict(), expected.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert dict(parts.unet.config) == dict(expected.config)
    assert not any(buffer.is_meta for buffer in parts.unet.buffers())


def test_frames_see_one_another(parts: Components) -> None:
    network = MotionNetwork(parts.unet, VarianceExploding.animatediff())
    x = torch.randn(4, 4, 4, 4, generator=torch.manual_seed(0))
    text = TextCondition(torch.zeros(1, 77, 32))
    with torch.no_grad():
        (together,) = network(x, 1.0, [text])
        (alone,) = network(x[:1], 1.0, [text])
    assert (together[:1] - alone).abs().max() > 1e-4


def test_text_of_each_frame_follows_the_window() -> None:
    states = torch.arange(6.0)[:, None, None].expand(6, 77, 32)
    assert TextCondition(states).at(slice(2, 4)).states[:, 0, 0].tolist() == [2, 3]
    shared = TextCondition(states[:1])
    assert shared.at(slice(2, 4)).states is shared.states


def test_vae_batches_change_nothing(parts: Components) -> None:
    crops = crops_of(5)
    whole, pieces = VaeCodec(parts.vae), VaeCodec(parts.vae, pixels_per_batch=2 * 16 * 24)
    with torch.no_grad():
        latents = encoded(whole, crops)
        assert latents.shape == (5, 4, 2, 3)
        # The same sums in batches of another size.
        torch.testing.assert_close(encoded(pieces, crops), latents, atol=1e-5, rtol=1e-5)
        np.testing.assert_allclose(decoded(pieces, latents, crops), decoded(whole, latents, crops), atol=1e-5)
    assert whole.calls(crops.shape) == 2
    assert pieces.calls(crops.shape) == 6
    assert VaeCodec(parts.vae, pixels_per_batch=1).calls(crops.shape) == 10


def test_latents_are_the_scaled_mean(parts: Components) -> None:
    crops = crops_of(2)
    with torch.no_grad():
        images = torch.from_numpy(crops).movedim(-1, 1) * 2 - 1
        mean = parts.vae.encode(images).latent_dist.mean
        torch.testing.assert_close(encoded(VaeCodec(parts.vae), crops), mean * 0.18215)


def test_a_tiny_autoencoder_works_too() -> None:
    diffusers = pytest.importorskip("diffusers")
    vae = diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8, 8), num_encoder_blocks=(1,) * 4,
        num_decoder_blocks=(1,) * 4,
    ).eval()  # fmt: skip
    codec, crops = VaeCodec(vae), crops_of(3)
    assert codec.grid == LatentGrid(8)
    with torch.no_grad():
        latents = encoded(codec, crops)
        assert latents.shape == (3, 4, 2, 3)
        ours = decoded(codec, latents, crops)
        expected = vae.decode(vae.encode(torch.from_numpy(crops).movedim(-1, 1) * 2 - 1).latents).sample
    np.testing.assert_allclose(ours, (expected / 2 + 0.5).clamp(0, 1).movedim(1, -1), atol=1e-5)


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear"])
def test_motion_layers_bring_linear_betas(schedule: str) -> None:
    assert (
        noise_table({**LINEAR, "beta_schedule": schedule}, SD_CONVENTIONS.betas).sigmas
        == NoiseTable.animatediff().sigmas
    )


def test_a_schedule_rescaled_to_zero_signal_agrees_with_diffusers() -> None:
    diffusers = pytest.importorskip("diffusers")
    table = noise_table({**LINEAR, "rescale_betas_zero_snr": True}, SD_CONVENTIONS.betas)
    peer = diffusers.EulerDiscreteScheduler(**LINEAR, rescale_betas_zero_snr=True)
    abar = peer.alphas_cumprod.double()
    expected = ((1 - abar) / abar).sqrt()
    # The peer accumulates a thousand products in float32.
    np.testing.assert_allclose(table.sigmas, expected, rtol=1e-3)
    assert table.sigma_max == pytest.approx(4096, rel=1e-3)


@pytest.mark.parametrize(("name", "kind"), [("epsilon", "eps"), ("v_prediction", "v"), ("sample", "x0")])
def test_prediction_types(name: str, kind: str) -> None:
    assert prediction_of({"prediction_type": name}) == kind
    assert prediction_of({}) == "eps"


def test_betas_of_its_own_are_refused() -> None:
    with pytest.raises(ModelError, match="contains trained_betas, which are not supported"):
        noise_table({**LINEAR, "trained_betas": [0.1, 0.2]}, SD_CONVENTIONS.betas)


def test_a_unet_with_motion_layers_inside(model_folder: Path, parts: Components, tmp_path: Path) -> None:
    """The folder that diffusers writes of a joined model gives what the two parts give."""
    folder = Path(shutil.copytree(model_folder, tmp_path / "joined"))
    shutil.rmtree(folder / "unet")
    shutil.rmtree(folder / "motion_adapter")
    parts.unet.save_pretrained(folder / "unet")
    assert open_folder(folder).motion_adapter is None
    crops, mask = crops_of(2), np.ones((1, 16, 24), np.float32)
    one, two = (
        enhance_arrays(load_engine(path, device="cpu"), crops, mask, Settings(steps=2))
        for path in (folder, model_folder)
    )
    np.testing.assert_array_equal(one, two)


def test_half_precision_gives_nearly_the_same(model_folder: Path) -> None:
    crops, mask = crops_of(2), np.ones((1, 16, 24), np.float32)
    half, single = (
        enhance_arrays(load_engine(model_folder, device="cpu", dtype=dtype), crops, mask, Settings(steps=2))
        for dtype in ("bfloat16", "float32")
    )
    assert half.dtype == np.float32
    # bfloat16 has 8 bits; the noise of two steps of a random network stays within a few grey levels.
    assert np.abs(half - single).mean() < 0.02
