"""Small ONNX files, written field by field after onnx.proto: tests need detectors of every layout, and no exporter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

FLOAT, INT64 = 1, 7


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def tensor(name: str, values: np.ndarray, external: bool = False) -> bytes:
    kind = INT64 if values.dtype == np.int64 else FLOAT
    dims = b"".join(field(1, side) for side in values.shape)
    raw = field(9, values.astype(np.int64 if kind == INT64 else np.float32).tobytes())
    return dims + field(2, kind) + field(8, name) + (field(14, 1) if external else raw)


def node(kind: str, inputs: Sequence[str], output: str, **attributes: int | Sequence[int]) -> bytes:
    content = b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, kind)
    for name, value in attributes.items():
        whole = isinstance(value, int)
        numbers = field(3, value) if whole else b"".join(field(8, one) for one in value)
        content += field(5, field(1, name) + numbers + field(20, 2 if whole else 7))
    return content


def info(name: str, shape: Sequence[int | str]) -> bytes:
    sides = b"".join(field(1, field(1 if isinstance(side, int) else 2, side)) for side in shape)
    return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, sides)))


def write_onnx(
    path: Path,
    nodes: Sequence[bytes],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Mapping[str, Sequence[int | str]],
    tensors: Sequence[bytes] = (),
    metadata: Mapping[str, str] | None = None,
) -> Path:
    graph = b"".join(field(1, one) for one in nodes) + field(2, "graph")
    graph += b"".join(field(5, one) for one in tensors)
    graph += b"".join(field(11, info(*one)) for one in inputs.items())
    graph += b"".join(field(12, info(*one)) for one in outputs.items())
    model = field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13))
    model += b"".join(field(14, field(1, key) + field(2, value)) for key, value in (metadata or {}).items())
    path.write_bytes(model)
    return path


def detector(
    path: Path,
    layout: str,
    *,
    side: int = 64,
    names: str | None = "{0: 'red', 1: 'green'}",
    input_shape: Sequence[int | str] | None = None,
) -> Path:
    """A detector of red and green squares: each cell of 8 pixels is a box of 16 around its centre, whose score for a
    class is the mean of a channel.

    ``layout``: "v8", "v5" (which says in every third cell that something is there), "v8-seg" (two prototypes), or
    "final": one row for the cell in which red is strongest, as non-maximum suppression would leave it.
    """
    cells = side // 8
    at = (np.arange(cells, dtype=np.float32) + 0.5) * 8
    x, y = np.meshgrid(at, at)
    extra = {"v8": 0, "v5": 1, "v8-seg": 2, "final": 0}[layout]
    channels = 6 + extra
    first = 5 if layout == "v5" else 4
    weights = np.zeros((channels, 3, 1, 1), np.float32)
    weights[first, 0] = weights[first + 1, 1] = 1
    places = np.zeros((1, channels, cells, cells), np.float32)
    places[0, 0], places[0, 1], places[0, 2:4] = x, y, 16
    if layout == "v5":
        places[0, 4] = 0.9
    nodes = [
        node("AveragePool", ["images"], "pooled", kernel_shape=[8, 8], strides=[8, 8]),
        node("Conv", ["pooled", "weights"], "classes", kernel_shape=[1, 1]),
        node("Add", ["classes", "places"], "cells"),
        node("Reshape", ["cells", "table"], "columns" if layout in ("v5", "final") else "output0"),
    ]
    tensors = [
        tensor("weights", weights),
        tensor("places", places),
        tensor("table", np.array([1, channels, cells * cells], np.int64)),
    ]
    outputs: dict[str, Sequence[int | str]] = {"output0": [1, channels, cells * cells]}
    if layout in ("v5", "final"):
        nodes.append(node("Transpose", ["columns"], "output0", perm=[0, 2, 1]))
        outputs = {"output0": [1, cells * cells, channels]}
    if layout == "v8-seg":
        nodes.append(node("Conv", ["pooled", "prototypes"], "output1", kernel_shape=[1, 1]))
        tensors.append(tensor("prototypes", np.ones((2, 3, 1, 1), np.float32)))
        outputs["output1"] = [1, 2, cells, cells]
    metadata = {} if names is None else {"names": names}
    return write_onnx(path, nodes, {"images": input_shape or [1, 3, side, side]}, outputs, tensors, metadata)
