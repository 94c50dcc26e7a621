"""The example workflows: consistent files, and one of them really run by a ComfyUI checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from tests.clips import clip_frames
from tests.comfy.comfyui import CHECKOUT, ComfyUI

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "example_workflows"
FILES = sorted(FOLDER.glob("*.json"))
FRAMES = 6


@pytest.fixture(scope="module")
def tool() -> Any:
    sys.path.insert(0, str(ROOT / "tools"))
    import comfy_graph

    sys.path.pop(0)
    return comfy_graph


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_there_are_five_each_with_a_picture() -> None:
    assert len(FILES) == 5
    assert {path.stem for path in FILES} == {path.stem for path in FOLDER.glob("*.jpg")}


def test_they_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "tools" / "comfy_workflows.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_links_are_consistent(path: Path) -> None:
    workflow = read(path)
    assert workflow["version"] == 0.4
    nodes = {node["id"]: node for node in workflow["nodes"]}
    assert len(nodes) == len(workflow["nodes"]) == workflow["last_node_id"]
    links = {link[0]: link for link in workflow["links"]}
    assert sorted(links) == list(range(1, workflow["last_link_id"] + 1))
    for number, origin, slot, target, place, kind in links.values():
        output, socket = nodes[origin]["outputs"][slot], nodes[target]["inputs"][place]
        assert number in output["links"]
        assert socket["link"] == number
        assert output["type"] == socket["type"] == kind
        assert nodes[origin]["order"] < nodes[target]["order"]
    used = [link for node in nodes.values() for output in node["outputs"] for link in output["links"]]
    assert sorted(used) == sorted(links)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nodes_exist_and_widgets_match_by_position(path: Path, tool: Any) -> None:
    known = tool.kinds()
    with tool.stand_in():
        ours = tool.nodes()
        for node in read(path)["nodes"]:
            kind = known[node["type"]]
            assert [(socket["name"], socket["type"]) for socket in node["inputs"]] == list(kind.inputs)
            assert [(output["name"], output["type"]) for output in node["outputs"]] == list(kind.outputs)
            if node["type"] in ours:
                widgets_are_allowed(ours[node["type"]], node["widgets_values"], tool)


def widgets_are_allowed(node: Any, values: list[Any], tool: Any) -> None:
    groups = [entries for group, entries in node.INPUT_TYPES().items() if group != "hidden"]
    declared = [(name, spec) for entries in groups for name, spec in entries.items()]
    widgets = [(name, spec) for name, spec in declared if isinstance(spec[0], list) or spec[0] in tool.WIDGETS]
    left = list(values)
    for name, (kind, extra) in widgets:
        value = left.pop(0)
        types = {"INT": int, "FLOAT": (int, float), "BOOLEAN": bool, "STRING": str}
        if isinstance(kind, list):
            assert isinstance(value, str), name
            # Samplers and schedulers are ComfyUI's; here they stand for all.
            assert value in kind or name in ("sampler_name", "scheduler"), name
        else:
            assert isinstance(value, types[kind]), name
            assert extra.get("min", value) <= value <= extra.get("max", value), name
        if name == "seed":
            assert left.pop(0) == "fixed"
    assert left == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_required_sockets_are_linked(path: Path, tool: Any) -> None:
    with tool.stand_in():
        ours = tool.nodes()
        prompt = tool.api_prompt(read(path), tool.kinds())
        for node in prompt.values():
            if node["class_type"] in ours:
                missing = set(ours[node["class_type"]].INPUT_TYPES()["required"]) - set(node["inputs"])
                assert not missing, f"{node['class_type']} has nothing at {missing}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_pictures_are_small_and_wide(path: Path) -> None:
    with Image.open(path.with_suffix(".jpg")) as picture:
        assert picture.width > picture.height >= 200
    assert path.with_suffix(".jpg").stat().st_size < 200_000


def write_clip(path: Path, name: str = "guitarist") -> None:
    frames = clip_frames(name)[:FRAMES]
    with av.open(path, "w") as container:
        stream = container.add_stream("h264", rate=24)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def frames_in(path: Path) -> list[Any]:
    with av.open(path) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def pictures(folder: Path, name: str) -> Any:
    """The saved pictures (F, H, W, 3)."""
    paths = sorted(folder.glob(f"{name}_*.png"))
    assert len(paths) == FRAMES
    return np.stack([np.asarray(Image.open(path).convert("RGB"), int) for path in paths])


@pytest.mark.skipif(CHECKOUT not in os.environ, reason=f"{CHECKOUT} names no ComfyUI checkout")
def test_tracked_faces_runs_from_video_to_video(tool: Any, tmp_path: Path) -> None:
    server = ComfyUI(tmp_path / "base")
    write_clip(server.folder / "input" / "clip.mp4")
    prompt = tool.api_prompt(read(FOLDER / "tracked_faces.json"), tool.kinds())
    watched = {"given": "GetVideoComponents", "pasted": "RedetailPaste"}
    for name, kind in watched.items():
        (number,) = (key for key, node in prompt.items() if node["class_type"] == kind)
        prompt[name] = {"class_type": "SaveImage", "inputs": {"images": [number, 0], "filename_prefix": name}}
    with server:
        server.run(prompt)
        templates = server.get("/workflow_templates")
        names = server.get("/i18n")["en"]["nodeDefs"]
    assert sorted(templates["redetail"]) == [path.stem for path in FILES]
    assert names["RedetailTrack"]["display_name"] == "Redetail Track"
    videos = {path.name.split("_00001")[0]: frames_in(path) for path in (server.folder / "output").rglob("*.mp4")}
    assert {name: len(frames) for name, frames in videos.items()} == {"faces": FRAMES, "faces_compared": FRAMES}
    assert videos["faces_compared"][0].shape == (350, 704, 3)
    given, pasted = (pictures(server.folder / "output", name) for name in watched)
    change = np.abs(given - pasted).mean(axis=(0, 3))
    assert change[200:].max() == 0
    assert change[30:140, 175:250].mean() > 0.5  # of 255: the face
