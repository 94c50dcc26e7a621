"""Model folders: what is saved can be loaded, what is broken is named."""

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
    network, codec, card = load(folder)
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
