"""Choice of device and precision, and what running out of memory says."""

from __future__ import annotations

import pytest
import torch

from redetail.engines.device import Placement, memory_errors, place
from redetail.errors import ModelError, SettingsError, UnknownNameError

CPU = Placement(torch.device("cpu"), torch.float32)


def machine(monkeypatch: pytest.MonkeyPatch, *, cards: int = 0, bf16: bool = True, mps: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cards > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16)
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
    assert place() == Placement(torch.device(device), dtype)


def test_what_is_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cards=2)
    assert place("cpu") == CPU
    assert place("cuda:1", "float16") == Placement(torch.device("cuda:1"), torch.float16)
    assert place(torch.device("cpu"), torch.bfloat16).dtype == torch.bfloat16
    assert str(place("cpu")) == "cpu in float32"


@pytest.mark.parametrize("device", ["gpu", "xpu", "meta", "cuda:x", ""])
def test_unknown_devices_are_named(device: str) -> None:
    with pytest.raises(UnknownNameError, match=f"no device named '{device}'; choose one of: cuda, mps, cpu"):
        place(device)


@pytest.mark.parametrize(
    ("cards", "device", "message"),
    [
        (0, "cuda", "cuda is not available here"),
        (0, "mps", "mps is not available here"),
        (0, "cuda:1", "cuda:1 is not available here"),
        (1, "cuda:1", "cuda:1 does not exist: this machine has 1 of kind cuda"),
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
    message = "memory of cpu did not suffice for 16 crops; make them smaller.$"
    with pytest.raises(ModelError, match=message), memory_errors("16 crops", CPU, "make them smaller"):
        raise error


def test_the_cpu_allocator_is_understood() -> None:
    with pytest.raises(ModelError, match="did not suffice"), memory_errors("16 crops", CPU, "make them smaller"):
        torch.empty(2**60)


def test_other_failures_pass_through() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_errors("16 crops", CPU, "make them smaller"):
        raise RuntimeError("shapes do not match")
