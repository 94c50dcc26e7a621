"""Chooses the device and the precision of an engine, and turns running out of memory into messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch

from redetail.engines.architectures.base import Footprint
from redetail.engines.memory import Memory, Modes, choose_modes
from redetail.errors import ModelError, SettingsError, UnknownNameError

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_KINDS = ("cuda", "mps", "cpu")
_NATIVE_BFLOAT16 = ("avx512_bf16", "amx_bf16")
_ALLOCATION_FAILED = "can't allocate memory"


@dataclass(frozen=True, slots=True)
class Placement:
    """The device of an engine's networks, the precision of their weights, and how memory is used.

    ``vae_dtype``: None means float32 if the VAE's own config asks for it, else ``dtype``; ``text_dtype``: None means
    ``dtype``. ``asked``: the user's requests about memory, for families that make their own choice without any.
    """

    device: torch.device
    dtype: torch.dtype
    vae_dtype: torch.dtype | None = None
    text_dtype: torch.dtype | None = None
    modes: Modes = Modes()
    asked: Memory = Memory()

    def __str__(self) -> str:
        return f"{self.device} in {_name(self.dtype)}"

    def as_dict(self) -> dict[str, Any]:
        """What was chosen, ready for JSON."""
        parts = {"vae_dtype": self.vae_dtype, "text_dtype": self.text_dtype}
        named = {name: _name(dtype) for name, dtype in parts.items() if dtype is not None}
        return {"device": str(self.device), "dtype": _name(self.dtype), **named, **asdict(self.modes)}


def place(
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    memory: Memory | None = None,
    *,
    mixed: bool = False,
    footprint: Footprint | None = None,
) -> Placement:
    """Choose where to compute: the requested device, else CUDA, then MPS, then the CPU.

    ``device``: "cuda", "cuda:1", "mps", "cpu" or None; ``dtype``: "float32", "float16", "bfloat16" or None. Without a
    dtype, CUDA gets bfloat16 if the card computes it natively, else float16; MPS and the CPU get float32, except that
    the CPU gets bfloat16 if it computes it natively and the network is made for mixed precision (``mixed``).
    ``memory``: further requests (its dtype counts if none is given here); the rest is chosen by
    :func:`redetail.engines.memory.choose_modes` for models of this ``footprint``.

    Raises :class:`~redetail.errors.SettingsError` for a device that this machine does not have and
    :class:`~redetail.errors.UnknownNameError` for a precision that does not exist.
    """
    chosen = _best_device() if device is None else _checked_device(device)
    asked = memory or Memory()
    dtype = asked.dtype if dtype is None else dtype
    precision = _default_dtype(chosen, mixed) if dtype is None else _checked_dtype(dtype)
    vae, text = (None if name is None else _checked_dtype(name) for name in (asked.vae_dtype, asked.text_dtype))
    return Placement(chosen, precision, vae, text, choose_modes(asked, chosen, precision, footprint), asked)


@contextmanager
def memory_errors(work: str, placement: Placement, remedy: str) -> Iterator[None]:
    """Turn running out of memory during ``work`` ("16 crops of 512x512 pixels") into an error of one sentence with a
    remedy."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        # torch's CPU allocator raises a plain RuntimeError, like any other failure in a kernel.
        if type(error) is RuntimeError and _ALLOCATION_FAILED not in str(error):
            raise
        raise ModelError(f"{placement.device} ran out of memory for {work}; {remedy}.") from error


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _checked_device(device: str | torch.device) -> torch.device:
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise UnknownNameError("device", str(device), _KINDS) from error
    if chosen.type not in _KINDS:
        raise UnknownNameError("device", str(device), _KINDS)
    count = _count(chosen.type)
    if not count:
        raise SettingsError(f"The device {chosen} is not available here; use cpu, or do not set a device.")
    if (chosen.index or 0) >= count:
        devices = "device" if count == 1 else "devices"
        raise SettingsError(
            f"The device {chosen} does not exist; this machine has {count} {chosen.type} {devices}, numbered from 0."
        )
    return chosen


def _count(kind: str) -> int:
    if kind == "cuda":
        return torch.cuda.device_count() if torch.cuda.is_available() else 0
    return int(kind == "cpu" or torch.backends.mps.is_available())


def _default_dtype(device: torch.device, mixed: bool) -> torch.dtype:
    if device.type == "cpu" and mixed:
        return torch.bfloat16 if _has_native_bfloat16() else torch.float32
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def _has_native_bfloat16() -> bool:
    """Whether the CPU has instructions for bfloat16; an old torch cannot tell."""
    capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in _NATIVE_BFLOAT16)


def _checked_dtype(dtype: str | torch.dtype) -> torch.dtype:
    name = _name(dtype)
    if name not in DTYPES:
        raise UnknownNameError("precision", name, DTYPES)
    return DTYPES[name]


def _name(dtype: str | torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
