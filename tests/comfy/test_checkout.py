"""This repository in the ``custom_nodes`` of a ComfyUI checkout: loaded, described, and run through its server.

REDETAIL_COMFYUI=/path/to/ComfyUI REDETAIL_COMFYUI_PYTHON=/path/to/its/python pytest tests/comfy/test_checkout.py
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from redetail.comfy.registry import all_nodes
from tests.comfy.comfyui import CHECKOUT, ComfyUI
from tests.comfy.toy_checkpoint import write_checkpoint

FOLDER = Path(__file__).parent / "contract"
CONTRACT = {**json.loads((FOLDER / "nodes.json").read_text()), **json.loads((FOLDER / "nodes_more.json").read_text())}
FRAMES, SIDE = 16, 96
FEATHER = 5
pytestmark = pytest.mark.skipif(CHECKOUT not in os.environ, reason=f"{CHECKOUT} names no ComfyUI checkout")


@pytest.fixture(scope="module")
def comfyui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyUI]:
    # The folder's name must not hold ours, which is looked for in the log.
    server = ComfyUI(tmp_path_factory.mktemp("data") / "base")
    write_checkpoint(server.folder / "models/checkpoints/toy.safetensors")
    write_clip(server.folder / "input/clip.png")
    with server:
        yield server


def masked_area() -> NDArray[np.bool_]:
    """(F, H, W): a square that walks to the right."""
    area = np.zeros((FRAMES, SIDE, SIDE), bool)
    for frame in range(FRAMES):
        area[frame, 30:60, 24 + 2 * frame : 54 + 2 * frame] = True
    return area


def write_clip(path: Path) -> None:
    """An animated PNG, which LoadImage reads as a batch; where its alpha is 0 the mask is 1."""
    y, x = np.mgrid[:SIDE, :SIDE]
    frames = []
    for frame, area in enumerate(masked_area()):
        colours = [127 + 60 * np.sin(0.2 * x + frame), 127 + 60 * np.cos(0.15 * y), 90 + 0.5 * x + 0.3 * y]
        frames.append(Image.fromarray(np.stack([*colours, 255.0 * ~area], axis=-1).astype(np.uint8), "RGBA"))
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100, disposal=1, blend=0)


def pictures(comfyui: ComfyUI, entry: dict[str, Any], node: str) -> NDArray[np.int16]:
    """What a SaveImage node of a finished workflow wrote."""
    files = [
        comfyui.folder / "output" / image["subfolder"] / image["filename"] for image in entry["outputs"][node]["images"]
    ]
    return np.stack([np.asarray(Image.open(file).convert("RGB"), np.int16) for file in files])


def workflow() -> dict[str, Any]:
    """Masks -> SEGS -> detailer -> paste as an old workflow holds them, with a toy for a model."""
    return {
        "model": node("CheckpointLoaderSimple", ckpt_name="toy.safetensors"),
        "yes": node("ToyText", seed=1),
        "no": node("ToyText", seed=2),
        "clip": node("LoadImage", image="clip.png"),
        "pipe": node(
            "ToBasicPipe",
            model=["model", 0],
            clip=["model", 1],
            vae=["model", 2],
            positive=["yes", 0],
            negative=["no", 0],
        ),
        "segs": node(
            "MaskToSEGS_for_AnimateDiff",
            mask=["clip", 1],
            combined=False,
            crop_factor=1.5,
            bbox_fill=False,
            drop_size=10,
            contour_fill=False,
        ),
        "detailer": node(
            "SEGSDetailerForAnimateDiff",
            image_frames=["clip", 0],
            segs=["segs", 0],
            guide_size=64,
            guide_size_for=False,
            max_size=128,
            seed=3,
            steps=2,
            cfg=2.0,
            sampler_name="euler",
            scheduler="normal",
            denoise=0.6,
            basic_pipe=["pipe", 0],
            refiner_ratio=0.2,
            noise_mask_feather=20,
        ),
        "paste": node("SEGSPaste", image=["clip", 0], segs=["detailer", 0], feather=FEATHER, alpha=255),
        "before": node("SaveImage", images=["clip", 0], filename_prefix="before"),
        "after": node("SaveImage", images=["paste", 0], filename_prefix="after"),
    }


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def test_it_loads_without_a_word(comfyui: ComfyUI) -> None:
    said = [line for line in comfyui.log.splitlines() if "redetail" in line.lower()]
    assert [
        line for line in said if not re.match(r"(\[INFO\])?\s*[\d.]+ seconds: .*/custom_nodes/redetail$", line)
    ] == []
    assert len(said) == 1
    assert "IMPORT FAILED" not in comfyui.log
    assert "Traceback" not in comfyui.log


def test_every_node_is_described(comfyui: ComfyUI) -> None:
    described = comfyui.get("/object_info")
    for ours in all_nodes():
        own = ours.ID if ours.ID.startswith("Redetail") else f"Redetail{ours.ID}"
        for name in {ours.ID, own}:
            info = described[name]
            assert info["python_module"] == "custom_nodes.redetail"
            assert info["output"] == list(ours.RETURN_TYPES)
            assert info["description"]
            for group, names in info["input_order"].items():
                assert list(info["input"][group]) == names
                assert all("tooltip" in extra[1] for extra in info["input"][group].values() if group != "hidden")


@pytest.mark.parametrize("name", sorted(name for name in CONTRACT if not name.startswith("_")))
def test_inputs_are_in_the_order_of_saved_workflows(comfyui: ComfyUI, name: str) -> None:
    info = comfyui.get(f"/object_info/{name}")[name]
    for group, inputs in CONTRACT[name]["inputs"].items():
        if group != "hidden":
            assert info["input_order"].get(group, []) == [entry[0] for entry in inputs]


def test_a_workflow_runs_to_its_end(comfyui: ComfyUI) -> None:
    entry = comfyui.run(workflow())
    before, after = pictures(comfyui, entry, "before"), pictures(comfyui, entry, "after")
    assert before.shape == after.shape == (FRAMES, SIDE, SIDE, 3)
    changed = np.abs(after - before).max(axis=-1)
    inside = masked_area()
    assert changed[~grown(inside, FEATHER + 1)].max() == 0
    assert all(changed[frame][inside[frame]].mean() > 3 for frame in range(FRAMES))
    # A failed decoding is black or grey: one value everywhere.
    assert all(after[frame][inside[frame]].std() > 1 for frame in range(FRAMES))
    assert "Traceback" not in comfyui.log


def test_the_stop_button_stops_it(comfyui: ComfyUI) -> None:
    """A thousand steps take many minutes; the button is pressed within the first ones."""
    prompt = workflow()
    prompt["detailer"]["inputs"]["steps"] = 1000
    number = comfyui.post(prompt)
    time.sleep(5)
    comfyui.interrupt()
    entry = comfyui.finished(number, 60)
    assert [kind for kind, _ in entry["status"]["messages"]][-1] == "execution_interrupted"
    assert "Traceback" not in comfyui.log


def test_what_is_wrong_is_shown_at_its_node(comfyui: ComfyUI) -> None:
    """The workflow's own node carries the sentence; no other node, and no other exception."""
    prompt = workflow()
    prompt["shorter"] = node("RepeatImageBatch", image=["clip", 0], amount=2)
    prompt["detailer"]["inputs"]["image_frames"] = ["shorter", 0]
    entry = comfyui.finished(comfyui.post(prompt))
    kind, details = entry["status"]["messages"][-1]
    assert (kind, details["node_id"]) == ("execution_error", "detailer")
    assert details["exception_type"] == "redetail.errors.RegionError"
    assert f"{FRAMES} masks" in details["exception_message"]
    assert f"{2 * FRAMES} frames" in details["exception_message"]


def grown(area: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """Every pixel at most ``by`` rows and columns away from the area of its frame."""
    result = np.zeros_like(area)
    for frame, rows, columns in np.argwhere(area):
        result[frame, max(0, rows - by) : rows + by + 1, max(0, columns - by) : columns + by + 1] = True
    return result
