"""The network's configuration: its file, and the sizes that follow from it."""

import pytest

from redetail.engines.restoration import NetworkConfig
from redetail.errors import ModelError


def test_configuration_survives_json() -> None:
    config = NetworkConfig(channels=(8, 16), motion_heads=(1, 2), latent_scale=(0.5,) * 48, tasks=("sharpen",), reach=1)
    assert NetworkConfig.from_json(config.to_json()) == config


def test_sizes_follow_from_the_cell_and_the_levels() -> None:
    config = NetworkConfig(channels=(8, 16), reach=2)
    assert config.size_multiple == 8
    assert config.latent_channels == 48
    assert config.condition_channels == 5 * 48


def test_an_unknown_key_is_no_configuration() -> None:
    with pytest.raises(
        ModelError, match=r"config\.json does not describe a restoration network: it has the unknown key 'colour'"
    ):
        NetworkConfig.from_json('{"colour": 1}')
