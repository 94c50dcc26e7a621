"""Runs nodes of the Impact Pack in a separate process, so that nothing of it enters ours.

    python original_nodes.py COMFYUI PACK FOLDER < calls > results

with ComfyUI's own Python; FOLDER is one that may be written to. Both streams are pickles: a list of calls
``(id, inputs)``, and for each ``("gave", outputs)`` or ``("failed", message)``. A SEG travels as ``("SEG", fields)``,
SEGS as ``("SEGS", header, [SEG, ...])``,
and a detector that finds them as ``("DETECTOR", SEGS)``.
"""

from __future__ import annotations

import asyncio
import importlib.util
import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def main(comfyui: str, pack: str, folder: str) -> None:
    """Load the pack as ComfyUI does, run every call, and answer."""
    calls = pickle.load(sys.stdin.buffer)
    answers, sys.stdout = sys.stdout.buffer, sys.stderr  # the pack prints
    sys.path.insert(0, comfyui)
    sys.argv[1:] = ["--cpu", "--base-directory", folder]
    import comfy.options

    comfy.options.enable_args_parsing()
    import utils.install_util  # noqa: F401, I001  # before ComfyUI 0.3 puts a module of that name in its way

    import server

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    server.PromptServer(loop)
    nodes = load(Path(pack))
    from impact.core import SEG

    pickle.dump([answer(nodes, SEG, *call) for call in calls], answers)


def load(pack: Path) -> dict[str, Any]:
    """The node classes of the pack by id."""
    # A separate repository; without it the pack does not load, and none of its nodes is needed here.
    absent = ModuleType("impact.subpack_nodes")
    absent.NODE_CLASS_MAPPINGS, absent.NODE_DISPLAY_NAME_MAPPINGS = {}, {}  # type: ignore[attr-defined]
    sys.modules.setdefault("impact.subpack_nodes", absent)
    spec = importlib.util.spec_from_file_location("pack", pack / "__init__.py", submodule_search_locations=[str(pack)])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["pack"] = module
    spec.loader.exec_module(module)
    found: dict[str, Any] = module.NODE_CLASS_MAPPINGS
    return found


def answer(nodes: dict[str, Any], seg: Any, name: str, inputs: dict[str, Any]) -> tuple[str, Any]:
    """What a node gives, or how it fails."""
    node = nodes[name]()
    try:
        given = {key: unpacked(value, seg) for key, value in inputs.items()}
        return "gave", [packed(value) for value in getattr(node, node.FUNCTION)(**given)]
    except Exception as error:  # noqa: BLE001  # whatever goes wrong in the pack is an answer
        return "failed", f"{type(error).__name__}: {error}"


class Detector:
    """A detector that always finds the same."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def detect(self, *values: Any, **named: Any) -> Any:
        return self._found


def unpacked(value: Any, seg: Any) -> Any:
    """Segments of the class ``seg``, and a detector that finds them."""
    match value:
        case ("SEG", fields):
            return seg(*fields)
        case ("SEGS", header, segments):
            return header, [unpacked(segment, seg) for segment in segments]
        case ("DETECTOR", segments):
            return Detector(unpacked(segments, seg))
    return value


def packed(value: Any) -> Any:
    """Segments as plain tuples."""
    if hasattr(value, "cropped_mask"):
        return "SEG", tuple(value)
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], list):
        return "SEGS", tuple(value[0]), [packed(segment) for segment in value[1]]
    return value


if __name__ == "__main__":
    main(*sys.argv[1:])
