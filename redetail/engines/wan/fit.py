"""Whether a model of Wan fits a device, and with which offload: computed from its files, without reading a number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from redetail.engines.device import Placement
from redetail.engines.files import FileFacts

TRANSFORMER, TEXT, VAE = "transformer", "text encoder", "VAE"
PUBLISHED: Mapping[str, int] = {TEXT: 5_680_910_336, VAE: 126_892_531}
"""Numbers in what goes with a transformer, where it is not beside it: UMT5-XXL and the VAE of Wan 2.1."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes of the parts on a device; ``block``: of one block of the transformer."""

    transformer: int
    text: int
    vae: int
    block: int

    def needed(self) -> dict[str, int]:
        """Bytes of memory that a device should have, by the options that bring it about, from most to least.

        With ``--offload`` text encoder and VAE are there by turns; with ``--block-offload`` one block is. A fifth of
        the memory is left to the work of transformer and VAE, a twentieth to that of the text encoder.
        """
        return {
            "": _with_work(self.transformer + self.text + self.vae),
            "--offload": max(_with_work(self.transformer + self.vae), _with_text(self.transformer + self.text)),
            "--offload --block-offload": max(_with_work(self.block + self.vae), _with_text(self.text)),
        }


def _with_work(weights: int) -> int:
    return weights * 5 // 4


def _with_text(weights: int) -> int:
    return weights * 20 // 19


def weights_of(parts: Iterable[tuple[str, FileFacts]], placement: Placement) -> Weights:
    """What the files of each part take as they are loaded: quantised ones in the precision that they compute in."""
    numbers: dict[str, int] = {}
    blocks = 1
    for part, facts in parts:
        numbers[part] = numbers.get(part, 0) + facts.parameters
        if part == TRANSFORMER:
            blocks = max(blocks, facts.details.get("blocks", 1))
    counts = {**PUBLISHED, **numbers}
    dtypes = {
        TRANSFORMER: placement.dtype,
        TEXT: placement.text_dtype or placement.dtype,
        VAE: placement.vae_dtype or torch.float32,
    }
    size = {part: counts[part] * dtype.itemsize for part, dtype in dtypes.items()}
    return Weights(size[TRANSFORMER], size[TEXT], size[VAE], size[TRANSFORMER] // blocks)
