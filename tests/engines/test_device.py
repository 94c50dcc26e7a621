"""Choice of device and precision, and what running out of memory says."""

from __future__ import annotations

import json

import pytest
import torch

from redetail.engines import memory
from redetail.engines.device import Placement, memory_errors, place
from redetail.engines.memory import GIB, Memory
from redetail.errors import ModelError, SettingsError, UnknownNameError

CPU = Placement(torch.device("cpu"), torch.float32)


def machine(monkeypatch: pytest.MonkeyPatch, *, cards: int = 0, bf16: bool = True, mps: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cards > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16)
    monkeypatch.setattr(memory, "device_memory", lambda device: 64 * GIB)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("has", "device", "dtype"),
    [
        ({"cards": 1, "mps": True}, "cuda", torch.bfloat16),
        ({"cards": 2, "bf16": False}, "cuda", torch.float16),
        ({"mps": True}, "mps", torch.float32),
        ({}, "cpu", torch.float32),
    ],
)
def test_the_best_device_is_taken(
    monkeypatch: pytest.MonkeyPatch, has: dict[str, bool], device: str, dtype: torch.dtype
) -> None:
    machine(monkeypatch, **has)
    placement = place()
    assert (placement.device, placement.dtype) == (torch.device(device), dtype)


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [({"avx512_bf16": True}, torch.bfloat16), ({"amx_bf16": True}, torch.bfloat16), ({"avx2": True}, torch.float32)],
)
def test_a_cpu_computes_mixed_networks_in_the_half_precision_that_it_has(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert place("cpu", mixed=True).dtype == dtype
    assert place("cpu").dtype == torch.float32
    assert place("cpu", "float32", mixed=True).dtype == torch.float32
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert place("cpu", mixed=True).dtype == torch.float32


def test_what_is_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cards=2)
    assert place("cpu") == CPU
    placement = place("cuda:1", "float16")
    assert (placement.device, placement.dtype) == (torch.device("cuda:1"), torch.float16)
    assert place(torch.device("cpu"), torch.bfloat16).dtype == torch.bfloat16
    assert str(place("cpu")) == "cpu in float32"


def test_every_part_has_its_precision() -> None:
    placement = place("cpu", None, Memory(dtype="bfloat16", vae_dtype="float32", text_dtype="float16"))
    assert (placement.dtype, placement.vae_dtype, placement.text_dtype) == (
        torch.bfloat16,
        torch.float32,
        torch.float16,
    )
    assert place("cpu", "float32", Memory(dtype="bfloat16")).dtype == torch.float32
    with pytest.raises(UnknownNameError, match="no precision named 'fp8'"):
        place("cpu", None, Memory(vae_dtype="fp8"))


def test_what_was_chosen_is_ready_for_json() -> None:
    shown = place("cpu", None, Memory(vae_dtype="bfloat16", vae_tile=512)).as_dict()
    assert json.loads(json.dumps(shown)) == shown
    assert (shown["device"], shown["dtype"], shown["vae_dtype"], shown["vae_tile"]) == (
        "cpu",
        "float32",
        "bfloat16",
        512,
    )
    assert "text_dtype" not in shown


@pytest.mark.parametrize("device", ["gpu", "xpu", "meta", "cuda:x", ""])
def test_unknown_devices_are_named(device: str) -> None:
    with pytest.raises(UnknownNameError, match=f"no device named '{device}'.* one of: cuda, mps, cpu"):
        place(device)


@pytest.mark.parametrize(
    ("cards", "device", "message"),
    [
        (0, "cuda", "cuda is not available here"),
        (0, "mps", "mps is not available here"),
        (0, "cuda:1", "cuda:1 is not available here"),
        (1, "cuda:1", "cuda:1 does not exist; this machine has 1 cuda device, numbered from 0"),
    ],
)
def test_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch, cards: int, device: str, message: str) -> None:
    machine(monkeypatch, cards=cards)
    with pytest.raises(SettingsError, match=message):
        place(device)


def test_unknown_precisions_are_named() -> None:
    with pytest.raises(UnknownNameError, match="no precision named 'fp8'; choose one of: float32"):
        place("cpu", "fp8")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError()])
def test_full_memory_is_one_sentence(error: Exception) -> None:
    message = "cpu ran out of memory for 16 crops; make them smaller.$"
    with pytest.raises(ModelError, match=message), memory_errors("16 crops", CPU, "make them smaller"):
        raise error


def test_the_cpu_allocator_is_understood() -> None:
    with pytest.raises(ModelError, match="ran out of memory"), memory_errors("16 crops", CPU, "make them smaller"):
        torch.empty(2**60)


def test_other_failures_pass_through() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_errors("16 crops", CPU, "make them smaller"):
        raise RuntimeError("shapes do not match")
