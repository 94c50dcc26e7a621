"""Widgets that stand for a setting follow its declaration; the original nodes' are as workflows hold them."""

from collections.abc import Iterator
from typing import Any

import pytest

from redetail.comfy.nodes.common import ORIGINAL
from redetail.comfy.registry import all_nodes
from redetail.comfy.schema import Node, widget
from redetail.settings import Settings, setting
from tools.comfy_pages import stand_in

# Inputs that are called otherwise than the setting they stand for.
SETTINGS = {"noise_mask_feather": "mask_feather", "feather": "paste_feather"}
NAMES = {
    *("guide_size", "max_size", "crop_factor", "seed", "steps", "cfg", "denoise", "refiner_ratio", "color_match"),
    *SETTINGS,
}
# What another choice of the node explains: a wider or a tighter crop suits it better.
DEFAULTS = {("RedetailTrack", "crop_factor"): 2.0}


def stand_ins() -> Iterator[tuple[type[Node], str, dict[str, Any]]]:
    """Every input of our own nodes that stands for a setting."""
    with stand_in():
        for node in (node for node in all_nodes() if node.ID.startswith("Redetail")):
            for group in node.INPUT_TYPES().values():
                for name, (_, limits) in group.items():
                    if name in NAMES:
                        yield node, name, limits


STAND_INS = [pytest.param(*found, id=f"{found[0].ID}-{found[1]}") for found in stand_ins()]


@pytest.mark.parametrize(("node", "name", "limits"), STAND_INS)
def test_our_own_nodes_have_the_limits_of_the_settings(node: type[Node], name: str, limits: dict[str, Any]) -> None:
    kept = {key: value for key, value in limits.items() if key != "tooltip"}
    expected = dict(widget(SETTINGS.get(name, name))[1])
    del expected["tooltip"]
    if (node.ID, name) in DEFAULTS:
        expected["default"] = DEFAULTS[node.ID, name]
    assert kept == expected


def test_there_are_such_widgets() -> None:
    found = {(node.ID, name) for node, name, _ in stand_ins()}
    assert {("RedetailDetailer", "guide_size"), ("RedetailPaste", "feather"), ("RedetailTrack", "crop_factor")} <= found


@pytest.mark.parametrize("name", ORIGINAL)
def test_the_original_nodes_allow_nothing_that_the_settings_refuse(name: str) -> None:
    limits = widget(name, **ORIGINAL[name])[1]
    for key in ("default", "min", "max"):
        Settings(**{name: limits[key]})
    assert ORIGINAL[name] != {key: setting(name).metadata.get(key) for key in ORIGINAL[name]}


def test_a_tooltip_is_the_meaning_with_its_unit() -> None:
    assert (
        widget("max_size")[1]["tooltip"]
        == "Maximum length of the longer side of a crop while it is processed, in pixels."
    )
    assert "see guide_size_for" in widget("guide_size")[1]["tooltip"]
    kind, limits = widget("mask_feather", more="0 is hard.", max=50)
    assert (kind, limits["max"]) == ("INT", 50)
    assert limits["tooltip"].endswith("in pixels of the crop. 0 is hard.")
    assert widget("color_match")[0] == "BOOLEAN"
