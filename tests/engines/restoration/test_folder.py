"""Model folders: what is saved can be loaded, what is broken is named."""

import dataclasses
from pathlib import Path

import pytest
import torch

from redetail.engines.restoration import ModelCard, NetworkConfig, RestorationUNet, load, save
from redetail.errors import ModelError

TINY = NetworkConfig(
    channels=(8, 16), down_blocks=(1, 1), up_blocks=(1, 1), motion_channels=(4, 8), motion_heads=(1, 2)
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save(tmp_path, RestorationUNet(TINY), ModelCard(name="tiny", defaults={"steps": 2}))
    return tmp_path


def test_round_trip_in_half_precision(folder: Path) -> None:
    torch.manual_seed(0)
    original = RestorationUNet(TINY).state_dict()
    network, draft, codec, card, inventive = load(folder)
    assert (draft, inventive) == (None, None)
    assert codec.config == network.config == TINY
    assert card.defaults == {"steps": 2}
    assert not network.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, original[name].half().float()), name


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "card.json"])
@pytest.mark.parametrize("content", [None, "{", '{"unknown": 1}', "[]"])
def test_broken_files_are_named(folder: Path, name: str, content: str | None) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    with pytest.raises(ModelError, match=name):
        load(folder)


@pytest.fixture
def drafted(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network, draft = RestorationUNet(dataclasses.replace(TINY, drafted=True)), RestorationUNet(TINY)
    save(tmp_path, network, ModelCard(name="two passes"), draft)
    return tmp_path


def test_both_networks_are_kept(drafted: Path) -> None:
    torch.manual_seed(0)
    RestorationUNet(dataclasses.replace(TINY, drafted=True))
    original = RestorationUNet(TINY).state_dict()
    network, draft, *_ = load(drafted)
    assert draft is not None
    assert (network.config.drafted, draft.config.drafted) == (True, False)
    for name, value in draft.state_dict().items():
        assert torch.equal(value, original[name].half().float()), name


def test_missing_drafting_network_is_named(drafted: Path) -> None:
    (drafted / "draft.safetensors").unlink()
    with pytest.raises(ModelError, match=r"draft\.safetensors"):
        load(drafted)


def test_another_model_leaves_no_drafting_network_behind(drafted: Path) -> None:
    save(drafted, RestorationUNet(TINY), ModelCard())
    assert not (drafted / "draft.safetensors").exists()
    assert load(drafted).draft is None
