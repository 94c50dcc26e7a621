"""ControlNets: files of every layout against diffusers' conversion, and the steered engine against its pipeline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from redetail.engines import enhance_arrays
from redetail.engines.architectures.stable_diffusion import SD_CONVENTIONS
from redetail.engines.base import Capabilities, CropSource
from redetail.engines.device import Placement, place
from redetail.engines.latent import LatentEngine
from redetail.engines.memory import Memory
from redetail.engines.spec import ControlFile, ModelSpec
from redetail.engines.stable_diffusion.codec import VaeCodec
from redetail.engines.stable_diffusion.components import Components, load_components
from redetail.engines.stable_diffusion.conditions import StatesAlone
from redetail.engines.stable_diffusion.control import Control, load_controls, show
from redetail.engines.stable_diffusion.control_weights import control_config, control_names, load_controlnet
from redetail.engines.stable_diffusion.network import MotionNetwork, TextGuidedModel
from redetail.engines.stable_diffusion.noise import noise_table
from redetail.engines.stable_diffusion.text import TextConditioner
from redetail.errors import ModelError, SettingsError
from redetail.imaging.hints import make_hint
from redetail.sampling import NoiseTable, StepIndex, VarianceExploding, initial_noise, sampler_names, scheduler_names
from redetail.settings import Settings
from tests.engines import originals
from tests.engines.coding import encoded

Array = NDArray[np.float32]
CPU = Placement(torch.device("cpu"), torch.float32)
LINEAR = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear", "num_train_timesteps": 1000}
SIZE, FRAMES = 64, 3
WHOLE = np.ones((1, SIZE, SIZE), np.float32)
INDEX = StepIndex((8.0, 4.0, 2.0, 1.0, 0.0))


def control_tensors(seed: int = 5, prefix: str = "", **options: Any) -> dict[str, Tensor]:
    return originals.filled(originals.control_shapes(prefix, **options), seed)


def converted(tensors: Mapping[str, Tensor], **config: Any) -> Any:
    """The same weights through diffusers' own converter."""
    diffusers = pytest.importorskip("diffusers")
    from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint

    widths = originals.WIDTHS
    network = diffusers.ControlNetModel(
        block_out_channels=widths, cross_attention_dim=originals.TEXT_WIDTH, layers_per_block=2, **config
    )
    network.load_state_dict(convert_controlnet_checkpoint(dict(tensors), dict(network.config)))
    return network.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, a motion module and two ControlNets, as they are found."""
    folder = tmp_path_factory.mktemp("control")
    originals.save(folder / "base.safetensors", originals.filled(originals.sd1_shapes()))
    originals.save(folder / "motion.ckpt", originals.filled(originals.motion_shapes("v2"), 1))
    originals.save(folder / "edges.safetensors", control_tensors(5))
    originals.save(folder / "depth.pth", control_tensors(6, "control_model."))
    return folder


@pytest.fixture(scope="module")
def parts(folder: Path) -> Components:
    return load_components(ModelSpec(checkpoint=folder / "base.safetensors", motion_module=folder / "motion.ckpt"), CPU)


@pytest.fixture(scope="module")
def crops() -> Array:
    smooth = np.random.default_rng(3).random((FRAMES, 8, 8, 3), dtype=np.float32)
    return smooth.repeat(8, axis=1).repeat(8, axis=2)


def engine(parts: Components, controls: tuple[Control, ...] = (), context: int | None = None) -> LatentEngine:
    path = VarianceExploding(noise_table(LINEAR, SD_CONVENTIONS.betas))
    text = TextConditioner(parts.texts[0].tokenizer, parts.texts[0].encoder)
    abilities = Capabilities(
        name="tiny", size_multiple=8, context_length=context, samplers=sampler_names(), schedulers=scheduler_names()
    )
    model = TextGuidedModel(MotionNetwork(parts.unet, path), StatesAlone([text]), controls)
    return LatentEngine(VaeCodec(parts.vae), model, abilities, CPU)


def asked(**more: Any) -> Settings:
    chosen = {"prompt": "smile", "negative": "blur", "cfg": 3.0, "steps": 4, "denoise": 1.0, "seed": 9, **more}
    return Settings(sampler="euler", scheduler="normal", **chosen)


# --- files


@pytest.mark.parametrize(
    ("suffix", "prefix"), [(".safetensors", ""), (".pth", "control_model."), (".ckpt", "control_model.")]
)
def test_original_files_give_what_diffusers_converts(
    tmp_path: Path, parts: Components, suffix: str, prefix: str
) -> None:
    tensors = control_tensors(prefix=prefix)
    network = load_controlnet(originals.save(tmp_path / f"net{suffix}", tensors), CPU, parts.unet.config)
    expected = converted(tensors)
    ours, theirs = network.state_dict(), expected.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    for name in ("block_out_channels", "down_block_types", "cross_attention_dim", "layers_per_block", "in_channels",
                 "conditioning_channels", "conditioning_embedding_out_channels", "use_linear_projection"):  # fmt: skip
        assert network.config[name] == expected.config[name], name
    assert_same_outputs(network, expected)


def assert_same_outputs(ours: Any, theirs: Any) -> None:
    generator = torch.manual_seed(0)
    x, text, hint = (torch.randn(shape, generator=generator) for shape in ((2, 4, 8, 8), (2, 7, 64), (2, 3, 64, 64)))
    with torch.no_grad():
        one, two = (network(x, 500, text, hint, return_dict=False) for network in (ours, theirs))
    for a, b in zip((*one[0], one[1]), (*two[0], two[1]), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
        assert a.abs().max() > 1e-3


def test_a_folder_and_a_single_file_in_the_diffusers_layout(tmp_path: Path, parts: Components) -> None:
    expected = converted(control_tensors())
    expected.save_pretrained(tmp_path / "folder")
    single = tmp_path / "folder" / "diffusion_pytorch_model.safetensors"
    for path in (tmp_path / "folder", single):
        assert_same_outputs(load_controlnet(path, CPU, parts.unet.config), expected)


def test_linear_projections_are_told_from_the_shapes(tmp_path: Path, parts: Components) -> None:
    tensors = control_tensors(linear=True)
    network = load_controlnet(originals.save(tmp_path / "net.safetensors", tensors), CPU, parts.unet.config)
    assert_same_outputs(network, converted(tensors, use_linear_projection=True))


def test_half_precision_files_are_computed_as_placed(tmp_path: Path, parts: Components) -> None:
    tensors = {name: tensor.half() for name, tensor in control_tensors().items()}
    network = load_controlnet(originals.save(tmp_path / "net.safetensors", tensors), CPU, parts.unet.config)
    assert network.dtype == torch.float32
    assert not network.training
    assert not any(weight.requires_grad for weight in network.parameters())


def test_other_files_are_named(folder: Path, parts: Components) -> None:
    with pytest.raises(ModelError, match=r"is a Stable Diffusion 1.x checkpoint; give a ControlNet"):
        load_controlnet(folder / "base.safetensors", CPU, parts.unet.config)
    with pytest.raises(ModelError, match="There is no weight file"):
        load_controlnet(folder / "none.safetensors", CPU, parts.unet.config)


@pytest.mark.parametrize(("key", "what"), [("lora_controlnet", "a Control-LoRA"), ("difference", "as the difference")])
def test_kinds_that_are_not_supported_are_named(tmp_path: Path, parts: Components, key: str, what: str) -> None:
    path = originals.save(tmp_path / "net.safetensors", {**control_tensors(), key: torch.zeros(1)})
    with pytest.raises(ModelError, match=f"is .*{what}.* such files are not supported"):
        load_controlnet(path, CPU, parts.unet.config)


@pytest.mark.parametrize("options", [{"context": 96}, {"widths": (32, 64)}])
def test_a_controlnet_for_another_base_is_refused(tmp_path: Path, parts: Components, options: dict[str, Any]) -> None:
    path = originals.save(tmp_path / "net.safetensors", control_tensors(**options))
    with pytest.raises(
        ModelError, match=(r"was made for a UNet with widths .* use a ControlNet for the same base model")
    ):
        load_controlnet(path, CPU, parts.unet.config)


def test_missing_blocks_are_named(tmp_path: Path, parts: Components) -> None:
    tensors = control_tensors()
    del tensors["zero_convs.3.0.bias"]
    path = originals.save(tmp_path / "net.safetensors", tensors)
    with pytest.raises(ModelError, match=r"lacks tensors such as controlnet_down_blocks.3.bias"):
        load_controlnet(path, CPU, parts.unet.config)


def test_a_folder_of_another_class_is_named(tmp_path: Path, parts: Components) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "T2IAdapter"}))
    with pytest.raises(ModelError, match="is of class T2IAdapter; its class must be ControlNetModel"):
        load_controlnet(tmp_path, CPU, parts.unet.config)


@pytest.mark.parametrize(
    ("options", "heads"),
    [({"context": 768}, 8), ({"context": 1024, "linear": True}, [5, 10, 20, 20])],
    ids=["Stable Diffusion 1.5", "Stable Diffusion 2.1"],
)
def test_names_and_shapes_at_full_size(options: dict[str, Any], heads: Any) -> None:
    """Without the weights: every tensor has its place in the network that the shapes tell of, which is diffusers' own
    default."""
    diffusers = pytest.importorskip("diffusers")
    shapes = originals.control_shapes("control_model.", widths=(320, 640, 1280, 1280), **options)
    renamed = control_names(shapes)
    assert renamed.keys() == shapes.keys()
    config = control_config({new: shapes[name] for name, new in renamed.items()}, {"num_attention_heads": heads})
    published = {"cross_attention_dim": options["context"], "attention_head_dim": heads}
    published["use_linear_projection"] = "linear" in options
    with torch.device("meta"):
        ours = diffusers.ControlNetModel(**config).state_dict()
        theirs = diffusers.ControlNetModel(**published).state_dict()
    assert {name: tensor.shape for name, tensor in ours.items()} == {name: t.shape for name, t in theirs.items()}
    assert set(renamed.values()) == ours.keys()


# --- sampling


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' scheduler, numpy 2
@pytest.mark.parametrize(
    ("controls", "cfg"),
    [
        ([("edges.safetensors", 0.8, 0.0, 1.0)], 3.0),
        ([("edges.safetensors", 1.0, 0.25, 0.75), ("depth.pth", 0.5, 0.0, 0.5)], 1.0),
    ],
    ids=["one", "two for a part of the steps"],
)
def test_the_engine_agrees_with_diffusers_pipeline(
    folder: Path, parts: Components, crops: Array, controls: list[tuple[Any, ...]], cfg: float
) -> None:
    """Four Euler steps from pure noise over the same weights, hints from outside."""
    diffusers = pytest.importorskip("diffusers")
    rng = np.random.default_rng(4)
    hints = {name: rng.random(crops.shape, dtype=np.float32) for name, *_ in controls}
    files = [ControlFile(folder / name, *numbers, hint=name) for name, *numbers in controls]
    loaded = load_controls(files, CPU, parts.unet.config)
    ours = enhance_arrays(engine(parts, loaded), crops, WHOLE, asked(cfg=cfg), hints=hints)

    seeds = {"edges.safetensors": (5, ""), "depth.pth": (6, "control_model.")}
    nets = [converted(control_tensors(*seeds[name])) for name, *_ in controls]
    scheduler = diffusers.EulerDiscreteScheduler(**LINEAR, timestep_spacing="linspace")
    pipeline = diffusers.AnimateDiffControlNetPipeline(
        parts.vae, parts.texts[0].encoder, parts.texts[0].tokenizer, parts.unet, _no_adapter(diffusers), nets, scheduler
    )
    pipeline.set_progress_bar_config(disable=True)
    scheduler.set_timesteps(4)
    with torch.no_grad():
        clean = encoded(VaeCodec(parts.vae), crops)
    started = clean + initial_noise((FRAMES, 4, 8, 8), 9) * (NoiseTable.animatediff().sigma_max ** 2 + 1) ** 0.5
    pictures = [[_picture(frame) for frame in hints[name]] for name, *_ in controls]
    theirs = pipeline(
        prompt="smile", negative_prompt="blur", num_frames=FRAMES, height=SIZE, width=SIZE, num_inference_steps=4,
        guidance_scale=cfg, latents=(started / scheduler.init_noise_sigma).movedim(0, 1)[None], output_type="np",
        conditioning_frames=pictures, controlnet_conditioning_scale=[numbers[0] for _, *numbers in controls],
        control_guidance_start=[numbers[1] for _, *numbers in controls],
        control_guidance_end=[numbers[2] for _, *numbers in controls],
    ).frames[0]  # fmt: skip
    # float32 in another order through four steps from sigma 25 and the VAE, as without ControlNets.
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    plain = enhance_arrays(engine(parts), crops, WHOLE, asked(cfg=cfg))
    assert np.abs(ours - plain).max() > 0.01


def _picture(frame: Array) -> Any:
    """A picture of float pixels for the pipeline, which takes tensors as they are."""
    return torch.from_numpy(frame).movedim(-1, 0)[None]


def _no_adapter(diffusers: Any) -> Any:
    """The pipeline wants one beside a UNet that already holds its motion layers; it is not used then."""
    return diffusers.MotionAdapter(block_out_channels=(8,), motion_norm_num_groups=4, motion_num_attention_heads=1)


class Counting(torch.nn.Module):
    """A ControlNet whose calls are counted."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network, self.dtype, self.calls = network, network.dtype, []

    def forward(self, sample: Tensor, **inputs: Any) -> Any:
        self.calls.append((len(sample), inputs["controlnet_cond"]))
        return self.network(sample, **inputs)


def counted(folder: Path, parts: Components, **options: Any) -> tuple[Control, Counting]:
    (control,) = load_controls([ControlFile(folder / "edges.safetensors", **options)], CPU, parts.unet.config)
    network = Counting(control.network)
    return Control(control.file, network), network


def test_strength_zero_is_exactly_no_controlnet(folder: Path, parts: Components, crops: Array) -> None:
    controls = load_controls([ControlFile(folder / "edges.safetensors", 0.0)], CPU, parts.unet.config)
    assert controls[0].network is None  # not even loaded
    steered = enhance_arrays(engine(parts, controls), crops, WHOLE, asked())
    np.testing.assert_array_equal(steered, enhance_arrays(engine(parts), crops, WHOLE, asked()))


@pytest.mark.parametrize(
    ("start", "end", "steps"), [(0.0, 1.0, [0, 1, 2, 3]), (0.5, 1.0, [2, 3]), (0.0, 0.5, [0, 1]), (0.0, 0.0, [])]
)
def test_it_acts_for_its_share_of_the_steps_alone(
    folder: Path, parts: Components, crops: Array, start: float, end: float, steps: list[int]
) -> None:
    control, network = counted(folder, parts, start=start, end=end)
    shown = show((control,), CropSource.of(crops), {}, INDEX)
    rows = torch.zeros(1, 4, FRAMES, 8, 8)
    inputs = {"timestep": torch.tensor(1), "encoder_hidden_states": torch.zeros(FRAMES, 7, 64)}
    acted = []
    for step, sigma in enumerate(INDEX.sigmas[:-1]):
        with torch.no_grad():
            acted += [step] if shown.residuals(rows, sigma, inputs) else []
    assert acted == steps
    assert len(network.calls) == len(steps)


def test_guidance_runs_both_conditions_in_one_call(folder: Path, parts: Components, crops: Array) -> None:
    control, network = counted(folder, parts)
    enhance_arrays(engine(parts, (control,)), crops, WHOLE, asked(steps=2, cfg=3.0))
    assert [rows for rows, _ in network.calls] == [2 * FRAMES] * 2


def test_windows_slice_the_hints(folder: Path, parts: Components) -> None:
    """The frame of a hint can be read off its level; windows of a loop take the first frames again."""
    crops = np.linspace(0.1, 0.9, 5, dtype=np.float32)[:, None, None, None] * np.ones((5, SIZE, SIZE, 3), np.float32)
    control, network = counted(folder, parts, hint="tile")
    chosen = asked(steps=1, cfg=1.0, context_length=2, context_overlap=0, context_loop=True)
    enhance_arrays(engine(parts, (control,)), crops, WHOLE, chosen)
    levels = [hint[:, 0, 0, 0].tolist() for _, hint in network.calls]
    frames = [[round((level - 0.1) / 0.2) for level in window] for window in levels]
    assert frames == [[0, 1], [1, 2], [3, 4]]


def test_several_controlnets_add_up(folder: Path, parts: Components, crops: Array) -> None:
    names = ("edges.safetensors", "depth.pth")
    both = load_controls([ControlFile(folder / name) for name in names], CPU, parts.unet.config)
    rows = torch.randn(1, 4, FRAMES, 8, 8, generator=torch.manual_seed(0))
    inputs = {"timestep": torch.tensor(500), "encoder_hidden_states": torch.zeros(FRAMES, 7, 64)}
    with torch.no_grad():
        total, *each = (
            show(controls, CropSource.of(crops), {}, INDEX).residuals(rows, 8.0, inputs)
            for controls in (both, both[:1], both[1:])
        )
    middle = "mid_block_additional_residual"
    torch.testing.assert_close(total[middle], each[0][middle] + each[1][middle])
    levels = "down_block_additional_residuals"
    for whole, one, other in zip(total[levels], each[0][levels], each[1][levels], strict=True):
        torch.testing.assert_close(whole, one + other)


def test_a_file_that_is_used_twice_is_loaded_once(folder: Path, parts: Components) -> None:
    path = folder / "edges.safetensors"
    one, two = load_controls([ControlFile(path, hint="canny"), ControlFile(path)], CPU, parts.unet.config)
    assert one.network is two.network


def test_sliced_attention_gives_the_same_numbers(folder: Path, parts: Components) -> None:
    path = folder / "edges.safetensors"
    sliced = place("cpu", "float32", Memory(attention="sliced"))
    one, two = (load_controls([ControlFile(path)], where, parts.unet.config)[0].network for where in (CPU, sliced))
    assert {type(one).__name__ for one in two.attn_processors.values()} == {"SlicedAttnProcessor"}
    assert_same_outputs(one, two)


def test_hints_are_computed_from_the_crops(folder: Path, parts: Components, crops: Array) -> None:
    control, network = counted(folder, parts, hint="softedge")
    enhance_arrays(engine(parts, (control,)), crops, WHOLE, asked(steps=1, cfg=1.0))
    expected = torch.from_numpy(make_hint("softedge", crops)).movedim(-1, 1)
    torch.testing.assert_close(network.calls[0][1], expected, atol=0, rtol=0)


def test_hints_that_nobody_asks_for_or_nobody_gave(folder: Path, parts: Components, crops: Array) -> None:
    control, _ = counted(folder, parts, hint="depth.mp4")
    with pytest.raises(SettingsError, match=r"the hint 'depth.mp4', which is neither a hint that can be computed"):
        enhance_arrays(engine(parts, (control,)), crops, WHOLE, asked(steps=1))
    with pytest.raises(SettingsError, match="No ControlNet asks for the hint 'pose'; leave it out"):
        enhance_arrays(
            engine(parts, (control,)), crops, WHOLE, asked(steps=1), hints={"depth.mp4": crops, "pose": crops}
        )
    with pytest.raises(SettingsError, match="No ControlNet asks for the hint 'pose'"):
        enhance_arrays(engine(parts), crops, WHOLE, asked(steps=1), hints={"pose": crops})
