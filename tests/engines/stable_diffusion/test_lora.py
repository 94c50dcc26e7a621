"""LoRA files as other programs write them, against W + strength * alpha / rank * up @ down by hand."""

from __future__ import annotations

import copy
import json
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from redetail.engines import enhance_arrays, load_engine
from redetail.engines.base import ChecksSettings
from redetail.engines.device import Placement
from redetail.engines.lora import mixer as mixer_module
from redetail.engines.lora.delta import weight_delta
from redetail.engines.lora.mixer import LoraMixer
from redetail.engines.spec import ModelSpec, WeightedFile
from redetail.engines.stable_diffusion.components import Components, load_components
from redetail.engines.stable_diffusion.lora_layers import lora_mixer, original_names
from redetail.errors import ModelError, RedetailError
from redetail.settings import Settings

RANK, ALPHA = 4, 2.0
ATTENTION = "down_blocks.0.attentions.0.transformer_blocks.0."
UNET_LAYERS = (
    f"{ATTENTION}attn1.to_q",
    f"{ATTENTION}attn2.to_k",
    f"{ATTENTION}attn2.to_out.0",
    f"{ATTENTION}ff.net.0.proj",
    "down_blocks.0.attentions.0.proj_in",
    "down_blocks.0.resnets.0.conv1",
    "down_blocks.0.downsamplers.0.conv",
    "mid_block.attentions.0.transformer_blocks.0.attn1.to_v",
    "mid_block.resnets.1.time_emb_proj",
    "up_blocks.1.attentions.1.proj_out",
    "up_blocks.0.upsamplers.0.conv",
    "time_embedding.linear_1",
    "conv_in",
)
TEXT_LAYERS = ("encoder.layers.0.self_attn.q_proj", "encoder.layers.1.self_attn.out_proj", "encoder.layers.1.mlp.fc1")
Pairs = dict[tuple[str, str], tuple[Tensor, Tensor]]


@pytest.fixture(scope="module")
def loaded(model_folder: Path) -> Components:
    return load_components(ModelSpec(checkpoint=model_folder), Placement(torch.device("cpu"), torch.float32))


@pytest.fixture
def parts(loaded: Components) -> Components:
    """Networks that a test may change."""
    return replace(loaded, unet=copy.deepcopy(loaded.unet), texts=copy.deepcopy(loaded.texts))


def layer(parts: Components, part: str, name: str) -> nn.Module:
    network: nn.Module = parts.unet if part == "unet" else parts.texts[0].encoder
    return next(module for found, module in network.named_modules() if found.removeprefix("text_model.") == name)


def pairs(parts: Components, seed: int = 0) -> Pairs:
    """down and up for each layer, convolutions with their kernel in down."""
    generator = torch.Generator().manual_seed(seed)
    found: Pairs = {}
    for part, names in (("unet", UNET_LAYERS), ("text", TEXT_LAYERS)):
        for name in names:
            shape = layer(parts, part, name).weight.shape
            down = torch.randn(RANK, *shape[1:], generator=generator) * 0.2
            up = torch.randn(shape[0], RANK, *(1,) * (len(shape) - 2), generator=generator) * 0.2
            found[part, name] = (down, up)
    return found


def delta(down: Tensor, up: Tensor) -> Tensor:
    return (up.flatten(1) @ down.flatten(1)).reshape(up.shape[0], *down.shape[1:])


def state(parts: Components) -> dict[str, Tensor]:
    return {
        f"{part}.{name}": tensor.clone()
        for part, network in (("unet", parts.unet), ("text", parts.texts[0].encoder))
        for name, tensor in network.state_dict().items()
    }


def same(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(tensor, two[name]) for name, tensor in one.items())


def kohya(found: Pairs, alpha: float | None = ALPHA) -> dict[str, Tensor]:
    """Names with underscores, an alpha for each layer."""
    tensors = {}
    for (part, name), (down, up) in found.items():
        stem = f"lora_unet_{name}" if part == "unet" else f"lora_te_text_model_{name}"
        stem = stem.replace(".", "_")
        tensors |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
        if alpha is not None:
            tensors[f"{stem}.alpha"] = torch.tensor(alpha)
    return tensors


def kohya_original(found: Pairs) -> dict[str, Tensor]:
    """The same with the block names of the original code."""
    renamed = {
        (part, original_names(name, 1)[0] if part == "unet" else name): pair for (part, name), pair in found.items()
    }
    return kohya(renamed)


def peft(found: Pairs) -> dict[str, Tensor]:
    tensors = {}
    for (part, name), (down, up) in found.items():
        stem = f"unet.{name}" if part == "unet" else f"text_encoder.text_model.{name}"
        tensors |= {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up, f"{stem}.alpha": torch.tensor(ALPHA)}
    return tensors


def peft_adapter(found: Pairs) -> dict[str, Tensor]:
    """As peft saves a model by itself."""
    return {
        f"base_model.model.{name if part == 'unet' else f'text_model.{name}'}.lora_{half}.weight": tensor
        for (part, name), pair in found.items()
        for half, tensor in zip("AB", pair, strict=True)
    }


def scaled_up(found: Pairs) -> Pairs:
    """With alpha / rank already in it, for layouts that state no alpha."""
    return {key: (down, up * (ALPHA / RANK)) for key, (down, up) in found.items()}


def attention_processors(found: Pairs) -> dict[str, Tensor]:
    """diffusers before peft: attention layers by processor, others beside their weight."""
    tensors = {}
    for (part, name), (down, up) in found.items():
        stem = f"unet.{name}.lora" if part == "unet" else f"text_encoder.text_model.{name}.lora_linear_layer"
        if part == "unet" and ".to_" in name:
            block, projection = name.removesuffix(".0").rsplit(".", 1)
            stem = f"unet.{block}.processor.{projection}_lora"
        tensors |= {f"{stem}.down.weight": down, f"{stem}.up.weight": up}
    return tensors


def write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, dict(metadata or {}))
    return path


LAYOUTS: dict[str, Callable[[Pairs], dict[str, Tensor]]] = {
    "kohya": kohya,
    "kohya, original blocks": kohya_original,
    "peft in diffusers": peft,
    "peft": lambda found: peft_adapter(scaled_up(found)),
    "attention processors": lambda found: attention_processors(scaled_up(found)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_adds_its_product(parts: Components, tmp_path: Path, layout: str) -> None:
    found, before = pairs(parts), state(parts)
    path = write(tmp_path / "style.safetensors", LAYOUTS[layout](found))
    lora_mixer(parts.unet, parts.texts[0].encoder).use([WeightedFile(path, 0.7)])
    after = state(parts)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    prefix = "text_model." if any(name.startswith("text.text_model.") for name in before) else ""
    keys = {f"{part}.{prefix if part == 'text' else ''}{name}.weight": pair for (part, name), pair in found.items()}
    assert changed == keys.keys()
    for name, (down, up) in keys.items():
        expected = before[name] + 0.7 * ALPHA / RANK * delta(down, up).reshape(before[name].shape)
        # Sums of float32 in another order, of weights below one.
        torch.testing.assert_close(after[name], expected, rtol=0, atol=1e-6)


def test_the_output_is_that_of_adapters_beside_the_layers(parts: Components, tmp_path: Path) -> None:
    """As programs run a LoRA that is not merged: y + strength * alpha / rank * up(down(x)), layer by layer."""
    found = pairs(parts)
    beside = copy.deepcopy(parts.unet)
    for (part, name), (down, up) in found.items():
        if part == "unet":
            _add_beside(dict(beside.named_modules())[name], down, up, 0.7 * ALPHA / RANK)
    path = write(tmp_path / "style.safetensors", kohya(found))
    x = torch.randn(1, 4, 3, 4, 6, generator=torch.manual_seed(0))
    text = torch.randn(3, 77, 32, generator=torch.manual_seed(1))
    with torch.no_grad():
        plain = parts.unet(x, 300, text).sample
        expected = beside(x, 300, text).sample
        lora_mixer(parts.unet, parts.texts[0].encoder).use([WeightedFile(path, 0.7)])
        merged = parts.unet(x, 300, text).sample
    torch.testing.assert_close(merged, expected, rtol=1e-5, atol=1e-5)
    assert (merged - plain).abs().max() > 1e-3


def _add_beside(module: nn.Module, down: Tensor, up: Tensor, scale: float) -> None:
    def both(module: Any, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if isinstance(module, nn.Conv2d):
            inside = nn.functional.conv2d(arguments[0], down, None, module.stride, module.padding)
            return output + scale * nn.functional.conv2d(inside, up)
        return output + scale * (arguments[0] @ down.T @ up.T)

    module.register_forward_hook(both)


def test_a_file_as_diffusers_rewrites_it_is_the_same(parts: Components, tmp_path: Path) -> None:
    """diffusers' own converter of kohya's names is the oracle for the names of both layouts."""
    utils = pytest.importorskip("diffusers.loaders.lora_conversion_utils")
    # It knows neither kernels nor the embedding of time.
    found = {key: pair for key, pair in pairs(parts).items() if pair[0].ndim == 2 and "time" not in key[1]}
    rewritten, _ = utils._convert_non_diffusers_lora_to_diffusers(kohya(found, alpha=None))
    mixer, states = lora_mixer(parts.unet, parts.texts[0].encoder), []
    for name, tensors in (("ours", kohya(found, alpha=None)), ("theirs", rewritten)):
        mixer.use([WeightedFile(write(tmp_path / f"{name}.safetensors", tensors))])
        states.append(state(parts))
    assert same(*states)


def test_original_block_names_are_the_inverse_of_the_conversion_of_checkpoints() -> None:
    from redetail.engines.stable_diffusion.conversion import unet_names
    from tests.engines.originals import UNET, sd1_shapes

    shapes = {n.removeprefix(UNET): s for n, s in sd1_shapes().items() if n.startswith(UNET)}
    names = {new.rpartition(".")[0]: old.rpartition(".")[0] for old, new in unet_names(shapes).items()}
    assert len(names) > 200
    for new, old in names.items():
        assert old in original_names(new, 2), new


def test_strength_zero_and_no_files_change_no_bit(parts: Components, tmp_path: Path) -> None:
    before = state(parts)
    one, two = (write(tmp_path / f"{seed}.safetensors", kohya(pairs(parts, seed))) for seed in (1, 2))
    mixer = lora_mixer(parts.unet, parts.texts[0].encoder)
    mixer.use([WeightedFile(one, 0.0)])
    assert same(before, state(parts))
    mixer.use([WeightedFile(one, 1.3), WeightedFile(two, -0.4)])
    assert not same(before, state(parts))
    mixer.use([])
    assert same(before, state(parts))


def test_several_add_up_and_history_leaves_no_trace(parts: Components, tmp_path: Path) -> None:
    found = [pairs(parts, seed) for seed in (1, 2)]
    one, two = (write(tmp_path / f"{n}.safetensors", kohya(pair)) for n, pair in enumerate(found))
    key = ("unet", UNET_LAYERS[0])
    original = layer(parts, *key).weight.clone()
    mixer = lora_mixer(parts.unet, parts.texts[0].encoder)
    mixer.use([WeightedFile(one), WeightedFile(two, 0.5)])
    both = state(parts)
    expected = original + ALPHA / RANK * (delta(*found[0][key]) + 0.5 * delta(*found[1][key]))
    torch.testing.assert_close(layer(parts, *key).weight, expected, rtol=0, atol=1e-6)
    for others in ([WeightedFile(two, 3.0)], [], [WeightedFile(one, 0.1), WeightedFile(one, 0.1)]):
        mixer.use(others)
        assert not same(both, state(parts))
    mixer.use([WeightedFile(one), WeightedFile(two, 0.5)])
    assert same(both, state(parts))


def test_a_file_touches_what_another_left(parts: Components, tmp_path: Path) -> None:
    """Layers that only the first file has go back to their originals when the second takes over."""
    found = pairs(parts)
    first = write(tmp_path / "first.safetensors", kohya({k: found[k] for k in list(found)[:5]}))
    second = write(tmp_path / "second.safetensors", kohya({k: found[k] for k in list(found)[4:]}))
    mixer = lora_mixer(parts.unet, parts.texts[0].encoder)
    mixer.use([WeightedFile(second)])
    alone = state(parts)
    mixer.use([WeightedFile(first)])
    mixer.use([WeightedFile(second)])
    assert same(alone, state(parts))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_rounded_once(parts: Components, tmp_path: Path, dtype: torch.dtype) -> None:
    parts.unet.to(dtype)
    parts.texts[0].encoder.to(dtype)
    before, found = state(parts), pairs(parts)
    path = write(tmp_path / "style.safetensors", {n: t.to(dtype) for n, t in kohya(found).items()})
    mixer = lora_mixer(parts.unet, parts.texts[0].encoder)
    mixer.use([WeightedFile(path, 0.8)])
    name = UNET_LAYERS[0]
    down, up = (tensor.to(dtype).float() for tensor in found["unet", name])
    exact = before[f"unet.{name}.weight"].float() + delta(down, up) * (ALPHA / RANK) * 0.8
    torch.testing.assert_close(layer(parts, "unet", name).weight, exact.to(dtype), rtol=0, atol=0)
    assert layer(parts, "unet", name).weight.dtype == dtype
    mixer.use([])
    assert same(before, state(parts))


def test_nothing_is_read_when_nothing_changed(
    parts: Components, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, reads = write(tmp_path / "style.safetensors", kohya(pairs(parts))), []
    real = mixer_module.read_lora
    monkeypatch.setattr(mixer_module, "read_lora", lambda path: reads.append(path) or real(path))
    mixer = lora_mixer(parts.unet, parts.texts[0].encoder)
    for _ in range(3):
        mixer.use([WeightedFile(path), WeightedFile(tmp_path / "none.safetensors", 0.0)])
    assert reads == [path]


def test_threads_leave_whole_states(parts: Components, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that ask for different files at once: the weights are those of one of them, and nothing adds up."""
    before, set_weight, delays = state(parts), LoraMixer._set, random.Random(1)

    def set_slowly(*arguments: Any) -> None:
        time.sleep(delays.uniform(0, 1e-3))  # other threads get their turn between two weights
        set_weight(*arguments)

    monkeypatch.setattr(LoraMixer, "_set", set_slowly)
    files = [WeightedFile(write(tmp_path / f"{n}.safetensors", kohya(pairs(parts, n)))) for n in range(3)]
    mixer, wholes = lora_mixer(parts.unet, parts.texts[0].encoder), []
    for file in files:
        mixer.use([file])
        wholes.append(state(parts))
    with ThreadPoolExecutor(len(files)) as pool:
        for _ in range(5):
            list(pool.map(lambda file: mixer.use([file]), files))
            assert any(same(state(parts), whole) for whole in wholes)
    mixer.use([])
    assert same(before, state(parts))


# --- what else low-rank files can be


def seeded(*shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def test_a_core_in_the_middle_of_a_convolution() -> None:
    """The three layers one after the other are one convolution."""
    down, mid, up = seeded((3, 6, 1, 1), (2, 3, 3, 3), (5, 2, 1, 1))
    (x,) = seeded((1, 6, 7, 7))
    conv = nn.functional.conv2d
    made = weight_delta({"down": down, "mid": mid, "up": up}, lambda rank: 2.0 / rank)
    assert made is not None
    expected = conv(conv(conv(x, down), mid), up) * (2 / 3)
    torch.testing.assert_close(conv(x, made), expected, rtol=1e-4, atol=1e-4)  # float32 in another order


def test_hadamard_products() -> None:
    a1, b1, a2, b2 = seeded((5, 3), (3, 6), (5, 3), (3, 6))
    made = weight_delta({"w1_a": a1, "w1_b": b1, "w2_a": a2, "w2_b": b2}, lambda rank: 1.5 / rank)
    assert made is not None
    torch.testing.assert_close(made, (a1 @ b1) * (a2 @ b2) * 0.5)


def test_hadamard_products_with_cores() -> None:
    t1, t2, a1, b1, a2, b2 = seeded((2, 2, 3, 3), (2, 2, 3, 3), (2, 5), (2, 6), (2, 5), (2, 6))
    tensors = {"w1_a": a1, "w1_b": b1, "w2_a": a2, "w2_b": b2, "t1": t1, "t2": t2}
    made = weight_delta(tensors, lambda rank: 1.0)
    assert made is not None
    one, two = (
        sum(t[i, j] * (a[i][:, None] * b[j])[..., None, None] for i in range(2) for j in range(2))
        for t, a, b in ((t1, a1, b1), (t2, a2, b2))
    )
    torch.testing.assert_close(made, one * two, rtol=1e-4, atol=1e-5)


def test_kronecker_products() -> None:
    one, two, a, b = seeded((2, 3), (4, 5), (4, 2), (2, 5))
    whole = weight_delta({"lokr_w1": one, "lokr_w2": two, "alpha": torch.tensor(9.0)}, lambda rank: 9.0 / rank)
    made = weight_delta({"lokr_w1": one, "lokr_w2_a": a, "lokr_w2_b": b}, lambda rank: 9.0 / rank)
    assert whole is not None
    assert made is not None
    np.testing.assert_allclose(whole, np.kron(one, two), rtol=1e-6)
    np.testing.assert_allclose(made, np.kron(one, a @ b) * 4.5, rtol=1e-5)
    (kernel,) = seeded((4, 5, 3, 3))
    conv = weight_delta({"lokr_w1": one, "lokr_w2": kernel}, lambda rank: 1.0)
    assert conv is not None
    np.testing.assert_allclose(conv, np.kron(np.asarray(one)[:, :, None, None], kernel), rtol=1e-6)


@pytest.mark.parametrize("kind", ["hada", "lokr", "diff"])
def test_other_kinds_are_merged_from_files(parts: Components, tmp_path: Path, kind: str) -> None:
    name = UNET_LAYERS[0]
    weight = layer(parts, "unet", name).weight.clone()
    size, stem = weight.shape[0], f"lora_unet_{name.replace('.', '_')}"
    a, b, c, d, small = seeded((size, 2), (2, size), (size, 2), (2, size), (size // 2, size // 2))
    tensors = {
        "hada": {"hada_w1_a": a, "hada_w1_b": b, "hada_w2_a": c, "hada_w2_b": d, "alpha": torch.tensor(1.0)},
        "lokr": {"lokr_w1": a[:2, :2], "lokr_w2": small, "alpha": torch.tensor(1.0)},
        # Found beside low-rank layers in one file.
        "diff": {"diff": weight * 0.5, "diff_b": torch.zeros(size)},
    }[kind]
    expected = {"hada": (a @ b) * (c @ d) / 2, "lokr": torch.kron(a[:2, :2], small), "diff": weight * 0.5}[kind]
    extra = {key: value for key, value in kohya(pairs(parts)).items() if UNET_LAYERS[1].replace(".", "_") in key}
    path = write(tmp_path / "style.safetensors", {f"{stem}.{role}": t for role, t in tensors.items()} | extra)
    lora_mixer(parts.unet, parts.texts[0].encoder).use([WeightedFile(path, 0.5)])
    torch.testing.assert_close(layer(parts, "unet", name).weight, weight + 0.5 * expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("stated", "scale"),
    [
        ({"unet.lora_alpha": 8, "unet.r": 4}, 2.0),
        ({"unet.lora_alpha": 8, "unet.use_rslora": True}, 4.0),
        ({"unet.lora_alpha": 8, "unet.alpha_pattern": {"attn1.to_q": 2}}, 0.5),
        ({}, 1.0),
    ],
)
def test_what_peft_states_once_for_all_layers(
    parts: Components, tmp_path: Path, stated: dict[str, Any], scale: float
) -> None:
    name = UNET_LAYERS[0]
    weight, (down, up) = layer(parts, "unet", name).weight.clone(), pairs(parts)["unet", name]
    tensors = {f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up}
    path = write(tmp_path / "style.safetensors", tensors, {"lora_adapter_metadata": json.dumps(stated)})
    lora_mixer(parts.unet, parts.texts[0].encoder).use([WeightedFile(path)])
    torch.testing.assert_close(layer(parts, "unet", name).weight, weight + scale * delta(down, up), rtol=0, atol=1e-6)


def test_an_adapter_of_peft_with_its_config_beside_it(parts: Components, tmp_path: Path) -> None:
    name = UNET_LAYERS[0]
    weight, pair = layer(parts, "unet", name).weight.clone(), pairs(parts)["unet", name]
    path = write(tmp_path / "adapter_model.safetensors", peft_adapter({("unet", name): pair}))
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 16, "r": RANK}))
    lora_mixer(parts.unet, parts.texts[0].encoder).use([WeightedFile(path)])
    torch.testing.assert_close(layer(parts, "unet", name).weight, weight + 4 * delta(*pair), rtol=0, atol=1e-5)


# --- what is refused, in one sentence


def foreign(width: int, stem: str = f"lora_unet_{ATTENTION}attn2.to_k") -> dict[str, Tensor]:
    """One layer that reads text of another width."""
    stem = stem.replace(".", "_")
    return {f"{stem}.lora_down.weight": torch.ones(4, width), f"{stem}.lora_up.weight": torch.ones(32, 4)}


def refused(parts: Components, path: Path) -> str:
    before = state(parts)
    with pytest.raises(ModelError) as caught:
        lora_mixer(parts.unet, parts.texts[0].encoder).use([WeightedFile(path)])
    assert same(before, state(parts))
    return str(caught.value)


@pytest.fixture
def sd15(parts: Components) -> Iterator[Components]:
    """The networks say that they are Stable Diffusion 1.x, which reads text of 768 features."""
    parts.unet.register_to_config(cross_attention_dim=768)
    return parts


def test_a_lora_of_another_base(sd15: Components, tmp_path: Path) -> None:
    message = refused(sd15, write(tmp_path / "xl.safetensors", foreign(2048)))
    assert "xl.safetensors is a LoRA for Stable Diffusion XL, but this model is Stable Diffusion 1.x" in message
    message = refused(sd15, write(tmp_path / "two.safetensors", foreign(1024)))
    assert "is a LoRA for Stable Diffusion 2.x, but this model is Stable Diffusion 1.x" in message
    text = foreign(768, "lora_te2_text_model.encoder.layers.0.self_attn.q_proj")
    assert "Stable Diffusion XL" in refused(sd15, write(tmp_path / "text.safetensors", text))


def test_a_layer_of_another_shape(parts: Components, tmp_path: Path) -> None:
    message = refused(parts, write(tmp_path / "wide.safetensors", foreign(48)))
    assert "attn2_to_k is for weights of 32x48, not 32x32" in message


def test_a_lora_that_fits_nothing(parts: Components, tmp_path: Path) -> None:
    tensors = foreign(32, "lora_unet_down_blocks.7.attentions.0.proj_in")
    message = refused(parts, write(tmp_path / "other.safetensors", tensors))
    assert "has none of the 1 layers" in message
    assert "down_blocks_7_attentions_0_proj_in" in message


def test_what_fits_in_part_is_said_once(parts: Components, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tensors = (
        kohya(pairs(parts)) | foreign(32, "lora_unet_down_blocks.7.proj_in") | {"lora_unet_x.oft_diag": torch.ones(2)}
    )
    path = write(tmp_path / "style.safetensors", tensors)
    mixer = lora_mixer(parts.unet, parts.texts[0].encoder)
    with caplog.at_level(logging.WARNING):
        mixer.use([WeightedFile(path)])
        mixer.use([WeightedFile(path)])
    (record,) = caplog.records
    assert "2 of the 18 layers" in record.getMessage()
    assert "down_blocks_7_proj_in, lora_unet_x.oft_diag" in record.getMessage()


def test_a_dora(parts: Components, tmp_path: Path) -> None:
    tensors = kohya(pairs(parts))
    stem = next(iter(tensors)).split(".")[0]
    path = write(tmp_path / "dora.safetensors", tensors | {f"{stem}.dora_scale": torch.ones(32, 1)})
    assert "is a DoRA" in refused(parts, path)


def test_what_is_no_lora(parts: Components, tmp_path: Path) -> None:
    (tmp_path / "notes.safetensors").write_text("a note")
    assert "text file" in refused(parts, tmp_path / "notes.safetensors")
    assert "There is no weight file" in refused(parts, tmp_path / "none.safetensors")
    embedding = write(tmp_path / "word.safetensors", {"emb_params": torch.zeros(2, 768)})
    assert "is a textual inversion embedding for Stable Diffusion 1.x; give a LoRA" in refused(parts, embedding)


def test_values_that_are_not_finite(parts: Components, tmp_path: Path) -> None:
    tensors = kohya(pairs(parts))
    last = list(tensors)[-2]
    tensors[last] = torch.full_like(tensors[last], torch.inf)
    assert "not finite" in refused(parts, write(tmp_path / "broken.safetensors", tensors))


def test_a_failure_leaves_the_loras_that_were_there(parts: Components, tmp_path: Path) -> None:
    good, bad = write(tmp_path / "good.safetensors", kohya(pairs(parts))), tmp_path / "none.safetensors"
    mixer = lora_mixer(parts.unet, parts.texts[0].encoder)
    mixer.use([WeightedFile(good)])
    with_good = state(parts)
    with pytest.raises(ModelError):
        mixer.use([WeightedFile(good, 0.5), WeightedFile(bad)])
    assert same(with_good, state(parts))
    mixer.use([WeightedFile(good)])
    assert same(with_good, state(parts))


def test_a_check_reads_but_changes_nothing(parts: Components, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before, mixer = state(parts), lora_mixer(parts.unet, parts.texts[0].encoder)
    tensors = kohya(pairs(parts)) | foreign(32, "lora_unet_down_blocks.7.proj_in")
    part = WeightedFile(write(tmp_path / "part.safetensors", tensors))
    with caplog.at_level(logging.WARNING):
        mixer.check([part, WeightedFile(tmp_path / "none.safetensors", 0.0)])
        assert same(before, state(parts))
        mixer.use([part])
    assert len(caplog.records) == 1
    with pytest.raises(ModelError, match="32x48, not 32x32"):
        mixer.check([WeightedFile(write(tmp_path / "wide.safetensors", foreign(48)))])


# --- the whole engine


def test_the_engine_tells_beforehand_what_it_refuses(model_folder: Path, tmp_path: Path) -> None:
    engine = load_engine(ModelSpec(checkpoint=model_folder), device="cpu")
    assert isinstance(engine, ChecksSettings)
    wide = write(tmp_path / "wide.safetensors", foreign(48))
    engine.check(Settings(prompt="a (face:1.2)", loras=(f"{wide}:0",)))
    for settings, message in (
        (Settings(loras=(str(wide),)), "32x48, not 32x32"),
        (Settings(negative="embedding:easy"), "names the embedding 'easy'"),
        (Settings(prompt="0: a; 9: embedding:easy"), "names the embedding 'easy'"),
        (Settings(clip_skip=3), "clip-skip is 3"),
        (Settings(sampler="none"), "no sampler named 'none'"),
    ):
        with pytest.raises(RedetailError, match=message):
            engine.check(settings)


def test_the_engine_uses_files_of_the_model_and_of_the_settings(
    model_folder: Path, loaded: Components, tmp_path: Path
) -> None:
    """Per subject: what one call is given is gone in the next; strength 0 changes no bit of the output."""
    path = write(tmp_path / "style.safetensors", kohya(pairs(loaded)))
    crops = np.random.default_rng(3).random((3, 16, 16, 3), dtype=np.float32)
    mask = np.ones((1, 16, 16), np.float32)

    def result(engine: Any, *loras: str) -> Any:
        return enhance_arrays(engine, crops, mask, Settings(prompt="a face", steps=2, cfg=2.0, loras=loras))

    engine = load_engine(ModelSpec(checkpoint=model_folder), device="cpu")
    plain, styled = result(engine), result(engine, f"{path}:0.8")
    assert np.abs(styled - plain).max() > 1e-3
    np.testing.assert_array_equal(result(engine, f"{path}:0"), plain)
    np.testing.assert_array_equal(result(engine), plain)
    own = load_engine(ModelSpec(checkpoint=model_folder, loras=(WeightedFile(path, 0.3),)), device="cpu")
    np.testing.assert_array_equal(result(own, f"{path}:0.5"), result(engine, f"{path}:0.3", f"{path}:0.5"))
    with pytest.raises(ModelError, match="There is no weight file"):
        load_engine(ModelSpec(checkpoint=model_folder, loras=(WeightedFile(tmp_path / "none"),)), device="cpu")


def test_the_engine_reads_embeddings(model_folder: Path, loaded: Components, tmp_path: Path) -> None:
    """The vectors of a word under another name are that word."""
    tokens = loaded.texts[0].tokenizer("face", add_special_tokens=False).input_ids
    vectors = loaded.texts[0].encoder.get_input_embeddings().weight[tokens].clone()
    path = write(tmp_path / "my-word.safetensors", {"emb_params": vectors})
    crops = np.random.default_rng(3).random((2, 16, 16, 3), dtype=np.float32)
    mask = np.ones((1, 16, 16), np.float32)
    engine = load_engine(ModelSpec(checkpoint=model_folder, embeddings=(path,)), device="cpu")
    one, two, other = (
        enhance_arrays(engine, crops, mask, Settings(prompt=prompt, steps=2, cfg=2.0))
        for prompt in ("a (my-word:1.3)", "a (face:1.3)", "a (fact:1.3)")
    )
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - other).max() > 1e-4
