"""A node is one module and its name in the registry: everything that ComfyUI shows follows."""

import sys

import pytest
import torch

from redetail.comfy import registry
from tests.comfy import toy_node
from tools import comfy_pages


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module in its place, and the line of the registry."""
    monkeypatch.setitem(sys.modules, "redetail.comfy.nodes.mirror", toy_node)
    monkeypatch.setattr(registry, "_TOPICS", (*registry._TOPICS, "mirror"))


def test_comfyui_gets_it() -> None:
    classes, names = registry.node_mappings()
    assert classes["RedetailMirror"] is toy_node.RedetailMirror
    assert names["RedetailMirror"] == "Redetail Mirror"


def test_its_page_and_its_names_are_made_from_it() -> None:
    with comfy_pages.stand_in():
        made = comfy_pages.files()
    page = made[comfy_pages.PAGES / "RedetailMirror.md"]
    assert "| `share` | FLOAT | 1 | 0 to 1 | Share of the mirrored frame: 0 keeps the clip. |" in page
    assert '"display_name": "Redetail Mirror"' in made[comfy_pages.LOCALE]


def test_it_runs() -> None:
    node = registry.nodes_by_id()["RedetailMirror"]
    frames = torch.rand(2, 4, 6, 3)
    (mirrored,) = getattr(node(), node.FUNCTION)(image_frames=frames, share=1.0)
    assert torch.equal(mirrored, frames.flip(2))
