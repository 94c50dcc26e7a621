"""Which ids the nodes have, and that they keep those that were asked for."""

import asyncio
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from redetail.comfy import registry
from redetail.errors import UnknownNameError


@pytest.fixture
def comfyui(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Stand-ins for ComfyUI's modules; packs lie in ``packs``, ``start`` is what its server does when it starts."""
    server, nodes, paths = ModuleType("server"), ModuleType("nodes"), ModuleType("folder_paths")
    hooks: list[Any] = []
    monkeypatch.setattr(
        server, "PromptServer", SimpleNamespace(instance=SimpleNamespace(app=SimpleNamespace(on_startup=hooks))),
        raising=False,
    )  # fmt: skip
    for name in ("NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"):
        monkeypatch.setattr(nodes, name, {}, raising=False)
    monkeypatch.setattr(paths, "get_folder_paths", lambda _: [str(tmp_path)], raising=False)
    for module in (server, nodes, paths):
        monkeypatch.setitem(sys.modules, module.__name__, module)

    def start() -> None:
        for hook in hooks:
            asyncio.run(hook(None))

    return SimpleNamespace(nodes=nodes, packs=tmp_path, start=start)


def install(folder: Path, name: str) -> None:
    module = folder / name / "modules" / "impact" / "impact_pack.py"
    module.parent.mkdir(parents=True)
    module.touch()


@pytest.mark.parametrize(
    ("asked", "installed", "original"),
    [
        (None, None, True),
        (None, "any-name", False),
        (None, "impact.disabled", True),
        ("auto", "impact", False),
        ("original", "impact", True),
        ("own", None, False),
    ],
)
def test_ids(
    comfyui: Any, monkeypatch: pytest.MonkeyPatch, asked: str | None, installed: str | None, original: bool
) -> None:
    monkeypatch.delenv(registry.VARIABLE, raising=False)
    if asked is not None:
        monkeypatch.setenv(registry.VARIABLE, asked)
    if installed is not None:
        install(comfyui.packs, installed)
    classes, names = registry.node_mappings()
    assert ("SEGSPaste" in classes) == original
    assert "RedetailSEGSPaste" in classes
    assert classes.keys() == names.keys()


def test_another_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(registry.VARIABLE, "both")
    with pytest.raises(UnknownNameError, match="'both'"):
        registry.node_mappings()


def test_ids_that_were_asked_for_are_kept_whatever_is_loaded_later(
    comfyui: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(registry.VARIABLE, "original")
    classes, names = registry.node_mappings()
    registry.keep_ids(classes, names)
    comfyui.nodes.NODE_CLASS_MAPPINGS.update({"SEGSPaste": object, "Theirs": object})
    comfyui.start()
    assert {**classes, "Theirs": object} == comfyui.nodes.NODE_CLASS_MAPPINGS
    assert names == comfyui.nodes.NODE_DISPLAY_NAME_MAPPINGS


@pytest.mark.parametrize("asked", [None, "auto", "own"])
def test_nothing_is_taken_from_another_pack_unasked(
    comfyui: Any, monkeypatch: pytest.MonkeyPatch, asked: str | None
) -> None:
    monkeypatch.delenv(registry.VARIABLE, raising=False)
    if asked is not None:
        monkeypatch.setenv(registry.VARIABLE, asked)
    registry.keep_ids(*registry.node_mappings())
    comfyui.nodes.NODE_CLASS_MAPPINGS["SEGSPaste"] = object
    comfyui.start()
    assert {"SEGSPaste": object} == comfyui.nodes.NODE_CLASS_MAPPINGS


def test_without_comfyui_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(registry.VARIABLE, "original")
    for name in ("server", "nodes"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    registry.keep_ids({}, {})
