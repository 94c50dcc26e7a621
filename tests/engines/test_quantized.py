"""Scaled fp8 and GGUF against the arithmetic that they are defined by, and what else is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from redetail.engines.weightfile import open_weights
from redetail.errors import ModelError
from tests.engines.originals import save

FP8 = torch.float8_e4m3fn
VALUES = torch.randn(32, 256, generator=torch.Generator().manual_seed(4)) * 0.05


def as_fp8(values: Tensor, dtype: torch.dtype = FP8) -> tuple[Tensor, Tensor]:
    scale = values.abs().max() / torch.finfo(dtype).max
    return (values / scale).to(dtype), scale


def stored(form: str, layer: str, values: Tensor, dtype: torch.dtype = FP8) -> dict[str, Tensor]:
    """A layer as ComfyUI's files have it, ``form``: "older" or "newer"."""
    quantised, scale = as_fp8(values, dtype)
    if form == "older":
        return {f"{layer}.weight": quantised, f"{layer}.scale_weight": scale, "scaled_fp8": torch.empty(0, dtype=dtype)}
    text = json.dumps({"format": str(dtype).removeprefix("torch.")}).encode()
    marker = torch.tensor(list(text), dtype=torch.uint8)
    return {f"{layer}.weight": quantised, f"{layer}.weight_scale": scale, f"{layer}.comfy_quant": marker}


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize("form", ["older", "newer"])
def test_a_scaled_weight_is_weight_times_scale(tmp_path: Path, form: str, dtype: torch.dtype) -> None:
    tensors = stored(form, "a", VALUES, dtype) | {"a.bias": torch.ones(32), "a.input_scale": torch.ones(())}
    file = open_weights(save(tmp_path / "a.safetensors", tensors))
    assert sorted(file.tensors) == ["a.bias", "a.weight"]
    read = file.read()
    quantised, scale = as_fp8(VALUES, dtype)
    assert torch.equal(read["a.weight"], quantised.float() * scale)
    assert torch.equal(file.view({"a.weight": "b"})["b"], read["a.weight"])
    torch.testing.assert_close(read["a.weight"], VALUES, atol=0.02, rtol=0.2)


def test_a_scale_for_each_row(tmp_path: Path) -> None:
    scales = torch.linspace(0.5, 2, 32)
    tensors = {"a.weight": VALUES.to(FP8), "a.weight_scale": scales}
    read = open_weights(save(tmp_path / "a.safetensors", tensors)).read()["a.weight"]
    assert torch.equal(read, VALUES.to(FP8).float() * scales[:, None])


def test_fp8_without_a_scale_is_what_it_says(tmp_path: Path) -> None:
    read = open_weights(save(tmp_path / "a.safetensors", {"a.weight": VALUES.to(FP8)})).read()["a.weight"]
    assert torch.equal(read.float(), VALUES.to(FP8).float())


def named(format_: str) -> Tensor:
    return torch.tensor(list(json.dumps({"format": format_}).encode()), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"a.weight_scale": torch.ones(32, 8), "a.comfy_quant": named("mxfp8")}, "contains weights in mxfp8, which is"),
        ({"a.weight_scale": torch.ones(32, 8), "a.comfy_quant": named("nvfp4")}, "contains weights in nvfp4, which is"),
        ({"a.comfy_quant": named("int8_tensorwise")}, "contains weights in int8_tensorwise, which is not supported"),
        ({"a.weight_scale": torch.ones(2), "a.weight_scale_2": torch.ones(())}, "contains weights in nvfp4"),
        ({"a.comfy_quant": torch.zeros(3, dtype=torch.uint8)}, "does not say how its weights are stored"),
        ({"a.weight_scale": torch.ones(32, 8)}, r"has 256 scales for a weight of shape \(32, 256\), as in mxfp8"),
    ],
)
def test_other_quantisations_are_refused_by_name(tmp_path: Path, tensors: dict[str, Tensor], message: str) -> None:
    path = save(tmp_path / "a.safetensors", {"a.weight": VALUES.to(FP8), **tensors})
    with pytest.raises(ModelError, match=message):
        open_weights(path).read()


# --- GGUF


def write_gguf(path: Path, tensors: dict[str, Tensor], kinds: dict[str, str]) -> Path:
    """A file of the layout of city96's conversions; ``kinds``: the type of each tensor, F32 where none is named.

    Tensors of five dimensions are stored flat, their shape in a field of its own.
    """
    import gguf

    writer = gguf.GGUFWriter(path, "wan")
    for name, tensor in tensors.items():
        values = tensor.float().numpy()
        kind = gguf.GGMLQuantizationType[kinds.get(name, "F32")]
        if values.ndim > 4:
            writer.add_array(f"comfy.gguf.orig_shape.{name}", [int(size) for size in values.shape])
            values = values.reshape(values.shape[0], -1)
        data = values if kind.name == "F32" else gguf.quantize(values, kind)
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q5_0", "Q5_1", "Q4_0", "Q4_1"])
def test_gguf_weights_are_those_of_the_reference(tmp_path: Path, kind: str) -> None:
    import gguf

    path = write_gguf(tmp_path / "a.gguf", {"a.weight": VALUES, "a.bias": VALUES[0]}, {"a.weight": kind})
    file = open_weights(path)
    assert file.tensors["a.weight"].shape == (32, 256)
    assert file.tensors["a.weight"].dtype == kind
    quantised = gguf.GGMLQuantizationType[kind]
    expected = gguf.dequantize(gguf.quantize(VALUES.numpy(), quantised), quantised)
    np.testing.assert_array_equal(file.read()["a.weight"].numpy(), expected)
    torch.testing.assert_close(torch.from_numpy(expected), VALUES, atol=0.02, rtol=0)
    assert torch.equal(file.read()["a.bias"], VALUES[0])


@pytest.mark.parametrize("kind", ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"])
def test_kinds_that_only_other_programs_write(tmp_path: Path, kind: str) -> None:
    """The package reads these and cannot write them: blocks of arbitrary bytes with scales that are finite."""
    import gguf

    quantised = gguf.GGMLQuantizationType[kind]
    width, size = gguf.GGML_QUANT_SIZES[quantised]
    blocks = np.random.default_rng(3).integers(0, 60, (4, 512 // width * size), dtype=np.uint8)
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "wan")
    writer.add_tensor("a.weight", blocks, raw_dtype=quantised)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    read = open_weights(tmp_path / "a.gguf").read()["a.weight"]
    assert read.shape == (4, 512)
    np.testing.assert_array_equal(read.numpy(), gguf.dequantize(blocks, quantised))


def test_a_tensor_of_five_dimensions_gets_its_shape_back(tmp_path: Path) -> None:
    values = torch.arange(2 * 3 * 1 * 2 * 2, dtype=torch.float32).reshape(2, 3, 1, 2, 2)
    file = open_weights(write_gguf(tmp_path / "a.gguf", {"patch.weight": values}, {}))
    assert file.tensors["patch.weight"].shape == (2, 3, 1, 2, 2)
    assert torch.equal(file.read()["patch.weight"], values)


@pytest.mark.parametrize("length", [4, 20, 100, -200])
def test_a_truncated_gguf_is_refused(tmp_path: Path, length: int) -> None:
    path = write_gguf(tmp_path / "a.gguf", {"a.weight": VALUES}, {"a.weight": "Q8_0"})
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ModelError, match="is truncated or damaged"):
        open_weights(path)


@pytest.mark.parametrize("shape", ["x", ["a", "b"], [64, 2], [-1, 64], [2, 2, 2, 2, -2]])
def test_a_shape_that_cannot_be_is_refused(tmp_path: Path, shape: Any) -> None:
    import gguf

    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "wan")
    (writer.add_string if isinstance(shape, str) else writer.add_array)("comfy.gguf.orig_shape.a", shape)
    writer.add_tensor("a", np.zeros((2, 8), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelError, match=r"The shape of a in .* is invalid"):
        open_weights(tmp_path / "a.gguf")


def test_it_is_a_mapping_of_any_kind(tmp_path: Path) -> None:
    view: Any = open_weights(save(tmp_path / "a.safetensors", stored("older", "a", VALUES))).view({"a.weight": "b"})
    assert list(view) == ["b"]
    assert len(view) == 1
