"""Modes of memory and speed change how the networks compute, not what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from redetail.engines import enhance_arrays, load_engine
from redetail.engines.device import Placement
from redetail.engines.memory import Memory, Modes
from redetail.engines.offload import OffloadedCodec, OffloadedNetwork, on_device
from redetail.engines.spec import ControlFile, ModelSpec
from redetail.engines.stable_diffusion import control, memory
from redetail.engines.stable_diffusion.codec import VaeCodec
from redetail.engines.stable_diffusion.components import Components, load_components
from redetail.engines.stable_diffusion.memory import apply_modes, set_up
from redetail.geometry.latent_grid import LatentGrid
from redetail.settings import Settings
from tests.engines.coding import decoded

CPU = Placement(torch.device("cpu"), torch.float32)
CROPS = np.random.default_rng(3).random((4, 64, 64, 3), dtype=np.float32)
WHOLE = np.ones((1, 64, 64), np.float32)
ASKED = Settings(prompt="smile", cfg=2.0, steps=2, denoise=0.8, seed=9)


def enhanced(folder: Path, **asked: Any) -> NDArray[np.float32]:
    return enhance_arrays(load_engine(folder, device="cpu", memory=Memory(**asked)), CROPS, WHOLE, ASKED)


@pytest.fixture(scope="module")
def plain(model_folder: Path) -> NDArray[np.float32]:
    return enhanced(model_folder)


@pytest.mark.parametrize(
    "asked", [{"attention": "sliced"}, {"channels_last": True}, {"vae_batch": 3}], ids=lambda asked: next(iter(asked))
)
def test_the_numbers_stay(model_folder: Path, plain: NDArray[np.float32], asked: dict[str, Any]) -> None:
    """Sums in another order, through two steps and the VAE."""
    assert np.abs(enhanced(model_folder, **asked) - plain).max() < 2e-4


def test_parts_that_rest_elsewhere_change_no_bit(model_folder: Path, plain: NDArray[np.float32]) -> None:
    np.testing.assert_array_equal(enhanced(model_folder, offload=True), plain)


def test_precisions_of_parts_are_those_asked_for(model_folder: Path) -> None:
    parts = parts_with(model_folder, replace(CPU, vae_dtype=torch.bfloat16, text_dtype=torch.float16))
    assert (parts.unet.dtype, parts.vae.dtype, parts.texts[0].encoder.dtype) == (
        torch.float32,
        torch.bfloat16,
        torch.float16,
    )


def test_half_precision_of_single_parts_stays_near(model_folder: Path, plain: NDArray[np.float32]) -> None:
    """bfloat16 has eight bits: 1/256 of a value, through some layers."""
    difference = np.abs(enhanced(model_folder, vae_dtype="bfloat16", text_dtype="bfloat16") - plain)
    assert 0 < difference.mean() < 0.02


def test_tiles_are_used_for_crops_that_are_larger(model_folder: Path) -> None:
    """What tiles decode differs a little where they are blended, and hardly elsewhere."""
    vae = parts_with(model_folder, replace(CPU, modes=Modes(vae_tile=64))).vae
    codec, untiled = VaeCodec(vae), VaeCodec(load_components(ModelSpec(checkpoint=model_folder), CPU).vae)
    latents = torch.randn(1, 4, 12, 12, generator=torch.Generator().manual_seed(0))
    large, small = np.zeros((1, 96, 96, 3), np.float32), np.zeros((1, 64, 64, 3), np.float32)
    with torch.inference_mode():
        tiled, whole = (decoded(one, latents, large) for one in (codec, untiled))
        assert (tiled != whole).any()
        assert np.abs(tiled - whole).mean() < 0.1
        same = [decoded(one, latents[..., :8, :8], small) for one in (codec, untiled)]
    np.testing.assert_array_equal(*same)


def test_a_batch_of_the_vae_has_so_many_frames(model_folder: Path) -> None:
    vae = load_components(ModelSpec(checkpoint=model_folder), CPU).vae
    assert VaeCodec(vae, None, 3).calls((7, 64, 64, 3)) == 2 * 3
    assert VaeCodec(vae, 64 * 64 * 2).calls((7, 64, 64, 3)) == 2 * 4


def test_compiling_is_asked_of_the_unet_alone(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(nn.Module, "compile", lambda module: compiled.append(type(module).__name__))
    parts_with(model_folder, replace(CPU, modes=Modes(compile=True)))
    assert compiled == ["UNetMotionModel"]


@pytest.fixture(scope="module")
def steered(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    """The thin model beside a ControlNet."""
    diffusers = pytest.importorskip("diffusers")
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = diffusers.ControlNetModel(
            block_out_channels=(32, 64),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            layers_per_block=1,
            cross_attention_dim=32,
            attention_head_dim=4,
            norm_num_groups=8,
        )
        for weight in network.parameters():
            if weight.ndim == 4 and not weight.any():  # what training starts from
                torch.nn.init.normal_(weight, std=0.1)
    folder = tmp_path_factory.mktemp("control")
    network.save_pretrained(folder)
    return ModelSpec(checkpoint=model_folder, controls=(ControlFile(folder),))


@pytest.mark.parametrize(
    "asked", [{"attention": "sliced"}, {"channels_last": True}, {"offload": True}], ids=lambda asked: next(iter(asked))
)
def test_modes_reach_controlnets_and_the_numbers_stay(
    steered: ModelSpec, plain: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    """Each is set up as the UNet is, and gives what it gives otherwise."""
    seen: list[str] = []
    monkeypatch.setattr(control, "set_up", lambda network, modes: (seen.append(str(modes)), set_up(network, modes))[1])
    with_it, without = (
        enhance_arrays(load_engine(steered, device="cpu", memory=Memory(**memory)), CROPS, WHOLE, ASKED)
        for memory in (asked, {})
    )
    assert np.abs(with_it - without).max() < 2e-4  # sums in another order, through two steps and the VAE
    assert np.abs(without - plain).max() > 1e-3
    name, value = next(iter(asked.items()))
    assert f"{name}={value!r}" in seen[0]


def test_a_controlnet_is_channels_last_compiled_and_asleep(steered: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(nn.Module, "compile", lambda module: compiled.append(type(module).__name__))
    unet = load_components(ModelSpec(checkpoint=steered.checkpoint), CPU).unet
    ready = replace(CPU, modes=Modes(channels_last=True, compile=True))
    (loaded,) = control.load_controls(steered.controls, ready, unet.config)
    assert compiled == ["ControlNetModel"]
    assert loaded.network.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    (offloaded,) = control.load_controls(steered.controls, replace(CPU, modes=Modes(offload=True)), unet.config)
    assert isinstance(offloaded.network, OffloadedNetwork)
    assert offloaded.network.dtype == torch.float32


def test_a_network_wakes_when_it_is_called() -> None:
    class Works(Movable):
        def to(self, device: torch.device) -> Works:
            super().to(device)
            return self

        def __call__(self, x: int) -> tuple[int, str]:
            return x, self.places[-1]

    network = Works()
    offloaded = OffloadedNetwork(network, torch.device("cuda"))
    assert offloaded(3) == (3, "cuda")
    assert network.places == ["cpu", "cuda", "cpu"]


class Movable:
    """Remembers where it was sent."""

    def __init__(self) -> None:
        self.places: list[str] = []

    def to(self, device: torch.device) -> None:
        self.places.append(str(device))


def test_a_part_is_awake_only_while_it_works() -> None:
    network = Movable()
    with on_device(network, torch.device("cuda")):
        assert network.places == ["cuda"]
    assert network.places == ["cuda", "cpu"]
    with pytest.raises(ValueError, match="broken"), on_device(network, torch.device("cuda")):
        raise ValueError("broken")
    assert network.places[-1] == "cpu"


def test_the_codec_and_the_text_wake_their_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    class Works:
        """A codec and a text conditioner in one that look whether their network is there."""

        grid = LatentGrid(8)

        def calls(self, shape: tuple[int, ...]) -> int:
            return 5

        def __call__(self, *arguments: Any, **options: Any) -> str:
            return network.places[-1]

        def decode(self, latents: Any, crops: Any, write: Any, tick: Any) -> None:
            write(self())

        encode = pair = pooled = __call__

    network, device = Movable(), torch.device("cuda")
    codec = OffloadedCodec(Works(), network, device)
    text = memory.OffloadedPromptEncoder(Works(), network, device)
    assert (codec.grid.spatial, codec.calls((1, 8, 8, 3))) == (8, 5)
    coded: list[Any] = [codec.encode(CROPS, print)]
    codec.decode(None, CROPS, coded.append, print)
    assert [*coded, text("a"), text.pair("a", "b"), text.pooled("a")] == ["cuda"] * 5
    assert network.places == ["cuda", "cpu"] * 5


def parts_with(folder: Path, placement: Placement) -> Components:
    parts = load_components(ModelSpec(checkpoint=folder), placement)
    apply_modes(parts, placement)
    return parts
