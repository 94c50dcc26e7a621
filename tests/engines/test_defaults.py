"""Defaults of models, without loading them."""

from redetail.engines import load_engine
from redetail.engines.defaults import default_settings
from redetail.settings import Settings, resolve


def test_those_of_the_bundled_model_are_those_of_its_engine() -> None:
    capabilities = load_engine(None, device="cpu").capabilities
    assert default_settings() == resolve({}, capabilities.defaults)


def test_those_of_a_name_on_the_hub_are_those_of_the_node() -> None:
    assert default_settings("nobody/has-this-model") == Settings()
