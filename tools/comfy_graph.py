"""Graphs as ComfyUI saves them: nodes with sockets and widgets, links between them, and the prompt they stand for."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

from comfy_pages import nodes, stand_in

WIDGETS = ("INT", "FLOAT", "BOOLEAN", "STRING", "COMBO")
_SEEDS = ("seed", "noise_seed")  # ComfyUI puts a widget of its own after these: what becomes of the seed after a run
_UPLOADS = ("LoadVideo", "LoadImage")  # and after the file of these: the button that uploads one
_STEP = 400  # pixels from column to column
Slots = tuple[tuple[str, str], ...]


class Kind(NamedTuple):
    """Sockets and widgets of a node type: (name, type) in order."""

    pack: str
    inputs: Slots
    widgets: tuple[str, ...]
    outputs: Slots


def _kind(pack: str, inputs: str, widgets: str, outputs: str) -> Kind:
    """From ``name:TYPE`` words."""

    def slots(words: str) -> Slots:
        return tuple((word.split(":")[0], word.split(":")[1]) for word in words.split())

    return Kind(pack, slots(inputs), tuple(widgets.split()), slots(outputs))


CORE, ADE = "comfy-core", "comfyui-animatediff-evolved"
KNOWN: Mapping[str, Kind] = {
    "LoadVideo": _kind(CORE, "", "file", "VIDEO:VIDEO"),
    "GetVideoComponents": _kind(CORE, "video:VIDEO", "", "images:IMAGE audio:AUDIO fps:FLOAT"),
    "CreateVideo": _kind(CORE, "images:IMAGE audio:AUDIO fps:FLOAT", "fps", "VIDEO:VIDEO"),
    "SaveVideo": _kind(CORE, "video:VIDEO", "filename_prefix format codec", ""),
    "PreviewImage": _kind(CORE, "images:IMAGE", "", ""),
    "CheckpointLoaderSimple": _kind(CORE, "", "ckpt_name", "MODEL:MODEL CLIP:CLIP VAE:VAE"),
    "UNETLoader": _kind(CORE, "", "unet_name weight_dtype", "MODEL:MODEL"),
    "CLIPLoader": _kind(CORE, "", "clip_name type device", "CLIP:CLIP"),
    "VAELoader": _kind(CORE, "", "vae_name", "VAE:VAE"),
    "ModelSamplingSD3": _kind(CORE, "model:MODEL", "shift", "MODEL:MODEL"),
    "CLIPTextEncode": _kind(CORE, "clip:CLIP", "text", "CONDITIONING:CONDITIONING"),
    "ControlNetLoader": _kind(CORE, "", "control_net_name", "CONTROL_NET:CONTROL_NET"),
    "MarkdownNote": _kind(CORE, "", "text", ""),
    "ADE_AnimateDiffLoaderGen1": _kind(
        ADE, "model:MODEL context_options:CONTEXT_OPTIONS", "model_name beta_schedule", "MODEL:MODEL"
    ),
}


def kinds() -> dict[str, Kind]:
    """Every node type that a workflow may use, ours included."""
    with stand_in():
        return {**KNOWN, **{name: _own_kind(node) for name, node in nodes().items()}}


def _own_kind(node: Any) -> Kind:
    inputs, widgets = [], []
    for group, entries in node.INPUT_TYPES().items():
        for name, (kind, _) in entries.items() if group != "hidden" else ():
            if isinstance(kind, list) or kind in WIDGETS:
                widgets.append(name)
            else:
                inputs.append((name, kind))
    names = getattr(node, "RETURN_NAMES", None) or node.RETURN_TYPES
    return Kind("redetail", tuple(inputs), tuple(widgets), tuple(zip(names, node.RETURN_TYPES, strict=True)))


def widget_defaults(node: Any) -> dict[str, Any]:
    """Widget values of one of our nodes as ComfyUI would show them."""
    found = {}
    for group, entries in node.INPUT_TYPES().items():
        for name, (kind, extra) in entries.items() if group != "hidden" else ():
            if isinstance(kind, list) or kind in WIDGETS:
                found[name] = extra.get("default", kind[0] if isinstance(kind, list) else None)
    return found


@dataclass
class Graph:
    """A workflow in the making."""

    known: Mapping[str, Kind]
    defaults: Mapping[str, dict[str, Any]]
    nodes: list[dict[str, Any]] = field(default_factory=list)
    links: list[list[Any]] = field(default_factory=list)
    heights: dict[int, int] = field(default_factory=dict)

    def add(self, kind: str, column: int, widgets: Mapping[str, Any] | None = None, /, **inputs: Any) -> Out:
        """A node in a column, below those that are there; inputs are other nodes' outputs by name."""
        known, title = self.known[kind], None
        values = {**self.defaults.get(kind, {}), **(widgets or {})}
        title = values.pop("title", None)
        number = len(self.nodes) + 1
        sockets = [self._socket(number, place, name, type_, inputs) for place, (name, type_) in enumerate(known.inputs)]
        listed = list(_listed(kind, [(name, values[name]) for name in known.widgets]))
        height = 60 + 22 * max(len(sockets), len(known.outputs)) + 26 * len(listed)
        height += 160 if "text" in known.widgets or "sigmas" in known.widgets else 0
        top = self.heights.get(column, 60)
        self.heights[column] = top + height + 50
        node = {
            "id": number,
            "type": kind,
            "pos": [60 + _STEP * column, top],
            "size": [340, height],
            "flags": {},
            "order": number - 1,
            "mode": 0,
            "inputs": sockets,
            "outputs": [
                {"name": name, "type": type_, "links": [], "slot_index": place}
                for place, (name, type_) in enumerate(known.outputs)
            ],
            "properties": {"Node name for S&R": kind, "cnr_id": known.pack},
            "widgets_values": listed,
        }
        self.nodes.append({**node, "title": title} if title else node)
        return Out(number, known.outputs)

    def _socket(self, number: int, place: int, name: str, type_: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        socket: dict[str, Any] = {"name": name, "type": type_, "link": None}
        if type_ in WIDGETS:
            socket["widget"] = {"name": name}
        if name in inputs:
            origin, slot = inputs[name]
            link = len(self.links) + 1
            self.links.append([link, origin, slot, number, place, type_])
            self.nodes[origin - 1]["outputs"][slot]["links"].append(link)
            socket["link"] = link
        return socket

    def document(self) -> dict[str, Any]:
        """As ComfyUI saves it."""
        return {
            "id": f"00000000-0000-4000-8000-{sum(map(len, map(str, self.nodes))):012d}",
            "revision": 0,
            "last_node_id": len(self.nodes),
            "last_link_id": len(self.links),
            "nodes": self.nodes,
            "links": self.links,
            "groups": [],
            "config": {},
            "extra": {"ds": {"scale": 0.7, "offset": [0, 0]}},
            "version": 0.4,
        }


@dataclass(frozen=True)
class Out:
    """A node's number and outputs; ``out["images"]`` is what a link begins at."""

    number: int
    outputs: Slots

    def __getitem__(self, name: str) -> tuple[int, int]:
        return self.number, [known for known, _ in self.outputs].index(name)


def _listed(kind: str, values: list[tuple[str, Any]]) -> Iterator[Any]:
    """Widget values by position, with the widgets that ComfyUI adds itself."""
    for name, value in values:
        yield value
        if name in _SEEDS:
            yield "fixed"
        if kind in _UPLOADS:
            yield "image"


def api_prompt(workflow: Mapping[str, Any], known: Mapping[str, Kind]) -> dict[str, Any]:
    """A saved workflow as the server takes it: inputs by name."""
    origins = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    prompt = {}
    for node in workflow["nodes"]:
        kind = known[node["type"]]
        if node["type"] == "MarkdownNote":
            continue
        added = list(_listed(node["type"], [(name, name) for name in kind.widgets]))
        values = dict(zip(added, node["widgets_values"], strict=True))
        inputs = {name: values[name] for name in kind.widgets}
        inputs |= {socket["name"]: origins[socket["link"]] for socket in node["inputs"] if socket["link"] is not None}
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt
