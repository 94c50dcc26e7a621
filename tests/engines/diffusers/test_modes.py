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

from redetail.engines import load_engine
from redetail.engines.device import Placement
from redetail.engines.diffusers import modes
from redetail.engines.diffusers.codec import VaeCodec
from redetail.engines.diffusers.modes import apply_modes, awake
from redetail.engines.diffusers.parts import Parts
from redetail.engines.diffusers.single import load_spec_parts
from redetail.engines.memory import Memory, Modes
from redetail.engines.spec import ModelSpec
from redetail.settings import Settings

CPU = Placement(torch.device("cpu"), torch.float32)
CROPS = np.random.default_rng(3).random((4, 64, 64, 3), dtype=np.float32)
WHOLE = np.ones((1, 64, 64), np.float32)
ASKED = Settings(prompt="smile", cfg=2.0, steps=2, denoise=0.8, seed=9)


def enhanced(folder: Path, **asked: Any) -> NDArray[np.float32]:
    return load_engine(folder, device="cpu", memory=Memory(**asked)).enhance(CROPS, WHOLE, ASKED)


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
    codec, untiled = VaeCodec(vae), VaeCodec(load_spec_parts(ModelSpec(checkpoint=model_folder), CPU).vae)
    latents = torch.randn(1, 4, 12, 12, generator=torch.Generator().manual_seed(0))
    large, small = np.zeros((1, 96, 96, 3), np.float32), np.zeros((1, 64, 64, 3), np.float32)
    with torch.inference_mode():
        tiled, whole = (one.decode(latents, large, lambda: None) for one in (codec, untiled))
        assert (tiled != whole).any()
        assert np.abs(tiled - whole).mean() < 0.1
        same = [one.decode(latents[..., :8, :8], small, lambda: None) for one in (codec, untiled)]
    np.testing.assert_array_equal(*same)


def test_a_batch_of_the_vae_has_so_many_frames(model_folder: Path) -> None:
    vae = load_spec_parts(ModelSpec(checkpoint=model_folder), CPU).vae
    assert VaeCodec(vae, None, 3).calls((7, 64, 64, 3)) == 2 * 3
    assert VaeCodec(vae, 64 * 64 * 2).calls((7, 64, 64, 3)) == 2 * 4


def test_compiling_is_asked_of_the_unet_alone(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(nn.Module, "compile", lambda module: compiled.append(type(module).__name__))
    parts_with(model_folder, replace(CPU, modes=Modes(compile=True)))
    assert compiled == ["UNetMotionModel"]


class Movable:
    """Remembers where it was sent."""

    def __init__(self) -> None:
        self.places: list[str] = []

    def to(self, device: torch.device) -> None:
        self.places.append(str(device))


def test_a_part_is_awake_only_while_it_works() -> None:
    network = Movable()
    with awake(network, torch.device("cuda")):
        assert network.places == ["cuda"]
    assert network.places == ["cuda", "cpu"]
    with pytest.raises(ValueError, match="broken"), awake(network, torch.device("cuda")):
        raise ValueError("broken")
    assert network.places[-1] == "cpu"


def test_the_codec_and_the_text_wake_their_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    class Works:
        """A codec and a text conditioner in one that look whether their network is there."""

        size_multiple = 8

        def calls(self, shape: tuple[int, ...]) -> int:
            return 5

        def __call__(self, *arguments: Any, **options: Any) -> str:
            return network.places[-1]

        encode = decode = pair = __call__

    network, device = Movable(), torch.device("cuda")
    codec = modes.RestingCodec(Works(), network, device)
    text = modes.RestingText(Works(), network, device)
    assert (codec.size_multiple, codec.calls((1, 8, 8, 3))) == (8, 5)
    assert [codec.encode(CROPS, print), codec.decode(None, CROPS, print), text("a"), text.pair("a", "b")] == [
        "cuda"
    ] * 4
    assert network.places == ["cuda", "cpu"] * 4


def parts_with(folder: Path, placement: Placement) -> Parts:
    parts = load_spec_parts(ModelSpec(checkpoint=folder), placement)
    apply_modes(parts, placement)
    return parts
