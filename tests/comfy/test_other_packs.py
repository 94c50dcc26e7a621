"""Tracked segments and the face detector in the nodes of the Impact Pack, through a real server.

REDETAIL_IMPACT_PACK=/path/to/pack beside the variables of test_checkout.py lets them run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from redetail.comfy.registry import all_nodes
from tests.comfy.comfyui import CHECKOUT, ComfyUI
from tests.comfy.test_checkout import workflow
from tests.comfy.test_checkout import write_clip as write_animation
from tests.comfy.test_workflows import write_clip
from tests.comfy.toy_checkpoint import write_checkpoint

PACK = "REDETAIL_IMPACT_PACK"
pytestmark = pytest.mark.skipif(
    CHECKOUT not in os.environ or PACK not in os.environ, reason=f"{CHECKOUT} and {PACK} name no ComfyUI and no pack"
)


@pytest.fixture(scope="module")
def comfyui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyUI]:
    server = ComfyUI(
        tmp_path_factory.mktemp("packs") / "base",
        {"impact": Path(os.environ[PACK])},
    )
    write_clip(server.folder / "input" / "clip.mp4")
    with server:
        yield server


class Prompt(dict[str, Any]):
    """A prompt in the making; widgets that are not named have the server's defaults."""

    def __init__(self, described: dict[str, Any]) -> None:
        super().__init__()
        self._described = described

    def add(self, kind: str, **inputs: Any) -> list[Any]:
        """A node; returns the link to its first output."""
        groups = [self._described[kind]["input"].get(group, {}) for group in ("required", "optional")]
        values = {name: default(entry) for group in groups for name, entry in group.items()}
        known = {name: value for name, value in values.items() if value is not None}
        self[str(len(self))] = {"class_type": kind, "inputs": {**known, **inputs}}
        return [str(len(self) - 1), 0]


def default(entry: list[Any]) -> Any:
    kind, extra = entry[0], entry[1] if len(entry) > 1 else {}
    options = kind if isinstance(kind, list) else extra.get("options", [])
    return extra.get("default", options[0] if options else None)


def pictures(comfyui: ComfyUI, name: str) -> np.ndarray:
    paths = sorted((comfyui.folder / "output").glob(f"{name}_*.png"))
    return np.stack([np.asarray(Image.open(path).convert("RGB"), int) for path in paths])


def test_the_impact_pack_reads_tracked_segments_as_its_own(comfyui: ComfyUI) -> None:
    described = comfyui.get("/object_info")
    assert described["SEGSPaste"]["python_module"] == "custom_nodes.impact"
    assert described["RedetailSEGSPaste"]["python_module"] == "custom_nodes.redetail"
    prompt = Prompt(described)
    frames = prompt.add("GetVideoComponents", video=prompt.add("LoadVideo", file="clip.mp4"))
    segs = prompt.add("RedetailTrack", image_frames=frames, crop_factor=1.8)
    detailed = prompt.add("RedetailDetailer", image_frames=frames, segs=segs)
    header = prompt.add("ImpactDecomposeSEGS", segs=detailed)
    again = prompt.add("ImpactAssembleSEGS", seg_header=header, seg_elt=[header[0], 1])
    shown = {
        "given": frames,
        "ours": prompt.add("RedetailPaste", image_frames=frames, segs=detailed),
        "theirs": prompt.add("SEGSPaste", image=frames, segs=detailed),
        "again": prompt.add("RedetailPaste", image_frames=frames, segs=again),
    }
    for name, images in shown.items():
        prompt.add("SaveImage", images=images, filename_prefix=name)
    comfyui.run(prompt)
    given, ours, theirs, reassembled = (pictures(comfyui, name) for name in shown)
    assert np.abs(ours - given).max() > 5
    # They cut to 8 bits and blur the mask after it was placed: a level of 255 here and there.
    assert np.abs(theirs - ours).max() <= 2
    np.testing.assert_array_equal(reassembled, ours)


def test_the_face_detector_serves_the_detector_nodes_of_the_impact_pack(comfyui: ComfyUI) -> None:
    prompt = Prompt(comfyui.get("/object_info"))
    frames = prompt.add("GetVideoComponents", video=prompt.add("LoadVideo", file="clip.mp4"))
    detector = prompt.add("RedetailDetect")
    one = prompt.add("ImageFromBatch", image=frames, batch_index=0, length=1)
    still = prompt.add("BboxDetectorSEGS", bbox_detector=detector, image=one)
    clip = prompt.add("ImpactSimpleDetectorSEGS_for_AD", bbox_detector=detector, image_frames=frames)
    prompt.add("SEGSPreview", segs=still, fallback_image_opt=one)
    followed = prompt.add("RedetailTrack", image_frames=frames, segs=clip)
    for name, segs in {"clip": clip, "followed": followed}.items():
        mask = prompt.add("MaskToImage", mask=prompt.add("RedetailSegsToCombinedMask", segs=segs))
        prompt.add("SaveImage", images=mask, filename_prefix=name)
    comfyui.run(prompt)
    for name in ("clip", "followed"):
        mask = pictures(comfyui, name)[..., 0] > 127
        rows, columns = np.nonzero(mask[0])
        assert 150 < columns.mean() < 270  # the face is right of the middle, and high up
        assert rows.mean() < 150


def test_our_nodes_keep_the_ids_that_were_asked_for(tmp_path: Path) -> None:
    """Whichever pack is loaded last: ComfyUI lists them in no certain order, so there are several copies."""
    server = ComfyUI(
        tmp_path / "base",
        {name: Path(os.environ[PACK]) for name in ("impact", "the-same-again", "another-copy", "zz-impact")},
        {"REDETAIL_NODE_IDS": "original"},
    )
    write_checkpoint(server.folder / "models/checkpoints/toy.safetensors")
    write_animation(server.folder / "input/clip.png")
    with server:
        described = server.get("/object_info")
        ours = [name for name, info in described.items() if info["python_module"] == "custom_nodes.redetail"]
        assert {node.ID for node in all_nodes()} <= set(ours)
        assert described["FaceDetailer"]["python_module"] != "custom_nodes.redetail"
        # The original's detailer fails here wherever noise_mask_feather is above 0.
        assert workflow()["detailer"]["inputs"]["noise_mask_feather"] > 0
        server.run(workflow())
