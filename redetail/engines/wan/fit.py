"""Calculates the memory that a Wan model takes on a device, and how to make it fit, from its files, without reading
their numbers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from redetail.engines.config import read_config
from redetail.engines.device import Placement
from redetail.engines.files import FileFacts, identify
from redetail.engines.memory import Memory, device_memory
from redetail.errors import SettingsError
from redetail.region import Size

TRANSFORMER, TEXT, VAE = "transformer", "text encoder", "VAE"
PUBLISHED: Mapping[str, int] = {TEXT: 5_680_910_336, VAE: 126_892_531}
"""Parameters of the text encoder and the VAE if they are not next to the transformer: UMT5-XXL and the VAE of Wan
2.1."""

USUAL_FRAMES, USUAL_SIDE = 81, 512
"""The crops for which memory is reserved when the way to use a device is chosen, before any crop is known."""

VAE_BYTES_PER_PIXEL = 20_000
"""Bytes per pixel of a crop in float32, counted in a full-size decoder that ran without values, four frames at a
time."""


def transformer_bytes(width: int, itemsize: int) -> int:
    """Bytes for each token, counted in the same way with both published widths: 40 for each feature in half precision,
    77 in float32. For attention, kernels are assumed that never hold all of its weights."""
    return width * (19 * itemsize + 2)


@dataclass(frozen=True, slots=True)
class Way:
    """A way to use a device: whether weights that are stored in fp8 stay in fp8, whether the text encoder and the VAE
    are on the device only while they work, and whether only one block of the transformer is there at a time."""

    fp8_weights: bool = False
    offload: bool = False
    block_offload: bool = False

    @property
    def options(self) -> str:
        """The command-line options for this way; "" for the plain way."""
        names = ("offload", "block_offload", "fp8_weights")
        return " ".join(f"--{name.replace('_', '-')}" for name in names if getattr(self, name))


_WAYS = (
    Way(),
    Way(fp8_weights=True),
    Way(offload=True),
    Way(fp8_weights=True, offload=True),
    Way(fp8_weights=True, offload=True, block_offload=True),
    Way(offload=True, block_offload=True),
)
"""Fastest first; blocks in fp8 are quicker to copy."""


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes of a part's weights: ``converted`` to the precision that the part computes in, and ``kept`` in fp8 if they
    are stored in fp8."""

    converted: int
    kept: int

    def of(self, way: Way) -> int:
        """The bytes that the weights take in this way."""
        return self.kept if way.fp8_weights else self.converted


@dataclass(frozen=True, slots=True)
class Model:
    """What a model takes: ``parts``: the weights by part, including both experts if there are two; ``experts``: the
    number of experts; ``blocks`` and ``width`` of a transformer; ``itemsize`` and ``vae_itemsize``: bytes per number in
    the computations of the transformer and of the VAE."""

    parts: Mapping[str, Bytes]
    experts: int
    blocks: int
    width: int
    itemsize: int
    vae_itemsize: int = 4

    def weights(self, way: Way) -> dict[str, int]:
        """Bytes of the weights, wherever they are, by part."""
        return {part: size.of(way) for part, size in self.parts.items()}

    def activations(self, frames: int, width: int, height: int) -> dict[str, int]:
        """Bytes that transformer and VAE take in addition to their weights while they process such crops."""
        tokens = ((frames + 2) // 4 + 1) * (width * height // 256)
        return {
            TRANSFORMER: tokens * transformer_bytes(self.width, self.itemsize),
            VAE: width * height * VAE_BYTES_PER_PIXEL * self.vae_itemsize // 4,
        }

    def needed(self, way: Way, frames: int = USUAL_FRAMES, width: int = USUAL_SIDE, height: int = USUAL_SIDE) -> int:
        """Bytes of memory that a device should have for such crops, with a twentieth reserved for what cannot be
        counted."""
        held, work = self.weights(way), self.activations(frames, width, height)
        one = held[TRANSFORMER] // self.experts
        idle = busy = one if way.offload else held[TRANSFORMER]
        if way.block_offload:  # outside its blocks, a transformer has fewer weights than one more block
            idle, busy = one // self.blocks, 2 * (one // self.blocks)
        if way.offload:
            most = max(busy + work[TRANSFORMER], idle + held[VAE] + work[VAE], idle + held[TEXT])
        else:
            most = held[VAE] + held[TEXT] + max(busy + work[TRANSFORMER], idle + work[VAE])
        return most * 20 // 19

    def ways(self, device: torch.device) -> Iterator[Way]:
        """The ways that differ for this model and device: files without fp8 have none to keep, Metal has no fp8, and on
        the CPU everything shares one memory."""
        kept = self.in_fp8 and device.type != "mps"
        for way in _WAYS:
            if not (way.offload and device.type == "cpu") and (kept or not way.fp8_weights):
                yield way

    @property
    def in_fp8(self) -> bool:
        """Whether any weights are stored in fp8."""
        return any(size.kept < size.converted for size in self.parts.values())

    def best_way(self, asked: Memory, device: torch.device, available: int | None = None) -> Way:
        """The fastest way that fits into ``available`` bytes (None: those of the device), else the smallest, among
        those that match the request.

        Raises :class:`~redetail.errors.SettingsError` if fp8 is asked of a device that does not have it.
        """
        if asked.fp8_weights and device.type == "mps":
            raise SettingsError("fp8-weights is on, but Metal does not support fp8; turn off the fp8-weights option.")
        total = device_memory(device) if available is None else available
        wanted = [_with_asked(way, asked) for way in self.ways(device)]
        return next((way for way in wanted if self.needed(way) <= total), min(wanted, key=self.needed))


def _with_asked(way: Way, asked: Memory) -> Way:
    """The way with the requested switches."""
    given: dict[str, Any] = {
        name: getattr(asked, name)
        for name in ("fp8_weights", "offload", "block_offload")
        if getattr(asked, name) is not None
    }
    return replace(way, **given)


@dataclass(frozen=True, slots=True)
class Fit:
    """A model on a device with ``total`` bytes, and the way in which it uses the device."""

    model: Model
    way: Way
    total: int

    def plan(self, frames: int, size: Size) -> dict[str, int]:
        """Bytes for crops of this size and number of frames: the weights of each part, wherever they are, the
        activations, the most that is on the device at any one time, and what the device has. All but the last are
        calculated."""
        crops = min(frames, USUAL_FRAMES), size.width, size.height
        return {
            **self.model.weights(self.way),
            "activations": max(self.model.activations(*crops).values()),
            "needed": self.model.needed(self.way, *crops),
            "device": self.total,
        }


def model_of(parts: Iterable[tuple[str, FileFacts]], placement: Placement, experts: int = 1) -> Model:
    """What the files of each part take once they are loaded; ``experts``: the number of transformers among them."""
    dtypes = {
        TRANSFORMER: placement.dtype,
        TEXT: placement.text_dtype or placement.dtype,
        VAE: placement.vae_dtype or torch.float32,
    }
    numbers, in_fp8 = Counter[str](), Counter[str]()
    blocks = width = 0
    for part, facts in parts:
        numbers[part] += facts.parameters
        in_fp8[part] += facts.in_fp8
        if part == TRANSFORMER:
            blocks = max(blocks, facts.details.get("blocks", 0))
            width = max(width, facts.details.get("width", 0))
    counts = {**PUBLISHED, **numbers}
    sizes = {part: counts[part] * dtype.itemsize for part, dtype in dtypes.items()}
    weights = {part: Bytes(size, size - in_fp8[part] * (dtypes[part].itemsize - 1)) for part, size in sizes.items()}
    return Model(weights, experts, max(blocks, 1), width, placement.dtype.itemsize, dtypes[VAE].itemsize)


def files_of(path: Path) -> list[Path]:
    """A file, or the weight files of a part's folder; if some are copies in half precision, only the others."""
    if not os.path.isdir(path):
        return [path]
    files = sorted(path.glob("*.safetensors"))
    return [file for file in files if ".fp16" not in file.name] or files


def transformer_facts(path: Path) -> Iterator[FileFacts]:
    """The facts of a transformer, in a file or a folder, whose config says how many blocks all of its files have.

    A folder's weights are converted as they are loaded.
    """
    if not os.path.isdir(path):
        yield identify(path)
        return
    config = read_config(path / "config.json")
    width = config.get("num_attention_heads", 0) * config.get("attention_head_dim", 0)
    for file in files_of(path):
        facts = identify(file)
        yield replace(facts, in_fp8=0, details={**facts.details, "blocks": config.get("num_layers", 1), "width": width})


def part_facts(part: str, path: Path) -> Iterator[tuple[str, FileFacts]]:
    """The facts of every file of a part."""
    facts = transformer_facts(path) if part == TRANSFORMER else map(identify, files_of(path))
    return ((part, one if not os.path.isdir(path) else replace(one, in_fp8=0)) for one in facts)
