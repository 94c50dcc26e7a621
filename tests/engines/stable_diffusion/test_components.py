"""Single files in the original layout, loaded by the path that users take, against diffusers' own conversion."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from redetail.engines import enhance_arrays, load_engine
from redetail.engines.device import Placement
from redetail.engines.spec import ModelSpec
from redetail.engines.stable_diffusion.components import Components, load_components
from redetail.engines.stable_diffusion.conditions import TextCondition
from redetail.engines.stable_diffusion.network import MotionNetwork
from redetail.errors import ModelError
from redetail.sampling import VarianceExploding
from redetail.settings import Settings
from tests.engines import originals as made

CPU = Placement(torch.device("cpu"), torch.float32)
# What a person who knows the thin model writes down; the code under test tells it from the tensors.
UNET_CONFIG: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "block_out_channels": [32, 64, 64, 64],
    "layers_per_block": 2,
    "cross_attention_dim": 64,
    "attention_head_dim": 8,
}
VAE_CONFIG: dict[str, Any] = {
    "_class_name": "AutoencoderKL",
    "block_out_channels": [32, 32, 32, 32],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}
MOTION_CONFIG: dict[str, Any] = {"_class_name": "MotionAdapter", "block_out_channels": [32, 64, 64, 64]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """sd.safetensors, sd.ckpt and mm.ckpt with the same values throughout."""
    folder = tmp_path_factory.mktemp("originals")
    tensors = made.filled(made.sd1_shapes(), 1)
    made.save(folder / "sd.safetensors", tensors)
    made.save(folder / "sd.ckpt", tensors)
    made.save(folder / "mm.ckpt", made.filled(made.motion_shapes("v2"), 2))
    for name, config in (("unet", UNET_CONFIG), ("vae", VAE_CONFIG), ("motion", MOTION_CONFIG)):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def spec(folder: Path) -> ModelSpec:
    return ModelSpec(checkpoint=folder / "sd.safetensors", motion_module=folder / "mm.ckpt")


@pytest.fixture(scope="module")
def parts(spec: ModelSpec) -> Components:
    return load_components(spec, CPU)


def converted(kind: str, file: Path, config: Path) -> Any:
    """diffusers' own conversion."""
    diffusers = pytest.importorskip("diffusers")
    loaded = getattr(diffusers, kind).from_single_file(str(file), config=str(config), local_files_only=True)
    return loaded.eval()


def settings_of(network: Any) -> Any:
    """Its config as it would be read from a file: lists and tuples are one."""
    return json.loads(json.dumps(dict(network.config)))


def refused(spec: ModelSpec) -> str:
    """The message; one sentence on one line."""
    with pytest.raises(ModelError) as caught:
        load_components(spec, CPU)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- the same as diffusers


def test_unet_and_motion_module_agree_with_diffusers(folder: Path, parts: Components) -> None:
    diffusers = pytest.importorskip("diffusers")
    flat = converted("UNet2DConditionModel", folder / "sd.safetensors", folder / "unet")
    adapter = converted("MotionAdapter", folder / "mm.ckpt", folder / "motion")
    peer = diffusers.UNetMotionModel.from_unet2d(flat, adapter).eval()
    latents = torch.randn(1, 4, 5, 8, 16, generator=torch.manual_seed(0))
    text = torch.randn(5, 77, 64, generator=torch.manual_seed(1))
    with torch.no_grad():
        ours = parts.unet(latents, 500, text).sample
        theirs = peer(latents, 500, text).sample
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    assert ours.std() > 0.01
    assert type(parts.unet).__name__ == "UNetMotionModel"
    assert settings_of(parts.unet) == settings_of(peer)


def test_the_vae_agrees_with_diffusers(folder: Path, parts: Components) -> None:
    peer = converted("AutoencoderKL", folder / "sd.safetensors", folder / "vae")
    images = torch.rand(2, 3, 16, 24, generator=torch.manual_seed(0)) * 2 - 1
    with torch.no_grad():
        ours, theirs = (vae.encode(images).latent_dist.mean for vae in (parts.vae, peer))
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
        torch.testing.assert_close(parts.vae.decode(ours).sample, peer.decode(ours).sample, atol=1e-4, rtol=0)
    assert parts.vae.config.scaling_factor == 0.18215
    assert parts.vae.dtype == torch.float32


def test_the_text_encoder_is_clip(folder: Path, parts: Components) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.CLIPTextConfig(
        hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=1, eos_token_id=49407
    )
    peer = transformers.CLIPTextModel(config).eval()
    given = made.filled(made.sd1_shapes(), 1)
    lead = "text_model." if "text_model.final_layer_norm.bias" in peer.state_dict() else ""
    peer.load_state_dict(
        {
            lead + name.removeprefix(made.TEXT): tensor
            for name, tensor in given.items()
            if name.startswith(made.TEXT) and "position_ids" not in name
        }
    )
    ids = torch.tensor([parts.texts[0].tokenizer("a face of a woman", padding="max_length", max_length=77).input_ids])
    with torch.no_grad():
        torch.testing.assert_close(parts.texts[0].encoder(ids)[0], peer(ids)[0], atol=1e-5, rtol=0)


def test_the_tokenizer_is_clips(parts: Components) -> None:
    """The numbers that CLIP gives "a photo of an astronaut riding a horse", known from its documentation."""
    ids = parts.texts[0].tokenizer("a photo of an astronaut riding a horse").input_ids
    assert ids == [49406, 320, 1125, 539, 550, 18376, 6765, 320, 4558, 49407]
    assert len(parts.texts[0].tokenizer) == 49408
    assert parts.texts[0].tokenizer("x", padding="max_length", max_length=77).input_ids[2:] == [49407] * 75


def test_both_formats_give_the_same_bits(folder: Path, parts: Components, spec: ModelSpec) -> None:
    other = load_components(replace(spec, checkpoint=folder / "sd.ckpt"), CPU)
    for one, two in (
        (parts.unet, other.unet),
        (parts.vae, other.vae),
        (parts.texts[0].encoder, other.texts[0].encoder),
    ):
        ours, theirs = one.state_dict(), two.state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_nothing_is_left_without_values(parts: Components) -> None:
    for network in (parts.unet, parts.vae, parts.texts[0].encoder):
        tensors = [*network.parameters(), *network.buffers()]
        assert not any(tensor.is_meta or tensor.requires_grad for tensor in tensors)
        assert not network.training


def test_tensors_that_fit_are_used_from_the_file_itself(folder: Path, parts: Components) -> None:
    """Of those in the right precision none is copied: they are mapped, so they lie in no memory of this process."""
    if not sys.platform.startswith("linux"):
        pytest.skip("reads what this process has mapped from /proc")
    inside = [
        tuple(int(end, 16) for end in line.split()[0].split("-"))
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.endswith(("sd.safetensors", "mm.ckpt"))
    ]
    where = [tensor.data_ptr() for tensor in parts.unet.parameters()]
    assert all(any(start <= place < end for start, end in inside) for place in where)


def test_half_precision_and_the_vae_in_full(thin: ModelSpec) -> None:
    half = load_components(thin, replace(CPU, dtype=torch.bfloat16))
    assert (half.unet.dtype, half.texts[0].encoder.dtype, half.vae.dtype) == (
        torch.bfloat16,
        torch.bfloat16,
        torch.float32,
    )


def test_precisions_of_single_parts_lose_nothing_on_the_way(thin: ModelSpec) -> None:
    """Text in float32 beside a half-precision UNet has the file's own values, not rounded ones."""
    mixed = replace(CPU, dtype=torch.bfloat16, text_dtype=torch.float32, vae_dtype=torch.bfloat16)
    parts = load_components(thin, mixed)
    assert (parts.unet.dtype, parts.vae.dtype) == (torch.bfloat16, torch.bfloat16)
    weight = made.filled(THIN, 1)[f"{made.TEXT}final_layer_norm.weight"]
    found = [
        tensor
        for name, tensor in parts.texts[0].encoder.state_dict().items()
        if name.endswith("final_layer_norm.weight")
    ]
    assert torch.equal(found[0], weight)


def test_a_whole_run_from_single_files(spec: ModelSpec) -> None:
    crops = np.random.default_rng(3).random((3, 64, 64, 3), dtype=np.float32)
    engine = load_engine(spec, device="cpu")
    done = enhance_arrays(
        engine, crops, np.ones((1, 64, 64), np.float32), Settings(prompt="a face", steps=2, denoise=0.5)
    )
    assert done.shape == crops.shape
    assert np.isfinite(done).all()
    assert np.abs(done - crops).mean() > 0.01
    assert engine.capabilities.context_length == 16


# --- variants


THIN = made.unet_shapes((32, 64), 32, layers=1) | made.vae_shapes((32,), 1) | made.clip_shapes(32, 1)


@pytest.fixture(scope="module")
def thin(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    """Two levels: as quick as a whole model can be."""
    folder = tmp_path_factory.mktemp("thin")
    return ModelSpec(
        checkpoint=saved(folder / "sd.safetensors", THIN),
        motion_module=saved(folder / "mm.safetensors", made.motion_shapes("v3", (32, 64), layers=1)),
    )


def saved(path: Path, shapes: made.Shapes, seed: int = 1) -> Path:
    return made.save(path, made.filled(shapes, seed))


def test_early_files_name_the_text_encoder_otherwise(tmp_path: Path, thin: ModelSpec) -> None:
    tensors = made.filled(THIN, 1)
    renamed = {name.replace("transformer.text_model.", "transformer."): tensor for name, tensor in tensors.items()}
    early = load_components(replace(thin, checkpoint=made.save(tmp_path / "x.ckpt", renamed)), CPU)
    ours, theirs = early.texts[0].encoder.state_dict(), load_components(thin, CPU).texts[0].encoder.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_other_widths_and_depths(tmp_path: Path) -> None:
    shapes = made.unet_shapes((32, 96), 96, layers=1) | made.vae_shapes((32, 64), 1) | made.clip_shapes(96, 1)
    motion = made.motion_shapes("v1", (32, 96), layers=1, limit=20)
    spec = ModelSpec(
        checkpoint=saved(tmp_path / "sd.safetensors", shapes),
        motion_module=saved(tmp_path / "mm.safetensors", motion),
    )
    parts = load_components(spec, CPU)
    assert tuple(parts.unet.config.block_out_channels) == (32, 96)
    assert parts.vae.config.layers_per_block == 1
    assert parts.texts[0].encoder.config.hidden_size == 96
    assert parts.motion_limit == 20


@pytest.mark.parametrize(
    ("marks", "prediction", "zero"),
    [((), "epsilon", False), (("v_pred",), "v_prediction", False), (("v_pred", "ztsnr"), "v_prediction", True)],
)
def test_the_noise_is_told(
    tmp_path: Path, thin: ModelSpec, marks: tuple[str, ...], prediction: str, zero: bool
) -> None:
    shapes = THIN | dict.fromkeys(marks, (1,))
    parts = load_components(replace(thin, checkpoint=saved(tmp_path / "x.safetensors", shapes)), CPU)
    assert parts.scheduler == {
        "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear", "num_train_timesteps": 1000,
        "prediction_type": prediction,
    } | ({"rescale_betas_zero_snr": True} if zero else {})  # fmt: skip


@pytest.mark.parametrize("prefix", [made.VAE, ""])
def test_a_vae_of_its_own(tmp_path: Path, parts: Components, thin: ModelSpec, prefix: str) -> None:
    path = saved(tmp_path / "vae.safetensors", made.vae_shapes(prefix=prefix), seed=9)
    other = load_components(replace(thin, vae=path), CPU).vae.state_dict()
    ours = parts.vae.state_dict()
    assert ours.keys() == other.keys()
    assert not torch.equal(ours["decoder.conv_in.weight"], other["decoder.conv_in.weight"])
    expected = made.filled(made.vae_shapes(prefix=prefix), 9)[f"{prefix}decoder.up.3.block.0.conv1.weight"]
    assert torch.equal(other["decoder.up_blocks.0.resnets.0.conv1.weight"], expected)


@pytest.mark.parametrize("old", [False, True])
def test_a_vae_in_the_diffusers_layout(tmp_path: Path, parts: Components, thin: ModelSpec, old: bool) -> None:
    tensors = dict(parts.vae.state_dict())
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"} if old else {}
    for new, name in names.items():
        tensors = {key.replace(f"attentions.0.{new}.", f"attentions.0.{name}."): t for key, t in tensors.items()}
    other = load_components(replace(thin, vae=made.save(tmp_path / "vae.safetensors", tensors)), CPU)
    assert all(torch.equal(tensor, other.vae.state_dict()[name]) for name, tensor in parts.vae.state_dict().items())


def test_a_tiny_vae_in_one_file(tmp_path: Path, thin: ModelSpec) -> None:
    """TAESD as its author publishes it for diffusers."""
    diffusers = pytest.importorskip("diffusers")
    peer = diffusers.AutoencoderTiny()
    path = made.save(tmp_path / "taesd.safetensors", peer.state_dict())
    loaded = load_components(replace(thin, vae=path), CPU).vae
    assert type(loaded).__name__ == "AutoencoderTiny"
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in peer.state_dict().items())


def test_a_vae_folder(tmp_path: Path, parts: Components, thin: ModelSpec) -> None:
    parts.vae.save_pretrained(tmp_path / "my-vae")
    other = load_components(replace(thin, vae=tmp_path / "my-vae"), CPU)
    assert all(torch.equal(tensor, other.vae.state_dict()[name]) for name, tensor in parts.vae.state_dict().items())


def test_a_checkpoint_without_a_vae_takes_one(tmp_path: Path, thin: ModelSpec) -> None:
    shapes = {name: shape for name, shape in THIN.items() if not name.startswith(made.VAE)}
    bare = replace(thin, checkpoint=saved(tmp_path / "sd.safetensors", shapes))
    assert "without a VAE; give one with --vae" in refused(bare)
    vae = saved(tmp_path / "vae.safetensors", made.vae_shapes(prefix=""))
    assert load_components(replace(bare, vae=vae), CPU).vae is not None


def test_a_folder_with_a_motion_module_of_its_own(tmp_path: Path, parts: Components, folder: Path) -> None:
    """A Stable Diffusion folder as the hub has them, without motion_adapter, beside an AnimateDiff file."""
    diffusers = pytest.importorskip("diffusers")
    flat = converted("UNet2DConditionModel", folder / "sd.safetensors", folder / "unet")
    flat.save_pretrained(tmp_path / "sd" / "unet")
    parts.vae.save_pretrained(tmp_path / "sd" / "vae")
    parts.texts[0].encoder.save_pretrained(tmp_path / "sd" / "text_encoder")
    parts.texts[0].tokenizer.save_pretrained(tmp_path / "sd" / "tokenizer")
    diffusers.DDIMScheduler().save_pretrained(tmp_path / "sd" / "scheduler")
    assert "lacks motion_adapter" in refused(ModelSpec(checkpoint=tmp_path / "sd"))
    joined = load_components(ModelSpec(checkpoint=tmp_path / "sd", motion_module=folder / "mm.ckpt"), CPU)
    ours, theirs = joined.unet.state_dict(), parts.unet.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert settings_of(joined.unet) == settings_of(parts.unet)


def test_an_inpainting_checkpoint_sees_what_is_kept(tmp_path: Path, thin: ModelSpec) -> None:
    """Its nine channels are the latents, the mask and the latents around it; five of weight zero are as if absent."""
    shapes = made.unet_shapes((32, 64), 32, layers=1, in_channels=9)
    tensors, plain = made.filled(THIN, 1), made.filled(shapes, 1)
    first = f"{made.UNET}input_blocks.0.0.weight"
    crops = np.random.default_rng(3).random((3, 16, 16, 3), dtype=np.float32)
    mask = np.zeros((1, 16, 16), np.float32)
    mask[:, 4:12, 4:12] = 1
    settings = Settings(steps=2, denoise=0.8, prompt="a face")

    def result(name: str, weight: torch.Tensor) -> Any:
        path = made.save(tmp_path / f"{name}.safetensors", tensors | {first: weight})
        return enhance_arrays(load_engine(replace(thin, checkpoint=path), device="cpu"), crops, mask, settings)

    blind = torch.cat([tensors[first], torch.zeros(32, 5, 3, 3)], 1)
    usual = enhance_arrays(load_engine(thin, device="cpu"), crops, mask, settings)
    np.testing.assert_allclose(result("blind", blind), usual, atol=1e-5)
    assert np.abs(result("seeing", plain[first]) - usual).max() > 1e-3


def test_the_kept_follows_the_latents(thin: ModelSpec, tmp_path: Path) -> None:
    """One call by hand: the network gets latents, mask and kept latents in this order, for every condition alike."""
    path = saved(tmp_path / "x.safetensors", THIN | made.unet_shapes((32, 64), 32, layers=1, in_channels=9))
    unet = load_components(replace(thin, checkpoint=path), CPU).unet
    noise_path = VarianceExploding.animatediff()
    network = MotionNetwork(unet, noise_path)
    assert network.inpaints
    x, kept = (torch.randn(3, n, 4, 6, generator=torch.manual_seed(n)) for n in (4, 5))
    text = [TextCondition(torch.randn(1, 77, 32, generator=torch.manual_seed(n))) for n in (1, 2)]
    sigma = noise_path.sigmas[300]
    with torch.no_grad():
        both = MotionNetwork(unet, noise_path, inpaint=kept)(x, sigma, text)
        for x0, condition in zip(both, text, strict=True):
            rows = torch.cat([noise_path.scaled_input(x, sigma), kept], 1).movedim(0, 1)[None]
            eps = unet(rows, 300, condition.states.expand(3, -1, -1)).sample[0].movedim(1, 0)
            torch.testing.assert_close(x0, x - sigma * eps, atol=1e-5, rtol=1e-5)


# --- what is refused


def test_what_is_no_checkpoint_says_what_it_is(folder: Path, spec: ModelSpec, tmp_path: Path) -> None:
    wanted = "give a Stable Diffusion 1.x or XL checkpoint"
    message = refused(replace(spec, checkpoint=folder / "mm.ckpt"))
    assert f"mm.ckpt is an AnimateDiff v2 motion module for Stable Diffusion 1.x; {wanted}" in message
    for shapes, words in (
        (
            made.unet_shapes((32, 64, 64), linear=True, label=96),
            "is a Stable Diffusion XL checkpoint without a text encod",
        ),
        (
            made.unet_shapes(linear=True, label=96, context=1280),
            "give a complete Stable Diffusion XL checkpoint instead",
        ),
        (made.unet_shapes(context=1024, linear=True), "is a Stable Diffusion 2.x checkpoint"),
        (made.sd1_shapes(in_channels=8), "takes 8 channels instead of 4 or 9"),
        (made.unet_shapes(), "without a text encoder"),
        (made.vae_shapes(), f"is a VAE; {wanted}"),
    ):
        assert words in refused(replace(spec, checkpoint=saved(tmp_path / "x.safetensors", shapes)))


def test_a_unet_alone_in_the_diffusers_layout(folder: Path, spec: ModelSpec, tmp_path: Path) -> None:
    converted("UNet2DConditionModel", folder / "sd.safetensors", folder / "unet").save_pretrained(tmp_path)
    message = refused(replace(spec, checkpoint=tmp_path / "diffusion_pytorch_model.safetensors"))
    assert "only the UNet of a Stable Diffusion 1.x checkpoint, in the diffusers layout" in message


def test_a_checkpoint_alone_knows_no_motion(spec: ModelSpec) -> None:
    assert "handles only single frames; give a motion module" in refused(replace(spec, motion_module=None))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({f"{made.UNET}input_blocks.1.1.proj_in.weight": None}, "such as down_blocks.0.attentions.0.proj_in.weight"),
        (
            {f"{made.UNET}input_blocks.1.1.gate": (3,)},
            "has tensors that redetail does not expect, such as down_blocks.0.attentions.0.gate",
        ),
        (
            {f"{made.UNET}input_blocks.3.0.out_layers.0.weight": (32,)},
            "resnets.0.norm2.weight with the shape (32,) instead of (64,)",
        ),
        ({f"{made.UNET}middle_block.1.norm.weight": None}, "(1 in all); download it again"),
        ({f"{made.UNET}out.2.weight": None}, "lacks some of its blocks"),
        ({f"{made.UNET}input_blocks.0.0.bias": None}, "lacks tensors such as conv_in.bias"),
        ({f"{made.TEXT}final_layer_norm.bias": None}, "final_layer_norm.bias"),
        ({f"{made.TEXT}embeddings.position_embedding.weight": None}, "lacks"),
        ({f"{made.VAE}encoder.conv_in.weight": None}, "such as encoder.conv_in.weight"),
        ({f"{made.VAE}post_quant_conv.bias": None}, "such as post_quant_conv.bias"),
    ],
)
def test_missing_and_surplus_tensors(
    tmp_path: Path, thin: ModelSpec, changed: dict[str, tuple[int, ...] | None], words: str
) -> None:
    shapes = {name: shape for name, shape in (THIN | changed).items() if shape is not None}
    assert words in refused(replace(thin, checkpoint=saved(tmp_path / "x.safetensors", shapes)))


def test_vaes_of_another_kind(tmp_path: Path, thin: ModelSpec, folder: Path) -> None:
    assert "give a VAE of Stable Diffusion" in refused(replace(thin, vae=folder / "mm.ckpt"))
    shapes = {name: (64, 16, 3, 3) if name == "decoder.conv_in.weight" else shape
              for name, shape in made.vae_shapes(prefix="").items()}  # fmt: skip
    assert "makes latents with 16 channels" in refused(replace(thin, vae=saved(tmp_path / "x.safetensors", shapes)))
