"""Layers with weights in fp8 against the same layers with weights that were converted before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from redetail.engines.device import place
from redetail.engines.fp8 import Fp8Layer, keep_fp8
from redetail.engines.state_dict import StateDict, fill, skeleton
from redetail.engines.weightfile import open_weights
from redetail.errors import ModelError
from tests.engines.originals import save
from tests.engines.test_quantized import stored

WIDTH, WORDS = 32, 256
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


class Net(nn.Module):
    """A table of words, a matrix of blocks and one that stays exact, with a convolution that nothing keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.block, self.exact = nn.Linear(WIDTH, 48), nn.Linear(48, 8, bias=False)
        self.conv = nn.Conv1d(8, 4, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        made = self.exact(self.block(self.words(tokens)).to(self.exact.weight.dtype))
        return self.conv(made.to(self.conv.weight.dtype).mT)  # type: ignore[no-any-return]


def tensors(form: str) -> dict[str, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        values = dict(Net().state_dict())
    for layer in ("words", "block", "exact"):
        weight = values.pop(f"{layer}.weight")
        if form == "plain":
            values[f"{layer}.weight"] = weight.to(torch.float8_e4m3fn)
        elif form == "rows":
            scale = weight.abs().amax(1) / 448
            values |= {f"{layer}.weight": (weight / scale[:, None]).to(torch.float8_e4m3fn)}
            values[f"{layer}.weight_scale"] = scale
        else:
            values |= stored(form, layer, weight)
    return values


def opened(path: Path, form: str) -> StateDict:
    file = open_weights(save(path, tensors(form)))
    return StateDict({}, file.view({name: name for name in file.tensors if "scaled_fp8" not in name}), "The net")


def made(state: StateDict, dtype: torch.dtype, *, keep: bool) -> Any:
    network = skeleton(Net)
    if keep:
        state = keep_fp8(network, state, dtype, exact=("exact",))
    return fill(network, state, place("cpu", dtype), exact=("exact",))


def parameter_bytes(network: nn.Module) -> int:
    return sum(weight.numel() * weight.element_size() for weight in network.parameters())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["older", "newer", "rows", "plain"])
def test_it_gives_bit_for_bit_what_converted_weights_give(tmp_path: Path, form: str, dtype: torch.dtype) -> None:
    state = opened(tmp_path / "net.safetensors", form)
    kept, converted = made(state, dtype, keep=True), made(state, dtype, keep=False)
    tokens = torch.tensor([[3, 200, 7]])
    assert torch.equal(kept(tokens), converted(tokens))
    assert torch.equal(kept.block.weight, converted.block.weight)
    assert kept.exact.weight.dtype == torch.float32
    in_fp8 = WORDS * WIDTH + 48 * WIDTH
    saved = parameter_bytes(converted) - parameter_bytes(kept)
    scales = 0 if form == "plain" else 4 * (WORDS + 48 if form == "rows" else 2)
    assert saved == in_fp8 * (dtype.itemsize - 1) - scales


def test_what_is_not_in_fp8_is_loaded_as_before(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        values = Net().state_dict()
    file = open_weights(save(tmp_path / "net.safetensors", values))
    state = StateDict({}, file.view({name: name for name in file.tensors}), "The net")
    assert keep_fp8(skeleton(Net), state, torch.float32) is state
    assert keep_fp8(skeleton(Net), StateDict({}, dict(values), "The net"), torch.float32).tensors is not None


def test_a_weight_of_another_shape_is_refused_as_before(tmp_path: Path) -> None:
    wrong = {**tensors("older"), "block.weight": torch.zeros(48, 16, dtype=torch.float8_e4m3fn)}
    file = open_weights(save(tmp_path / "net.safetensors", wrong))
    state = StateDict({}, file.view({name: name for name in file.tensors if "scaled_fp8" not in name}), "The net")
    with pytest.raises(
        ModelError, match=(r"has the tensor block\.weight with the shape \(48, 16\) instead of \(48, 32\)")
    ):
        made(state, torch.float32, keep=True)


def test_a_patch_is_what_the_layer_computes_with(tmp_path: Path) -> None:
    network = made(opened(tmp_path / "net.safetensors", "older"), torch.float32, keep=True)
    before, tokens = network.words.weight, torch.tensor([5])
    for layer in (network.words, network.block):
        assert isinstance(layer, Fp8Layer)
        layer.patch = lambda weight: weight * 2
    assert torch.equal(network.words(tokens), 2 * before[tokens])
    rows = torch.ones(1, WIDTH)
    assert torch.equal(network.block(rows), nn.functional.linear(rows, 2 * network.block.original, network.block.bias))
