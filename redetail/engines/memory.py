"""``Memory``: how an engine uses the machine: what is requested, and what is chosen automatically.

The choice depends on the device's total memory and on the footprint of the model family, never on what is free at the
moment, so that a machine gives the same result every day. The report says what was chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import torch

from redetail.documents import byte_count
from redetail.engines.architectures.base import Footprint
from redetail.errors import SettingsError, UnknownNameError
from redetail.machine import physical_memory

Attention = Literal["sdpa", "sliced"]
ATTENTIONS: tuple[Attention, ...] = ("sdpa", "sliced")
GIB = 2**30


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Requests about memory and speed; a field that is None is chosen to suit the machine.

    ``dtype``: precision of the networks, float32, float16 or bfloat16; ``vae_dtype`` and ``text_dtype``: precision of
    the VAE and of the text encoder, if it differs. ``attention``: "sdpa" is the fastest, "sliced" takes the least
    memory. ``channels_last``: a memory layout that makes convolutions faster on GPUs. ``compile``: compile the UNet,
    which takes minutes at first. ``vae_batch``: frames that go through the VAE at once; ``vae_tile``: side of its tiles
    in pixels, 0 for whole frames. ``offload``: keep the VAE and the text encoder off the device while they are idle.
    ``block_offload``: for Wan, move the transformer's blocks to the device one after another; ``fp8_weights``: for Wan,
    leave weights that are stored in fp8 as they are, and convert them every time they are used. ``limit``: the most
    main memory that a run may take, in bytes or as a string such as "6GB" (None: most of what is free when it starts).

    Raises :class:`~redetail.errors.SettingsError` for impossible numbers, and
    :class:`~redetail.errors.UnknownNameError` for an attention that does not exist. Precisions are checked by
    :func:`redetail.engines.device.place`.
    """

    dtype: str | None = None
    vae_dtype: str | None = None
    text_dtype: str | None = None
    attention: Attention | None = None
    channels_last: bool | None = None
    compile: bool | None = None
    vae_batch: int | None = None
    vae_tile: int | None = None
    offload: bool | None = None
    block_offload: bool | None = None
    fp8_weights: bool | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.limit is not None:
            object.__setattr__(self, "limit", byte_count("memory", self.limit))
        if self.attention is not None and self.attention not in ATTENTIONS:
            raise UnknownNameError("attention", self.attention, ATTENTIONS)
        for name, least in (("vae_batch", 1), ("vae_tile", 0)):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
                raise SettingsError(
                    f"{name.replace('_', '-')} is {value!r}; it must be a whole number of at least {least}."
                )
        if self.vae_tile is not None and self.vae_tile % 64:
            raise SettingsError(f"vae-tile is {self.vae_tile}; it must be a multiple of 64 pixels, or 0.")

    def as_dict(self) -> dict[str, Any]:
        """The requests, ready for JSON; fields that are None are left out."""
        given = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, kw_only=True, slots=True)
class Modes:
    """What was chosen; see :class:`Memory`. ``vae_pixels``: the number of pixels that go through the VAE at once (None:
    as suits the kind of device), in at most ``vae_batch`` frames; ``window``: the most frames that the motion layers
    can see together in the device's memory (None: any number)."""

    attention: Attention = "sdpa"
    channels_last: bool = False
    compile: bool = False
    vae_pixels: int | None = None
    vae_batch: int | None = None
    vae_tile: int = 0
    offload: bool = False
    block_offload: bool = False
    fp8_weights: bool = False
    window: int | None = None


def choose_modes(
    memory: Memory,
    device: torch.device,
    dtype: torch.dtype,
    footprint: Footprint | None = None,
    *,
    available: int | None = None,
) -> Modes:
    """The modes for a device with ``available`` bytes of memory (None: ask the device), and for models that take as
    much memory as ``footprint`` says (None: hardly more than their weights).

    A separate device with less than 8 GiB holds only the network that is running; with less than 6 GiB, the VAE runs in
    tiles, and with less than 4 GiB, attention is sliced. The VAE's batches take a sixteenth of the memory. On the CPU,
    everything shares one memory, so nothing is moved.
    """
    total = device_memory(device) if available is None else available
    separate = device.type != "cpu"
    small = {size: separate and total < size * GIB for size in (4, 6, 8)}
    chosen: dict[str, Any] = {
        "attention": "sliced" if small[4] else "sdpa",
        "channels_last": device.type == "cuda" and dtype != torch.float32,
        "compile": False,
        "vae_tile": 256 if small[4] else 512 if small[6] else 0,
        "offload": small[8],
        "block_offload": False,
        "fp8_weights": False,
    }
    for name in (*chosen, "vae_batch"):
        if getattr(memory, name) is not None:
            chosen[name] = getattr(memory, name)
    if footprint is not None:
        chosen["vae_pixels"] = footprint.vae_pixels(min(total // 16, 8 * GIB)) if device.type == "cuda" else None
        chosen["window"] = footprint.window(total, dtype.itemsize)
    return Modes(**chosen)


def device_memory(device: torch.device) -> int:
    """Bytes of memory of a device: a CUDA card's total, what Metal recommends, or for the CPU, what this process may
    use."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory())
    return physical_memory()
