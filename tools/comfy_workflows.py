"""Write the example workflows that ComfyUI offers in its template browser.

    python tools/comfy_workflows.py            # writes example_workflows/*.json
    python tools/comfy_workflows.py --check    # exits with 1 and names the files that are not up to date

Sockets and widgets of our nodes come from their classes, so that an example cannot lag behind them. What is used of
ComfyUI and other packs is declared below. ``api_prompt`` turns a workflow into what ComfyUI's server takes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

from comfy_pages import ROOT, nodes, stand_in

FOLDER = ROOT / "example_workflows"
_WIDGETS = ("INT", "FLOAT", "BOOLEAN", "STRING", "COMBO")
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
            if isinstance(kind, list) or kind in _WIDGETS:
                widgets.append(name)
            else:
                inputs.append((name, kind))
    names = getattr(node, "RETURN_NAMES", None) or node.RETURN_TYPES
    return Kind("redetail", tuple(inputs), tuple(widgets), tuple(zip(names, node.RETURN_TYPES, strict=True)))


def _defaults(node: Any) -> dict[str, Any]:
    """Widget values of one of our nodes as ComfyUI would show them."""
    found = {}
    for group, entries in node.INPUT_TYPES().items():
        for name, (kind, extra) in entries.items() if group != "hidden" else ():
            if isinstance(kind, list) or kind in _WIDGETS:
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
        if type_ in _WIDGETS:
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


# The examples ----------------------------------------------------------------------------------------------------

FACE = "close-up portrait photo of a man, detailed skin, sharp eyes, natural light"
BAD = "blurry, deformed, cartoon, low quality"
_VIDEO = {"file": "clip.mp4", "title": "Your clip"}


def tracked_faces(graph: Graph) -> None:
    """Faces, the bundled model, no checkpoint."""
    _note(
        graph,
        "## Sharper faces with no checkpoint\n\nRedetail Track finds and follows the faces, Redetail Detailer restores "
        "them with the small model that comes with redetail, Redetail Paste puts back what was changed.\n\n"
        "1. Choose a clip in *Load Video*.\n2. Run.\n3. Look at the comparison and at the flicker curve.\n\n"
        "More people: raise `subjects`. Nothing is downloaded.",
    )
    clip = _clip(graph)
    segs = graph.add("RedetailTrack", 2, {"crop_factor": 1.8}, image_frames=clip["images"])
    detailed = graph.add("RedetailDetailer", 3, image_frames=clip["images"], segs=segs["segs"])
    _finish(graph, clip, detailed, "redetail/faces")


def animatediff_face(graph: Graph) -> None:
    """AnimateDiff-Evolved and Stable Diffusion 1.5, with the nodes of saved workflows."""
    _note(
        graph,
        "## Face detail with AnimateDiff\n\nNeeds AnimateDiff-Evolved, a Stable Diffusion 1.5 checkpoint and a motion "
        "model.\n\nThe detailer sees all frames of the face together, so it does not flicker. Clips longer than the "
        "motion model can take are sampled in context windows by themselves.\n\nStart with `denoise` 0.35 and go up.",
    )
    clip = _clip(graph)
    pipe = _animatediff(graph, "v1-5-pruned-emaonly-fp16.safetensors", FACE, BAD)
    detector = graph.add("RedetailDetect", 1)
    segs = graph.add(
        "RedetailImpactSimpleDetectorSEGS_for_AD",
        2,
        {"crop_factor": 2.5},
        bbox_detector=detector["bbox_detector"],
        image_frames=clip["images"],
    )
    detailed = graph.add(
        "RedetailSEGSDetailerForAnimateDiff",
        3,
        {"denoise": 0.35, "cfg": 6.0, "sampler_name": "euler", "scheduler": "normal"},
        image_frames=clip["images"],
        segs=segs["SEGS"],
        basic_pipe=pipe["basic_pipe"],
    )
    _finish(graph, clip, detailed, "redetail/animatediff", paste="RedetailSEGSPaste")


def controlnet_face(graph: Graph) -> None:
    """A tile ControlNet keeps the face alike at a higher denoise."""
    _note(
        graph,
        "## With a ControlNet\n\nNeeds AnimateDiff-Evolved and a tile ControlNet; with Advanced-ControlNet each "
        "context window gets its own hints.\n\nThe crop itself is the hint, at the size that is sampled. So `denoise` "
        "may be 0.6 and the face stays alike.",
    )
    clip = _clip(graph)
    pipe = _animatediff(graph, "v1-5-pruned-emaonly-fp16.safetensors", FACE, BAD)
    net = graph.add("ControlNetLoader", 1, {"control_net_name": "control_v11f1e_sd15_tile_fp16.safetensors"})
    segs = graph.add("RedetailTrack", 2, {"crop_factor": 2.5}, image_frames=clip["images"])
    told = graph.add(
        "RedetailImpactControlNetApplySEGS", 2, {"strength": 0.6}, segs=segs["segs"], control_net=net["CONTROL_NET"]
    )
    detailed = graph.add(
        "RedetailDetailer",
        3,
        {"denoise": 0.6, "cfg": 6.0, "sampler_name": "euler", "scheduler": "normal"},
        image_frames=clip["images"],
        segs=told["SEGS"],
        basic_pipe=pipe["basic_pipe"],
    )
    _finish(graph, clip, detailed, "redetail/controlnet")


def refiner_face(graph: Graph) -> None:
    """A second checkpoint paints the last steps."""
    _note(
        graph,
        "## With a refiner\n\nThe first checkpoint begins, the second takes over for the last `refiner_ratio` of the "
        "steps: for example a general model for the shape and one for portraits for the skin. Both are Stable "
        "Diffusion 1.5, and both get the motion model.",
    )
    clip = _clip(graph)
    pipe = _animatediff(graph, "v1-5-pruned-emaonly-fp16.safetensors", FACE, BAD)
    second = _animatediff(graph, "dreamshaper_8.safetensors", "skin texture, sharp eyes, film grain", BAD)
    segs = graph.add("RedetailTrack", 2, {"crop_factor": 2.5}, image_frames=clip["images"])
    schedule = graph.add("RedetailScheduler", 2, {"scheduler": "karras"})
    detailed = graph.add(
        "RedetailDetailer",
        3,
        {"denoise": 0.45, "cfg": 6.0, "refiner_ratio": 0.4, "sampler_name": "dpmpp_2m", "scheduler": "karras"},
        image_frames=clip["images"],
        segs=segs["segs"],
        basic_pipe=pipe["basic_pipe"],
        refiner_basic_pipe_opt=second["basic_pipe"],
        scheduler_func_opt=schedule["scheduler_func"],
    )
    _finish(graph, clip, detailed, "redetail/refiner")


def wan_face(graph: Graph) -> None:
    """A video model does the painting."""
    _note(
        graph,
        "## With a video model\n\nWan paints the crop as a clip of its own; frame counts and sizes that it does not "
        "take are padded and cut off again.\n\n`denoise` 0.2 to 0.35 keeps the person; `max_size` 640 saves memory.",
    )
    clip = _clip(graph)
    model = graph.add("UNETLoader", 0, {"unet_name": "wan2.1_t2v_1.3B_fp16.safetensors", "weight_dtype": "default"})
    text = graph.add(
        "CLIPLoader", 0, {"clip_name": "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "type": "wan", "device": "default"}
    )
    vae = graph.add("VAELoader", 0, {"vae_name": "wan_2.1_vae.safetensors"})
    shifted = graph.add("ModelSamplingSD3", 1, {"shift": 8.0}, model=model["MODEL"])
    pipe = _pipe(graph, shifted["MODEL"], text["CLIP"], vae["VAE"], FACE, BAD)
    segs = graph.add("RedetailTrack", 2, {"crop_factor": 2.5}, image_frames=clip["images"])
    detailed = graph.add(
        "RedetailDetailer",
        3,
        {"denoise": 0.3, "cfg": 5.0, "max_size": 640.0, "sampler_name": "uni_pc", "scheduler": "simple"},
        image_frames=clip["images"],
        segs=segs["segs"],
        basic_pipe=pipe["basic_pipe"],
    )
    _finish(graph, clip, detailed, "redetail/wan")


def _note(graph: Graph, text: str) -> None:
    graph.add("MarkdownNote", 0, {"text": text, "title": "Read me"})


def _clip(graph: Graph) -> Out:
    video = graph.add("LoadVideo", 0, _VIDEO)
    return graph.add("GetVideoComponents", 1, video=video["VIDEO"])


def _animatediff(graph: Graph, checkpoint: str, positive: str, negative: str) -> Out:
    loaded = graph.add("CheckpointLoaderSimple", 0, {"ckpt_name": checkpoint})
    motion = graph.add(
        "ADE_AnimateDiffLoaderGen1",
        1,
        {"model_name": "v3_sd15_mm.ckpt", "beta_schedule": "autoselect"},
        model=loaded["MODEL"],
    )
    return _pipe(graph, motion["MODEL"], loaded["CLIP"], loaded["VAE"], positive, negative)


def _pipe(graph: Graph, model: Any, clip: Any, vae: Any, positive: str, negative: str) -> Out:
    told = [
        graph.add("CLIPTextEncode", 1, {"text": text, "title": title}, clip=clip)
        for title, text in (("What the face should look like", positive), ("What it should not", negative))
    ]
    yes, no = (out["CONDITIONING"] for out in told)
    return graph.add("RedetailToBasicPipe", 2, model=model, clip=clip, vae=vae, positive=yes, negative=no)


def _finish(graph: Graph, clip: Out, detailed: Out, prefix: str, paste: str = "RedetailPaste") -> None:
    image = "image_frames" if paste == "RedetailPaste" else "image"
    pasted = graph.add(paste, 4, segs=detailed["segs"], **{image: clip["images"]})
    result = pasted["image_frames" if paste == "RedetailPaste" else "IMAGE"]
    video = graph.add("CreateVideo", 5, {"fps": 24.0}, images=result, audio=clip["audio"], fps=clip["fps"])
    saved = {"filename_prefix": prefix, "format": "auto", "codec": "auto"}
    graph.add("SaveVideo", 6, saved, video=video["VIDEO"])
    compared = graph.add("RedetailCompare", 4, before=clip["images"], after=result, segs=detailed["segs"])
    beside = graph.add("CreateVideo", 5, {"fps": 24.0}, images=compared["side_by_side"], fps=clip["fps"])
    graph.add("SaveVideo", 6, {**saved, "filename_prefix": f"{prefix}_compared"}, video=beside["VIDEO"])
    graph.add("PreviewImage", 5, {"title": "Flicker"}, images=compared["flicker_curve"])


EXAMPLES = (animatediff_face, controlnet_face, refiner_face, tracked_faces, wan_face)


def files() -> dict[Path, str]:
    """Every file that is written, and what should be in it."""
    known = kinds()
    with stand_in():
        defaults = {name: _defaults(node) for name, node in nodes().items()}
    made = {}
    for example in EXAMPLES:
        graph = Graph(known, defaults)
        example(graph)
        made[FOLDER / f"{example.__name__}.json"] = json.dumps(graph.document(), indent=1, ensure_ascii=False) + "\n"
    return made


def main() -> int:
    """Write the files, or only look whether they are up to date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; name what is not up to date")
    made = files()
    wrong = [path for path, text in made.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if parser.parse_args().check:
        for path in wrong:
            sys.stderr.write(f"{path.relative_to(ROOT)} is not up to date; run python tools/comfy_workflows.py\n")
        return int(bool(wrong))
    FOLDER.mkdir(exist_ok=True)
    for path in wrong:
        path.write_text(made[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
