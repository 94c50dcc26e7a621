"""`denoise` as a dial: from the crop through the faithful network to the inventive one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from redetail.engines import Engine, enhance_arrays, load_engine
from redetail.engines.restoration import ModelCard, NetworkConfig, RestorationUNet, load, save
from redetail.engines.restoration.dial import FAITHFUL, Dial, mixture
from redetail.errors import ModelError
from redetail.settings import resolve

CONFIG = NetworkConfig(
    channels=(8, 16), down_blocks=(1, 1), up_blocks=(1, 1), motion_channels=(4, 8), motion_heads=(1, 2)
)
CARD = ModelCard(context_length=8, defaults={"steps": 1, "denoise": 1.0, "cfg": 1.0})


def network(seed: int) -> RestorationUNet:
    torch.manual_seed(seed)
    made = RestorationUNet(CONFIG)
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.05)
    return made.half().float().requires_grad_(False)


FIRST, SECOND = network(1), network(2)


def engine(folder: Path, first: RestorationUNet, second: RestorationUNet | None) -> Engine:
    save(folder, first, CARD, inventive=second)
    return load_engine(folder, device="cpu", dtype="float32")


def restored(engine: Engine, denoise: float, steps: int = 1) -> np.ndarray:
    crops = np.random.default_rng(3).random((3, 32, 32, 3), np.float32) * 0.4 + 0.3
    settings = resolve({"denoise": denoise, "steps": steps}, engine.capabilities.defaults)
    return enhance_arrays(engine, crops, np.ones((1, 32, 32), np.float32), settings)


@pytest.mark.parametrize("steps", [1, 3])
def test_its_middle_is_the_faithful_network_bit_for_bit(tmp_path: Path, steps: int) -> None:
    alone = restored(engine(tmp_path / "alone", FIRST, None), 1.0, steps)
    both = engine(tmp_path / "both", FIRST, SECOND)
    restored(both, 0.8, steps)  # a mixture leaves the networks as they are
    assert np.array_equal(restored(both, FAITHFUL, steps), alone)


def test_its_end_is_the_inventive_network_bit_for_bit(tmp_path: Path) -> None:
    alone = restored(engine(tmp_path / "alone", SECOND, None), 1.0)
    assert np.array_equal(restored(engine(tmp_path / "both", FIRST, SECOND), 1.0), alone)


def test_below_its_middle_it_fades_to_the_crop(tmp_path: Path) -> None:
    alone = engine(tmp_path / "alone", FIRST, None)
    both = engine(tmp_path / "both", FIRST, SECOND)
    assert np.array_equal(restored(both, 0.2), restored(alone, 0.2 / FAITHFUL))


def test_between_its_middle_and_its_end_weights_are_mixed(tmp_path: Path) -> None:
    mixed = mixture(FIRST, SECOND, 0.5)
    for weight, first, second in zip(mixed.parameters(), FIRST.parameters(), SECOND.parameters(), strict=True):
        torch.testing.assert_close(weight, (first + second) / 2)
    dial = Dial(FIRST, SECOND)
    assert dial.network(0.75) is dial.network(0.75)
    assert dial.network(0.75) is not dial.network(0.9)
    assert [dial.share(value) for value in (0.25, 0.5, 0.75, 1.0)] == [0.5, 1.0, 1.0, 1.0]


def test_without_an_inventive_network_it_weighs_the_residual(tmp_path: Path) -> None:
    alone = engine(tmp_path, FIRST, None)
    crops = restored(alone, 0.0001)
    half, whole = restored(alone, 0.5) - crops, restored(alone, 1.0) - crops
    np.testing.assert_allclose(half, whole / 2, atol=1e-4)


def test_the_folder_keeps_it(tmp_path: Path) -> None:
    save(tmp_path, FIRST, CARD, inventive=SECOND)
    loaded = load(tmp_path).inventive
    assert loaded is not None
    assert all(torch.equal(value, SECOND.state_dict()[name]) for name, value in loaded.state_dict().items())
    save(tmp_path, FIRST, CARD)
    assert load(tmp_path).inventive is None


def test_one_of_another_shape_is_refused(tmp_path: Path) -> None:
    other = RestorationUNet(dataclasses.replace(CONFIG, channels=(8, 24)))
    save(tmp_path, FIRST, CARD, inventive=other)
    with pytest.raises(ModelError, match=r"inventive\.safetensors"):
        load(tmp_path)
