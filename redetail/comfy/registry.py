"""Which nodes appear in ComfyUI, and under which ids.

Every node has an id that begins with ``Redetail``. Nodes that stand in for those of the pack which saved workflows were
made with also answer to that pack's ids, unless the pack itself is installed: then its ids stay its own.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path

from redetail.comfy.schema import Node
from redetail.errors import UnknownNameError

logger = logging.getLogger(__name__)

VARIABLE = "REDETAIL_NODE_IDS"
"""Environment variable: ``auto`` (by what is installed), ``original`` (answer to both ids) or ``own``."""

_PREFIX = "Redetail"
_TOPICS = (
    *("detailer", "paste", "control", "pipes", "masks", "segs", "detectors", "preview", "gits"),
    *("filters", "mask_edits", "elements", "tiles"),
    *("detect", "track", "pick", "redetailer", "compare", "scheduler"),
)


def all_nodes() -> tuple[type[Node], ...]:
    """Every node class, by topic."""
    topics = (import_module(f"redetail.comfy.nodes.{topic}") for topic in _TOPICS)
    return tuple(node for topic in topics for node in topic.NODES)


def nodes_by_id() -> dict[str, type[Node]]:
    """Every node class by every id that it can have."""
    classes: dict[str, type[Node]] = {}
    for node in all_nodes():
        if not node.ID.startswith(_PREFIX):
            classes[_PREFIX + node.ID] = _own(node)
        classes[node.ID] = node
    return classes


def node_mappings() -> tuple[dict[str, type[Node]], dict[str, str]]:
    """NODE_CLASS_MAPPINGS and NODE_DISPLAY_NAME_MAPPINGS for this installation.

    Raises :class:`~redetail.errors.UnknownNameError` for another value of the environment variable.
    """
    original = _answers_to_original_ids()
    classes = {name: node for name, node in nodes_by_id().items() if original or name.startswith(_PREFIX)}
    return classes, {name: node.NAME for name, node in classes.items()}


def keep_ids(classes: Mapping[str, type[Node]], names: Mapping[str, str]) -> None:
    """Make sure that ComfyUI answers to all these ids with our nodes where ``original`` was asked for.

    Of two packs with one id ComfyUI keeps the one that it loads last, and it loads them in no certain order. So ours
    are entered again when its server starts, which is after all packs are loaded.
    """
    server, nodes = sys.modules.get("server"), sys.modules.get("nodes")
    if os.environ.get(VARIABLE) != "original" or server is None or nodes is None:
        return

    async def enter(_: object) -> None:
        nodes.NODE_CLASS_MAPPINGS.update(classes)
        nodes.NODE_DISPLAY_NAME_MAPPINGS.update(names)

    server.PromptServer.instance.app.on_startup.append(enter)


def _own(node: type[Node]) -> type[Node]:
    """The same node in our own category, under our own id."""
    changes = {
        "ID": _PREFIX + node.ID,
        "NAME": f"{node.NAME} · redetail",
        "CATEGORY": node.CATEGORY.replace("ImpactPack", _PREFIX),
        "__module__": node.__module__,
        "__doc__": node.__doc__,
    }
    return type(_PREFIX + node.__name__, (node,), changes)


def _answers_to_original_ids(environment: Mapping[str, str] = os.environ) -> bool:
    asked = environment.get(VARIABLE, "auto")
    if asked not in ("auto", "original", "own"):
        raise UnknownNameError(f"value of {VARIABLE}", asked, ("auto", "original", "own"))
    if asked != "auto":
        return asked == "original"
    pack = original_pack(custom_node_folders())
    if pack is not None:
        logger.info(
            "%s is installed and keeps its node IDs; the IDs of redetail's nodes start with %s.", pack.name, _PREFIX
        )
    return pack is None


def custom_node_folders() -> list[Path]:
    """Folders that the ComfyUI that runs takes packs from."""
    folder_paths = sys.modules.get("folder_paths")
    if folder_paths is None:
        return []
    return [Path(folder) for folder in folder_paths.get_folder_paths("custom_nodes")]


def original_pack(folders: Iterable[Path]) -> Path | None:
    """The folder of the pack whose ids these are, if it is in one of ``folders`` and not switched off.

    It is recognised by its own package, whatever its folder is called. Packs load in no certain order, so what is
    on the disk counts and not what is registered.
    """
    for folder in folders:
        for pack in sorted(folder.iterdir()) if folder.is_dir() else []:
            if pack.suffix != ".disabled" and (pack / "modules" / "impact" / "impact_pack.py").is_file():
                return pack
    return None
