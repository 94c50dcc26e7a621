"""Motion modules and motion LoRAs as they are published, against diffusers and closed forms."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from redetail.engines.device import Placement
from redetail.engines.spec import ModelSpec, WeightedFile
from redetail.engines.stable_diffusion.components import load_components
from redetail.engines.stable_diffusion.motion import module_name, sinusoids
from redetail.engines.stable_diffusion.noise import noise_table
from redetail.errors import ModelError
from redetail.sampling import NoiseTable
from tests.engines import originals as made

CPU = Placement(torch.device("cpu"), torch.float32)
WIDTHS = (32, 64)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shapes = made.unet_shapes(WIDTHS, layers=1) | made.vae_shapes((32,), 1) | made.clip_shapes(layers=1)
    return made.save(tmp_path_factory.mktemp("sd") / "sd.safetensors", made.filled(shapes, 1))


@pytest.fixture
def spec(checkpoint: Path, tmp_path: Path) -> ModelSpec:
    return ModelSpec(checkpoint=checkpoint, motion_module=motion_file(tmp_path / "mm.ckpt", "v2"))


def motion_file(path: Path, version: str, **tensors: Tensor) -> Path:
    return made.save(path, made.filled(made.motion_shapes(version, WIDTHS, layers=1), 2) | tensors)


def motion_state(spec: ModelSpec) -> dict[str, Tensor]:
    state = load_components(spec, CPU).unet.state_dict()
    return {name: tensor for name, tensor in state.items() if "motion_modules" in name}


def refused(spec: ModelSpec) -> str:
    with pytest.raises(ModelError) as caught:
        load_components(spec, CPU)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- modules


@pytest.mark.parametrize(("version", "limit"), [("v1", 24), ("v2", 32), ("v3", 32), ("lcm", 64)])
def test_every_version_agrees_with_diffusers(checkpoint: Path, tmp_path: Path, version: str, limit: int) -> None:
    diffusers = pytest.importorskip("diffusers")
    path = motion_file(tmp_path / "mm.ckpt", version)
    parts = load_components(ModelSpec(checkpoint=checkpoint, motion_module=path), CPU)
    config = {
        "_class_name": "MotionAdapter", "block_out_channels": WIDTHS, "motion_layers_per_block": 1,
        "motion_max_seq_length": limit, "use_motion_mid_block": version in ("v2", "lcm"),
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    peer = diffusers.MotionAdapter.from_single_file(str(path), config=str(tmp_path), local_files_only=True)
    ours, theirs = motion_state_of(parts.unet), peer.state_dict()
    assert ours.keys() == theirs.keys()
    # diffusers computes the positions, the file holds them: the same formula in float32.
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in theirs)
    assert parts.motion_limit == limit
    assert bool(parts.unet.config.use_motion_mid_block) is (version in ("v2", "lcm"))
    assert noise_table(parts.scheduler, parts.family.betas).sigmas == NoiseTable.animatediff().sigmas


def motion_state_of(unet: Any) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in unet.state_dict().items() if "motion_modules" in name}


def test_the_longest_window_is_the_limit(checkpoint: Path, tmp_path: Path) -> None:
    """As many frames as there are positions go through, one more does not."""
    spec = ModelSpec(checkpoint=checkpoint, motion_module=motion_file(tmp_path / "mm.ckpt", "v1"))
    parts = load_components(spec, CPU)
    for frames, fits in ((24, True), (25, False)):
        latents, text = torch.zeros(1, 4, frames, 2, 2), torch.zeros(frames, 77, made.TEXT_WIDTH)
        with torch.no_grad():
            if fits:
                assert parts.unet(latents, 1, text).sample.shape == latents.shape
            else:
                with pytest.raises(RuntimeError):
                    parts.unet(latents, 1, text)


def test_positions_come_from_the_file(checkpoint: Path, tmp_path: Path) -> None:
    """Modules are trained on with positions of their own; diffusers' conversion would replace them."""
    shapes = made.motion_shapes("v2", WIDTHS, layers=1)
    stretched = {name: made.sinusoids(64, shape[2])[:, ::2] for name, shape in shapes.items() if name.endswith(".pe")}
    state = motion_state(
        ModelSpec(checkpoint=checkpoint, motion_module=motion_file(tmp_path / "mm.ckpt", "v2", **stretched))
    )
    for name, tensor in stretched.items():
        assert torch.equal(state[module_name(name)], tensor)


def test_positions_that_differ_inside_a_block_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    name = "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.1.pos_encoder.pe"
    path = motion_file(tmp_path / "mm.ckpt", "v2", **{name: torch.ones(1, 32, 32)})
    assert "has two different position encodings" in refused(ModelSpec(checkpoint=checkpoint, motion_module=path))


def test_sinusoids() -> None:
    """Frame p, pair i: sin and cos of p / 10000^(2i / width)."""
    table = sinusoids(5, 8)[0]
    for frame in range(5):
        for pair in range(4):
            angle = torch.tensor(frame / 10000 ** (2 * pair / 8))
            assert table[frame, 2 * pair] == pytest.approx(float(angle.sin()), abs=1e-6)
            assert table[frame, 2 * pair + 1] == pytest.approx(float(angle.cos()), abs=1e-6)


def test_the_diffusers_layout_in_one_file(spec: ModelSpec, tmp_path: Path) -> None:
    """As AnimateDiff-Lightning is published for diffusers."""
    state = motion_state(spec)
    path = made.save(tmp_path / "lightning_diffusers.safetensors", state)
    other = motion_state(replace(spec, motion_module=path))
    assert all(torch.equal(state[name], other[name]) for name in state)


def test_a_motion_adapter_folder(spec: ModelSpec, tmp_path: Path) -> None:
    diffusers = pytest.importorskip("diffusers")
    adapter = diffusers.MotionAdapter(WIDTHS, motion_layers_per_block=1, use_motion_mid_block=False)
    adapter.save_pretrained(tmp_path / "any-name")
    state = motion_state(replace(spec, motion_module=tmp_path / "any-name"))
    assert all(torch.equal(state[name], tensor) for name, tensor in adapter.state_dict().items())


def test_what_else_a_training_saved_is_left_out(spec: ModelSpec, tmp_path: Path) -> None:
    """AnimateDiff's training writes the whole UNet, its names below "module."."""
    tensors = made.filled(made.motion_shapes("v2", WIDTHS, layers=1), 2) | {"conv_out.weight": torch.ones(4, 32, 3, 3)}
    torch.save({"state_dict": {f"module.{name}": t for name, t in tensors.items()}, "epoch": 3}, tmp_path / "x.ckpt")
    other = motion_state(replace(spec, motion_module=tmp_path / "x.ckpt"))
    assert all(torch.equal(other[name], tensor) for name, tensor in motion_state(spec).items())


def test_half_precision_modules(spec: ModelSpec, tmp_path: Path) -> None:
    half = {name: t.half() for name, t in made.filled(made.motion_shapes("v2", WIDTHS, layers=1), 2).items()}
    state = motion_state(replace(spec, motion_module=made.save(tmp_path / "half.safetensors", half)))
    assert all(tensor.dtype == torch.float32 for tensor in state.values())


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (made.motion_shapes("sdxl", (32, 64, 64)), "is an AnimateDiff SDXL motion module for Stable Diffusion XL"),
        ({"down_blocks.0.temporal_attentions.0.norm.weight": (320,)}, "is a HotShot-XL motion module"),
        (made.motion_shapes("v2", WIDTHS) | made.layer("conv_in", (32, 9, 3, 3)), "is a PIA module"),
        (made.motion_lora_shapes(), "is a motion LoRA for Stable Diffusion 1.x"),
        (made.vae_shapes(), "is a VAE"),
    ],
)
def test_what_is_no_module_for_it(spec: ModelSpec, tmp_path: Path, shapes: made.Shapes, words: str) -> None:
    path = made.save(tmp_path / "x.safetensors", made.filled(shapes))
    message = refused(replace(spec, motion_module=path))
    assert message.startswith(f"{path} {words}")
    assert "give a motion module for Stable Diffusion 1.x" in message


def test_modules_of_other_widths_and_depths(spec: ModelSpec, tmp_path: Path) -> None:
    path = made.save(tmp_path / "x.ckpt", made.filled(made.motion_shapes("v2", (32, 96), layers=1)))
    assert "made for a UNet with widths (32, 96), but " in refused(replace(spec, motion_module=path))
    path = made.save(tmp_path / "x.ckpt", made.filled(made.motion_shapes("v2", WIDTHS, layers=2)))
    assert "does not fit" in refused(replace(spec, motion_module=path))


# --- motion LoRAs


def lora_file(path: Path, layout: str, **extra: Tensor) -> Path:
    tensors = made.filled(made.motion_lora_shapes(4, WIDTHS, layers=1), 5)
    if layout != "original":
        tensors = {f"unet.{module_name(name)}": tensor for name, tensor in tensors.items()}
    if layout == "peft":
        renames = (
            (".processor", ""),
            ("to_out_lora", "to_out.0_lora"),
            ("_lora.down", ".lora_A"),
            ("_lora.up", ".lora_B"),
        )
        for old, new in renames:
            tensors = {name.replace(old, new): tensor for name, tensor in tensors.items()}
    return made.save(path, tensors | extra)


@pytest.mark.parametrize("layout", ["original", "diffusers", "peft"])
def test_a_motion_lora_adds_its_product(spec: ModelSpec, tmp_path: Path, layout: str) -> None:
    """W + s * up @ down for every projection, nothing else."""
    before = motion_state(spec)
    lora = WeightedFile(lora_file(tmp_path / "pan.safetensors", layout), 0.7)
    after = motion_state(replace(spec, motion_loras=(lora,)))
    pairs = made.filled(made.motion_lora_shapes(4, WIDTHS, layers=1), 5)
    expected = dict(before)
    for name, down in pairs.items():
        if name.endswith(".down.weight"):
            up = pairs[name.replace(".down.", ".up.")]
            stem, part = module_name(name).removesuffix("_lora.down.weight").split(".processor.")
            target = f"{stem}.{part.replace('to_out', 'to_out.0')}.weight"
            expected[target] = before[target] + 0.7 * up @ down
    assert sum(not torch.equal(before[name], expected[name]) for name in before) == len(pairs) // 2
    assert all(torch.allclose(after[name], expected[name], atol=1e-6) for name in before)


def test_a_strength_of_zero_changes_no_bit(spec: ModelSpec, tmp_path: Path) -> None:
    lora = WeightedFile(lora_file(tmp_path / "pan.safetensors", "original"), 0.0)
    after = motion_state(replace(spec, motion_loras=(lora,)))
    assert all(torch.equal(after[name], tensor) for name, tensor in motion_state(spec).items())


def test_several_motion_loras_add_up(spec: ModelSpec, tmp_path: Path) -> None:
    path = lora_file(tmp_path / "pan.safetensors", "original")
    twice = motion_state(replace(spec, motion_loras=(WeightedFile(path, 0.5), WeightedFile(path, 0.5))))
    once = motion_state(replace(spec, motion_loras=(WeightedFile(path, 1.0),)))
    assert all(torch.allclose(twice[name], once[name], atol=1e-6) for name in once)


def test_alpha_over_rank_scales(spec: ModelSpec, tmp_path: Path) -> None:
    block = "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0"
    stem = f"{block}.attention_blocks.0.processor.to_q_lora"
    scaled = lora_file(tmp_path / "a.safetensors", "original", **{f"{stem}.alpha": torch.tensor(2.0)})
    plain = lora_file(tmp_path / "b.safetensors", "original")
    name = "down_blocks.0.motion_modules.0.transformer_blocks.0.attn1.to_q.weight"
    base = motion_state(spec)[name]
    half, whole = (motion_state(replace(spec, motion_loras=(WeightedFile(path),)))[name] for path in (scaled, plain))
    torch.testing.assert_close(half - base, (whole - base) / 2)


def test_a_motion_lora_leaves_the_files_alone(spec: ModelSpec, tmp_path: Path) -> None:
    assert spec.motion_module is not None
    before = spec.motion_module.read_bytes()
    load_components(replace(spec, motion_loras=(WeightedFile(lora_file(tmp_path / "p.ckpt", "original")),)), CPU)
    assert spec.motion_module.read_bytes() == before


def test_motion_loras_that_do_not_fit(spec: ModelSpec, tmp_path: Path) -> None:
    assert spec.motion_module is not None
    message = refused(replace(spec, motion_loras=(WeightedFile(spec.motion_module),)))
    assert "is an AnimateDiff v2 motion module for Stable Diffusion 1.x; give a motion LoRA" in message
    other = made.save(tmp_path / "wide.safetensors", made.filled(made.motion_lora_shapes(4, (96, 96), layers=1)))
    assert "are missing from the motion module or have different widths" in refused(
        replace(spec, motion_loras=(WeightedFile(other),))
    )
    half = {
        name: t for name, t in made.filled(made.motion_lora_shapes(4, WIDTHS, layers=1)).items() if ".down." in name
    }
    broken = made.save(tmp_path / "half.safetensors", half)
    assert "lacks the down or up matrix of" in refused(replace(spec, motion_loras=(WeightedFile(broken),)))
