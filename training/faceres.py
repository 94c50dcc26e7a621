"""A network for judging faces that no training here has seen: `faceres` of npm's @vladmandic/human (MIT).

A MobileNet (Howard et al. 2017, arXiv:1704.04861) that was trained to tell people apart, their age and their sex
(Savchenko 2019, "Efficient facial representations for age, gender and identity recognition"); 1,024 numbers per face.
Its files are `models/faceres.json` and `.bin` of the package; none of them is in this repository.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

SIDE = 224
DESCRIPTOR = "global_pooling/Mean"
KINDS = {"float32": np.float32, "int32": np.int32, "float16": np.float16, "uint8": np.uint8, "uint16": np.uint16}


class FaceRes:
    """Runs the graph of the TensorFlow.js model in the order of the file, which is a valid one."""

    def __init__(self, path: Path) -> None:
        model = json.loads(path.read_text())
        self.nodes = [node for node in model["modelTopology"]["node"] if node["op"] not in ("Const", "Placeholder")]
        self.inputs = [node["name"] for node in model["modelTopology"]["node"] if node["op"] == "Placeholder"]
        (group,) = model["weightsManifest"]
        raw = b"".join((path.parent / name).read_bytes() for name in group["paths"])
        self.weights, offset = {}, 0
        for row in group["weights"]:
            stored = row.get("quantization", {}).get("dtype", row["dtype"])
            count = int(np.prod(row["shape"]))
            values = np.frombuffer(raw, KINDS[stored], count, offset)
            offset += values.nbytes
            self.weights[row["name"]] = torch.from_numpy(dequantised(values, row).reshape(row["shape"]))

    @torch.inference_mode()
    def __call__(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Faces (N, h, w, 3) uint8 -> descriptors of length 1 (N, 1024)."""
        sized = np.stack([cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) for face in faces])
        known: dict[str, Tensor] = dict(self.weights)
        known[self.inputs[0]] = torch.from_numpy(sized).float().permute(0, 3, 1, 2)
        for node in self.nodes:
            known[node["name"]] = run(node, [known[name.split(":")[0]] for name in node["input"]])
            if node["name"] == DESCRIPTOR:
                break
        return np.asarray(functional.normalize(known[DESCRIPTOR], dim=1).numpy())

    def distance(self, faces: NDArray[np.uint8], others: NDArray[np.uint8]) -> float:
        """Mean distance of the descriptors of pictures that belong together, 0 to 2."""
        return float(np.linalg.norm(self(faces) - self(others), axis=1).mean())


def dequantised(values: NDArray[Any], row: dict[str, Any]) -> NDArray[Any]:
    """Numbers as they were before they were stored with a scale and a minimum, or in half precision."""
    how = row.get("quantization", {})
    wanted = values.astype(KINDS[row["dtype"]])
    return wanted * np.float32(how["scale"]) + np.float32(how["min"]) if "scale" in how else wanted


def run(node: dict[str, Any], given: list[Tensor]) -> Tensor:
    """One operation on pictures (N, C, h, w); weights are in TensorFlow's order."""
    kind, picture = node["op"], given[0]
    if kind in ("Conv2D", "DepthwiseConv2dNative"):
        deep = kind == "DepthwiseConv2dNative"
        kernel = given[1].permute(2, 3, 0, 1) if deep else given[1].permute(3, 2, 0, 1)
        stride = int(node["attr"]["strides"]["list"]["i"][1])
        groups = len(kernel) if deep else 1
        return functional.conv2d(padded(picture, kernel.shape[-1], stride), kernel, stride=stride, groups=groups)
    if kind == "Mean":
        return picture.mean(dim=(2, 3))
    if kind == "Relu":
        return functional.relu(picture)
    other = given[1].view(1, -1, 1, 1) if given[1].ndim else given[1]
    return {"Add": torch.add, "Mul": torch.mul, "Minimum": torch.minimum, "Maximum": torch.maximum}[kind](
        picture, other
    )


def padded(picture: Tensor, side: int, stride: int) -> Tensor:
    """TensorFlow's "same" padding: an odd pixel goes to the right and to the bottom."""
    pads = []
    for length in (picture.shape[3], picture.shape[2]):
        more = max(0, (-(-length // stride) - 1) * stride + side - length)
        pads += [more // 2, more - more // 2]
    return functional.pad(picture, pads)
