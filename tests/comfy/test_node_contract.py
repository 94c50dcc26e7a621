"""Saved workflows refer to ids, input names, orders, ranges and outputs: none of them may change."""

import json
import pkgutil
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import redetail.comfy.nodes
from redetail.comfy.registry import all_nodes
from redetail.comfy.schema import Node

FOLDER = Path(__file__).parent / "contract"
CONTRACT = {**json.loads((FOLDER / "nodes.json").read_text()), **json.loads((FOLDER / "nodes_more.json").read_text())}
COMBOS = CONTRACT.pop("_combos")
OPTIONS = {"COMBO:samplers": COMBOS["samplers"], "COMBO:schedulers": COMBOS["impact_schedulers"]}


def every_class() -> list[type[Node]]:
    names = [module.name for module in pkgutil.iter_modules(redetail.comfy.nodes.__path__)]
    modules = [import_module(f"redetail.comfy.nodes.{name}") for name in names]
    return [node for module in modules for node in getattr(module, "NODES", ())]


CLASSES = {node.ID: node for node in every_class()}
COMPATIBLE = [node for name, node in CLASSES.items() if name in CONTRACT]


@pytest.fixture(autouse=True)
def comfy_of_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samplers and schedules are those of the ComfyUI that runs: here those that the contract was recorded from."""
    comfy, samplers = ModuleType("comfy"), ModuleType("comfy.samplers")
    names = SimpleNamespace(SAMPLERS=COMBOS["samplers"], SCHEDULERS=COMBOS["schedulers"])
    monkeypatch.setattr(comfy, "samplers", samplers, raising=False)
    monkeypatch.setattr(samplers, "KSampler", names, raising=False)
    monkeypatch.setitem(sys.modules, "comfy", comfy)
    monkeypatch.setitem(sys.modules, "comfy.samplers", samplers)


def declared(node: type[Node]) -> dict[str, list[list[Any]]]:
    """The inputs of a node in the contract's form."""
    return {
        group: [[name, kind, {key: extra[key] for key in extra if key != "tooltip"}] for name, (kind, extra) in pairs]
        for group, entries in node.INPUT_TYPES().items()
        if (pairs := list(entries.items()))
    }


def expected(entry: dict[str, Any]) -> dict[str, list[list[Any]]]:
    """The contract's inputs with the names of samplers and schedules filled in."""
    return {
        group: [
            [name, OPTIONS.get(kind, kind) if isinstance(kind, str) else kind, extra] for name, kind, extra in inputs
        ]
        for group, inputs in entry["inputs"].items()
        if inputs
    }


def test_every_node_of_the_contract_is_there() -> None:
    assert set(CONTRACT) <= set(CLASSES)


def test_all_of_them_are_registered() -> None:
    assert set(all_nodes()) == set(every_class())


def test_no_id_is_taken_twice() -> None:
    assert len(CLASSES) == len(every_class())


@pytest.mark.parametrize("node", COMPATIBLE, ids=lambda node: node.ID)
def test_inputs_are_those_of_the_contract_in_its_order(node: type[Node]) -> None:
    assert declared(node) == expected(CONTRACT[node.ID])


@pytest.mark.parametrize("node", COMPATIBLE, ids=lambda node: node.ID)
def test_outputs_and_kind_are_those_of_the_contract(node: type[Node]) -> None:
    entry = CONTRACT[node.ID]
    assert list(node.RETURN_TYPES) == entry["returns"]
    assert list(getattr(node, "RETURN_NAMES", ())) == entry["return_names"]
    assert list(getattr(node, "OUTPUT_IS_LIST", ())) == entry["output_is_list"]
    assert getattr(node, "INPUT_IS_LIST", False) == entry["input_is_list"]
    assert getattr(node, "OUTPUT_NODE", False) == entry["output_node"]
    assert (entry["category"], entry["function"]) == (node.CATEGORY, node.FUNCTION)


@pytest.mark.parametrize("node", CLASSES.values(), ids=lambda node: node.ID)
def test_every_node_explains_itself(node: type[Node]) -> None:
    assert len(node.OUTPUT_TOOLTIPS) == len(node.RETURN_TYPES)
    assert all(text.endswith(".") for text in (*node.OUTPUT_TOOLTIPS, node.DESCRIPTION))
    assert callable(getattr(node(), node.FUNCTION))
    assert node.NAME
    assert node.SEARCH_ALIASES
    tips = {name: extra["tooltip"] for group in node.INPUT_TYPES().values() for name, (_, extra) in group.items()}
    assert {name for name, tip in tips.items() if not tip.endswith(".")} == set()
