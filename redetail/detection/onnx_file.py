"""Reads the header of an ONNX file: sizes of inputs, metadata, and whether the file contains the weights.

OpenCV runs such files but does not report these facts. The format is Protocol Buffers; the few fields that are needed
are read by their numbers in onnx.proto (https://github.com/onnx/onnx, Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from redetail.errors import ModelError

Value = int | memoryview
_MODEL_GRAPH, _MODEL_OPSET, _MODEL_METADATA = 7, 8, 14
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT = 1, 5, 11
_TENSOR_NAME, _TENSOR_LOCATION, _EXTERNAL = 8, 14, 1


@dataclass(frozen=True)
class OnnxHeader:
    """``inputs``: shapes by name, with None for a variable side; ``metadata``: texts that the exporter wrote."""

    inputs: Mapping[str, tuple[int | None, ...]]
    metadata: Mapping[str, str]


def read_header(path: Path) -> OnnxHeader:
    """The header of an ONNX file.

    Raises :class:`~redetail.errors.ModelError` for a file that cannot be read, is not ONNX, or keeps its weights in
    other files.
    """
    try:
        content = memoryview(path.read_bytes())
    except OSError as error:
        raise ModelError(f"The detector {path} cannot be read ({error.strerror or error}); check the name.") from error
    try:
        return _header(content, path)
    except (ValueError, IndexError, TypeError) as error:
        raise ModelError(f"{path} is not an ONNX file; export the detector as ONNX.") from error


def _header(content: memoryview, path: Path) -> OnnxHeader:
    model = list(_fields(content))
    graphs = [value for number, value in model if number == _MODEL_GRAPH]
    if len(graphs) != 1 or not any(number == _MODEL_OPSET for number, _ in model):
        raise ValueError("no graph")
    metadata = [dict(_fields(_bytes(value))) for number, value in model if number == _MODEL_METADATA]
    given, inputs = set(), {}
    for number, value in _fields(_bytes(graphs[0])):
        if number == _GRAPH_INITIALIZER:
            tensor = dict(_fields(_bytes(value)))
            given.add(_text(tensor.get(_TENSOR_NAME)))
            if tensor.get(_TENSOR_LOCATION) == _EXTERNAL:
                raise ModelError(f"{path} keeps its weights in other files; export it as one file that contains them.")
        elif number == _GRAPH_INPUT:
            name, shape = _input(_bytes(value))
            inputs[name] = shape
    named = {_text(entry.get(1)): _text(entry.get(2)) for entry in metadata}
    return OnnxHeader({name: shape for name, shape in inputs.items() if name not in given}, named)


def _input(value: memoryview) -> tuple[str, tuple[int | None, ...]]:
    """Name and shape of a ValueInfoProto: type, tensor type, shape and sizes are nested messages."""
    info = dict(_fields(value))
    tensor = dict(_fields(_bytes(dict(_fields(_bytes(info[2])))[1])))
    sides = [dict(_fields(_bytes(side))) for number, side in _fields(_bytes(tensor[2])) if number == 1]
    sizes = (side.get(1) for side in sides)
    return _text(info.get(1)), tuple(size if isinstance(size, int) and size > 0 else None for size in sizes)


def _fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Number and value of every field of a message; raises ValueError or IndexError for other data."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of kind {kind}")
        if number == 0 or at + length > len(message):
            raise ValueError("a field that runs past the end of its message")
        yield number, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _bytes(value: Value) -> memoryview:
    if not isinstance(value, memoryview):
        raise TypeError("a number where a message should be")
    return value


def _text(value: Value | None) -> str:
    return "" if value is None else str(_bytes(value), "utf-8")
